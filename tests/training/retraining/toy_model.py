"""A model that is retrained on toy texts in a folder of its own."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from training.learning.folder import PLAN
from training.release import store
from training.retraining.config import Job
from training.retraining.record import Record
from training.retraining.retrain import retrain

NETWORK = {"layers": 1, "units": 16, "embedding": 8, "dropout": 0.0, "output_dropout": 0.0, "weight_dropout": 0.0}
LEARNING: dict[str, Any] = {
    "batch_size": 4,
    "window": 20,
    "epochs": 4,
    "learning_rate": 0.02,
    "warmup_steps": 5,
    "weight_decay": 0.0,  # with the default, the gate refuses such toy versions: 1 % worse on the reference text
    "split": [0.8, 0.2, 0],
}
SETTINGS = NETWORK | LEARNING | {"split": (0.8, 0.2, 0.0)}  # as NightlyConfig reads them
ENGLISH = ["the ", "cat ", "sat ", "on ", "a ", "mat.\n", "dog ", "ran "]
FINNISH = ["kissa ", "istui ", "matolla.\n", "koira ", "juoksi ", "ja ", "söi "]
RUSSIAN = ["кот ", "сидел ", "на ", "ковре.\n", "пёс ", "бежал "]


class ToyModel:
    """The model `mine`, with its texts, runs and versions in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.models, self.runs = folder, folder / "models", folder / "runs"
        self.texts = folder / "texts"
        self.texts.mkdir(parents=True, exist_ok=True)
        self.job = Job(name="mine", corpus=("texts",), minutes=5, learning_rate=0.01, settings=SETTINGS)

    def write(self, name: str, text: str | bytes) -> None:
        (self.texts / name).write_bytes(text if isinstance(text, bytes) else text.encode())

    def retrain(self, should_stop: Callable[[], bool] = lambda: False, **changes: Any) -> Record:
        """Retrain it in this process. `changes` are fields of its job."""
        job = self.job.model_copy(update=changes | {"corpus": (str(self.texts),)})
        return retrain(job, runs=self.runs, models=self.models, should_stop=should_stop)

    @property
    def versions(self) -> list[int]:
        return store.versions(self.models, "mine")

    def run(self, name: str) -> Path:
        """The folder of the run `candidate`, `served` or `refused`."""
        return self.runs / "mine" / name

    def command(self, **changes: Any) -> list[str]:
        """Write nightly.toml; returns the arguments that retrain the model, for a process in `folder`."""
        settings = ", ".join(f"{name} = {value}" for name, value in (NETWORK | LEARNING).items())
        lines = [f"{name} = {value}" for name, value in ({"minutes": 5, "learning_rate": 0.01} | changes).items()]
        text = "\n".join(['[[model]]\nname = "mine"\ncorpus = "texts"', *lines, f"settings = {{ {settings} }}\n"])
        (self.folder / "nightly.toml").write_text(text)
        return ["retrain"]


def stop_after(checks: int, run: Path) -> Callable[[], bool]:
    """A `should_stop` that is true from the given call on, counted once the run in `run` has begun."""
    left: Iterator[int] = iter(range(checks))
    return lambda: (run / PLAN).exists() and next(left, None) is None

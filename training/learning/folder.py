"""The folder of a run: what was asked for, so that `--resume` needs nothing but the name. Knows no framework."""

import dataclasses
import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from training.config import TrainConfig
from training.data.corpus import Corpus, read_corpus
from training.errors import InputError
from training.files import write_atomically

PLAN = "run.json"
CHECKPOINT = "checkpoint.npz"
HISTORY = "history.jsonl"


@dataclass(frozen=True)
class Plan:
    """What a run was asked to do, and the version that came of it (None while it is not finished)."""

    config: TrainConfig
    corpus: tuple[str, ...]
    encoding: str
    fingerprints: tuple[str, ...]
    published: str | None = None

    @classmethod
    def load(cls, folder: Path) -> "Plan":
        """The plan of the run in `folder`.

        Raises:
            InputError: there is no run.
        """
        if not (folder / PLAN).exists():
            raise InputError(f"There is no run to resume in {folder}: leave out --resume to start one.")
        fields = json.loads((folder / PLAN).read_text(encoding="utf-8"))
        config = TrainConfig.from_json(fields.pop("config"))
        corpus, fingerprints = tuple(fields.pop("corpus")), tuple(fields.pop("fingerprints"))
        return cls(config=config, corpus=corpus, fingerprints=fingerprints, **fields)

    def save(self, folder: Path) -> None:
        """Write the plan beside the run's other files."""
        fields = dataclasses.asdict(self) | {"config": self.config.to_json()}
        write_atomically(folder / PLAN, (json.dumps(fields, indent=1) + "\n").encode())

    def read_corpus(self) -> Corpus:
        """The text of the plan.

        Raises:
            InputError: it cannot be read, or is not the text that the run began with.
        """
        corpus = read_corpus([Path(path) for path in self.corpus], encoding=self.encoding)
        if self.fingerprints and tuple(corpus.fingerprints) != self.fingerprints:
            raise InputError(
                f"The corpus {', '.join(self.corpus)} has changed since the run began: "
                f"use --restart to train anew on what it is now."
            )
        return corpus


def discard(folder: Path) -> None:
    """Forget the run in `folder`: its progress first, so that a kill in between leaves no mixture of two runs."""
    for name in (CHECKPOINT, HISTORY, PLAN):
        (folder / name).unlink(missing_ok=True)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder for this process.

    Raises:
        InputError: another process trains in it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"Another process is training in {folder}: wait for it, or choose another --name."
            ) from None
        yield

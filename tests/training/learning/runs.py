"""Tiny training runs for tests, and the files of their folders."""

import json
from pathlib import Path
from typing import Any

from training.config import TrainConfig
from training.data.prepare import prepare
from training.data.teacher_targets import TeacherTargets
from training.learning.folder import CORPUS, HISTORY
from training.learning.run import TrainingRun

SIZE = ["--units", "8", "--embedding", "4", "--batch-size", "4", "--window", "10"]
SETTING: dict[str, Any] = {
    "layers": 1,
    "units": 8,
    "embedding": 4,
    "dropout": 0.0,
    "output_dropout": 0.0,
    "weight_dropout": 0.0,
    "batch_size": 2,
    "window": 5,
    "epochs": 1,
    "warmup_steps": 0,
}
# A rate that changes no bit of the weights: only the first evaluation is a new best.
STANDSTILL: dict[str, Any] = {"optimizer": "sgd", "learning_rate": 1e-30, "schedule": "constant"}
TEXT = "abcdefgh" * 50


def run_in(folder: Path, text: str = TEXT, teachers: TeacherTargets | None = None, **changes: Any) -> TrainingRun:
    """A run at step 0 over `text`, with everything in `folder`."""
    folder.mkdir(exist_ok=True)
    path = folder / "text.txt"
    path.write_text(text)
    config = TrainConfig(**(SETTING | changes))
    return TrainingRun(config, prepare([str(path)], config, folder / CORPUS), folder, teachers=teachers)


def restored_in(folder: Path, **changes: Any) -> TrainingRun:
    """The run of `run_in`, from its last checkpoint."""
    run = run_in(folder, **changes)
    run.restore()
    return run


def history_of(folder: Path) -> list[dict[str, Any]]:
    """The lines of history.jsonl in the folder of a run."""
    return [json.loads(line) for line in (folder / HISTORY).read_text().splitlines()]


def files_of(folder: Path) -> dict[str, bytes]:
    """The content of every file under `folder`, by path, without the lock."""
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}


def set_all_weights(run: TrainingRun, change: Any) -> None:
    """Replace every weight w by change(w)."""
    for variable in run.trainer.network.variables:
        variable.assign(change(variable.numpy()))

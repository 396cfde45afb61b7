"""The command lines of a small training run, and the run that they make."""

from pathlib import Path
from typing import Any

from tests.texts import write_corpus
from training.config import TrainConfig
from training.data.prepare import prepare
from training.learning.folder import CORPUS, Plan
from training.learning.loop import train
from training.learning.run import TrainingRun

SETTINGS: dict[str, Any] = {
    "layers": 1,
    "units": 8,
    "embedding": 4,
    "dropout": 0.0,
    "output_dropout": 0.0,
    "weight_dropout": 0.0,
    "batch_size": 4,
    "window": 10,
    "learning_rate": 0.05,
    "warmup_steps": 5,
    "steps": 100,
    "eval_every": 0.5,
}
FLAGS = [item for name, value in SETTINGS.items() for item in (f"--{name.replace('_', '-')}", str(value))]
BEGIN = ["train", "--name", "mine", "--corpus", "corpus.txt", *FLAGS]
RESUME = ["train", "--name", "mine", "--resume"]


def run_of(folder: Path, steps: int, **changes: Any) -> Path:
    """A run in `runs/mine` that stopped after so many steps; returns its folder."""
    text = write_corpus(folder / "corpus.txt")
    config = TrainConfig(**(SETTINGS | changes))
    run_folder = folder / "runs/mine"
    corpus = prepare([str(text)], config, run_folder / CORPUS)
    run = TrainingRun(config, corpus, run_folder)
    train(run, should_stop=lambda: run.step >= steps)
    Plan(config, ("corpus.txt",), corpus.key, replicas=run.trainer.replicas).save(run_folder)
    return run_folder


def plan_of(folder: Path) -> Plan:
    return Plan.load(folder / "runs/mine")

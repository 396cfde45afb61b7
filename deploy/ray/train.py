"""Train a run on a Ray cluster: Ray starts the workers, sets TF_CONFIG and restarts all of them when one is lost.

    python deploy/ray/train.py 2 --name plays --corpus /shared/plays.txt --runs /shared/runs --models /shared/models

The first argument is the number of workers, the others are flags of `charloom train`. All nodes share the folders.
"""

import subprocess
import sys
from pathlib import Path
from typing import Any

from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.tensorflow import TensorflowTrainer

RESTARTS = 3


def flags_of(given: list[str]) -> list[str]:
    """The flags of one start: those that were given, or --resume where the run has begun."""
    names = {flag: given[i + 1] for i, flag in enumerate(given[:-1]) if flag in ("--name", "--runs", "--models")}
    if not (Path(names.get("--runs", "runs")) / names["--name"] / "run.json").exists():
        return given
    return ["--resume", *(part for pair in names.items() for part in pair)]


def worker(config: dict[str, Any]) -> None:
    """Train on one worker, in a process that gets TF_CONFIG from this one."""
    subprocess.run([sys.executable, "-m", "training", "train", *flags_of(config["flags"])], check=True)


if __name__ == "__main__":
    TensorflowTrainer(
        worker,
        train_loop_config={"flags": sys.argv[2:]},
        scaling_config=ScalingConfig(num_workers=int(sys.argv[1])),
        run_config=RunConfig(failure_config=FailureConfig(max_failures=RESTARTS)),
    ).fit()

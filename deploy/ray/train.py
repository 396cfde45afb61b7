"""Train a run on a Ray cluster: Ray starts the workers, sets TF_CONFIG and restarts all of them when one is lost.

    python deploy/ray/train.py 2 --name plays --corpus /shared/plays.txt --runs /shared/runs --models /shared/models

The first argument is the number of workers, the others are flags of `charloom train`. All nodes share the folders, and
the folder in which this is called: each worker trains there.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.tensorflow import TensorflowTrainer

RESTARTS = 3


def flags_of(given: list[str], folder: str) -> list[str]:
    """The flags of one start in `folder`: those that were given, or --resume where the run has begun."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--name", required=True)
    parser.add_argument("--runs", default="runs")
    parser.add_argument("--models", default="models")
    parser.add_argument("--force", action="store_true")
    kept, _ = parser.parse_known_args(given)
    if not (Path(folder) / kept.runs / kept.name / "run.json").exists():
        return given
    force = ["--force"] if kept.force else []
    return ["--resume", "--name", kept.name, "--runs", kept.runs, "--models", kept.models, *force]


def worker(config: dict[str, Any]) -> None:
    """Train on one worker, in a process that gets TF_CONFIG from this one.

    Ray kills a worker without its child processes: the kernel ends this one with its parent, or it would train on
    beside the restarted workers.
    """
    folder = config["folder"]
    environment = {name: value for name, value in os.environ.items() if name != "TF_USE_LEGACY_KERAS"}  # set by Ray
    command = ["setpriv", "--pdeathsig", "KILL", sys.executable, "-m", "training", "train"]
    subprocess.run([*command, *flags_of(config["flags"], folder)], cwd=folder, env=environment, check=True)


def main(workers: int, flags: list[str]) -> None:
    """Train on this many workers, until all have ended."""
    if "--restart" in flags:
        sys.exit("Error: --restart is refused here: a run that exists is resumed, so give the new one another --name.")
    TensorflowTrainer(
        worker,
        train_loop_config={"flags": flags, "folder": os.getcwd()},  # Ray's workers have a folder of their own
        # Each worker uses all cores of its node, so Ray spreads them.
        scaling_config=ScalingConfig(num_workers=workers, placement_strategy="SPREAD"),
        run_config=RunConfig(failure_config=FailureConfig(max_failures=RESTARTS)),
    ).fit()


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])

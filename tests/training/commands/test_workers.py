"""`train` on two workers in real processes: the whole run, a lost worker, a signal."""

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.processes import started
from tests.texts import write_corpus
from tests.training.learning.workers import checkpoint_of, free_addresses
from tests.waiting import wait_until
from training.learning.folder import CHECKPOINT

RUN = ["--layers", "1", "--units", "8", "--embedding", "4", "--batch-size", "4", "--window", "5", "--force"]
LOST = "Error: The connection to another worker is lost"
SECONDS_TO_END = 5


def prepared(at_step: int) -> None:
    """Runs in a worker's process: use one core, save after every step, and wait for ever at step `at_step`."""
    import time

    from training.learning import run

    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    run.SECONDS_BETWEEN_CHECKPOINTS = -1
    take_step = run.TrainingRun.take_step

    def slowly(self: Any) -> float:
        if self.step >= at_step:
            time.sleep(0.02)  # keeps the run going until the test has sent its signal
        return take_step(self)

    run.TrainingRun.take_step = slowly  # type: ignore[method-assign]


def workers(folder: Path, *arguments: str, steps: int, slow_from: int = 10**9) -> list[Any]:
    """The two processes of a run, started."""
    addresses = ",".join(free_addresses(2))
    return [
        started(
            *("train", "--name", "me", *arguments, "--steps", str(steps)),
            *("--workers", addresses, "--worker", str(i)),
            cwd=folder,
            out=folder / f"out{i}",
            err=folder / f"err{i}",
            before=(prepared, slow_from),
        )
        for i in range(2)
    ]


def ended(processes: list[Any], seconds: float) -> list[int | None]:
    """The exit codes; None of a process that has not ended in time."""
    for process in processes:
        process.join(seconds)
    return [process.exitcode for process in processes]


def begin(folder: Path) -> list[str]:
    return ["--corpus", str(write_corpus(folder / "corpus.txt")), *RUN]


def training_began(folder: Path) -> bool:
    path = folder / "runs/me" / CHECKPOINT
    if not path.exists():
        return False
    from training.learning.checkpoint import Checkpoint

    return bool(Checkpoint.values_of(path)["step"] > 5)


def errors(folder: Path) -> list[str]:
    return [(folder / f"err{i}").read_text() for i in range(2)]


def unbroken(folder: Path, steps: int) -> dict[str, Any]:
    folder.mkdir()
    assert ended(workers(folder, *begin(folder), steps=steps), 60) == [0, 0], errors(folder)
    return checkpoint_of(folder / "runs/me")


@pytest.mark.slow
@pytest.mark.parametrize("killed", [0, 1], ids=["chief", "worker"])
def test_after_kill_9_the_other_ends_and_both_resume_to_the_same_bits(tmp_path: Path, killed: int) -> None:
    expected = unbroken(tmp_path / "straight", 60)
    processes = workers(tmp_path, *begin(tmp_path), steps=60, slow_from=6)
    wait_until(lambda: training_began(tmp_path), timeout_s=60)
    processes[killed].kill()
    assert ended([processes[1 - killed]], SECONDS_TO_END) == [4]
    assert LOST in errors(tmp_path)[1 - killed].splitlines()[-1]
    assert ended(workers(tmp_path, "--resume", "--force", steps=60), 60) == [0, 0], errors(tmp_path)
    for name, array in checkpoint_of(tmp_path / "runs/me").items():
        np.testing.assert_array_equal(array, expected[name], err_msg=name)


@pytest.mark.parametrize("signalled", [0, 1], ids=["chief", "worker"])
def test_sigterm_to_one_worker_stops_all_at_one_step_saved(tmp_path: Path, signalled: int) -> None:
    processes = workers(tmp_path, *begin(tmp_path), steps=5000, slow_from=6)
    wait_until(lambda: training_began(tmp_path), timeout_s=60)
    os.kill(processes[signalled].pid, signal.SIGTERM)
    assert ended(processes, 20) == [143, 143]
    stopped = [
        next(line for line in text.splitlines() if line.startswith("Stopped at step")) for text in errors(tmp_path)
    ]
    assert stopped[0].split(";")[0] == stopped[1].split(";")[0]

"""`train` on two workers in real processes: the whole run, a lost worker, a signal, restarts."""

import os
import random
import signal
import subprocess
from collections.abc import Callable, Iterator
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import pytest

from tests.processes import COMMAND, ENVIRONMENT, started
from tests.texts import write_corpus
from tests.training.data.encoded import encode_all
from tests.training.learning.workers import TIMEOUT_S, assert_equal, free_addresses, result_of
from tests.waiting import wait_until
from training.config import TrainConfig
from training.learning.checkpoint import Checkpoint
from training.learning.folder import CHECKPOINT, HISTORY

SIZE = ["--layers", "1", "--units", "8", "--embedding", "4", "--batch-size", "4", "--window", "5"]
DROPS = ["--dropout", "0.2", "--output-dropout", "0.2", "--weight-dropout", "0.2", "--grad-clip", "0.5", "--ema", "0.9"]
LOST = "Error: The connection to another worker is lost"
STEPS = 60

Start = Callable[..., ForkServerProcess]


def on_one_core(seconds_a_step: float) -> None:
    """Runs in a worker's process: compute one replica, save after every step, and make a step last this long."""
    import time

    from training.learning import run

    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    run.SECONDS_BETWEEN_CHECKPOINTS = -1
    take_step = run.TrainingRun.take_step

    def slowly(self: Any) -> float:
        time.sleep(seconds_a_step)
        return take_step(self)

    run.TrainingRun.take_step = slowly  # type: ignore[method-assign]


def on_one_core_with_small_blocks(seconds_a_step: float) -> None:
    """Runs in a worker's process: also fetch encoded parts every few steps."""
    from training.data import encoded_parts

    encoded_parts.BLOCK_SYMBOLS = 16
    on_one_core(seconds_a_step)


def with_two_replicas(_: None) -> None:
    """Runs in the process of a run that trains alone: compute the replicas of two workers."""
    from training.learning import backend

    backend.cores = lambda: 2


class Folder:
    """A folder in which runs are started; `kill` ends those processes that are left."""

    def __init__(self, path: Path) -> None:
        self.path, self.addresses = path, ",".join(free_addresses(2))
        self._started: list[ForkServerProcess] = []
        self.corpus = str(write_corpus(path / "corpus.txt"))

    def begin(self, steps: int) -> list[str]:
        """The flags of a new run."""
        return ["--name", "me", "--force", "--corpus", self.corpus, *SIZE, *DROPS, "--steps", str(steps)]

    def start(self, *flags: str, log: int, before: tuple[Callable[..., None], Any]) -> ForkServerProcess:
        """Begin or resume the run in a process."""
        resume = ["--name", "me", "--resume", "--force"]
        begun = (self.path / "runs/me/run.json").exists()
        process = started(
            *("train", *(resume if begun else self.begin(STEPS)), *flags),
            cwd=self.path,
            out=self.path / f"out{log}",
            err=self.path / f"err{log}",
            before=before,
        )
        self._started.append(process)
        return process

    def worker(self, index: int, seconds_a_step: float = 0) -> ForkServerProcess:
        """Start one of the two workers."""
        flags = ("--workers", self.addresses, "--worker", str(index))
        return self.start(*flags, log=index, before=(on_one_core, seconds_a_step))

    def workers(self, seconds_a_step: float = 0) -> list[ForkServerProcess]:
        """Start both workers."""
        return [self.worker(index, seconds_a_step) for index in range(2)]

    def step(self) -> int:
        """The steps that are saved."""
        path = self.path / "runs/me" / CHECKPOINT
        return int(Checkpoint.values_of(path)["step"]) if path.exists() else 0

    def errors(self, index: int) -> str:
        """The stderr of a worker."""
        return (self.path / f"err{index}").read_text()

    def result(self) -> dict[str, Any]:
        """All that must be equal in two runs that end with the same bits."""
        return result_of(self.path / "runs/me", self.path / "models/me/1")

    def kill(self) -> None:
        """End every process that is left."""
        for process in self._started:
            process.kill()


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    made = Folder(tmp_path)
    yield made
    made.kill()


def exit_codes(processes: list[ForkServerProcess]) -> list[int | None]:
    """The exit codes; None of a process that has not ended in time."""
    for process in processes:
        process.join(TIMEOUT_S)
    return [process.exitcode for process in processes]


def trained_alone(path: Path) -> dict[str, Any]:
    """The result of an unbroken run on one process with two replicas."""
    path.mkdir()
    alone = Folder(path)
    process = alone.start(log=0, before=(with_two_replicas, None))
    assert exit_codes([process]) == [0], alone.errors(0)
    return alone.result()


@pytest.mark.parametrize("signalled", [0, pytest.param(1, marks=pytest.mark.slow)], ids=["chief", "worker"])
def test_sigterm_to_one_worker_stops_all_at_one_step_saved(folder: Folder, signalled: int) -> None:
    processes = folder.workers(seconds_a_step=0.3)  # the run must not end before the signal
    wait_until(lambda: folder.step() > 2, TIMEOUT_S)
    os.kill(processes[signalled].pid or 0, signal.SIGTERM)
    assert exit_codes(processes) == [143, 143]
    for index in range(2):
        assert f"Stopped at step {folder.step()} of {STEPS}; " in folder.errors(index)


@pytest.mark.slow
@pytest.mark.parametrize("killed", [0, 1], ids=["chief", "worker"])
@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGSTOP])
def test_a_lost_worker_ends_the_other(folder: Folder, killed: int, by: int) -> None:
    processes = folder.workers(seconds_a_step=0.3)
    wait_until(lambda: folder.step() > 2, TIMEOUT_S)
    os.kill(processes[killed].pid or 0, by)
    assert exit_codes([processes[1 - killed]]) == [4]
    assert folder.errors(1 - killed).splitlines()[-1].startswith(LOST)


@pytest.mark.slow
@pytest.mark.parametrize("failing", [0, 1], ids=["chief", "worker"])
def test_a_worker_that_cannot_read_its_text_ends_the_other(folder: Folder, failing: int) -> None:
    encode_all(folder.corpus, TrainConfig(), folder.path / "parts", 3)
    folder.corpus = "parts"
    processes = [
        folder.start(
            *("--workers", folder.addresses, "--worker", str(index)),
            log=index,
            before=(on_one_core_with_small_blocks if index == failing else on_one_core, 0.3),
        )
        for index in range(2)
    ]
    wait_until(lambda: folder.step() > 2, TIMEOUT_S)
    for path in (folder.path / "parts").glob("*.ids"):
        path.unlink()
    assert exit_codes(processes) == ([1, 4] if failing == 0 else [4, 1])
    assert folder.errors(failing).splitlines()[-1].endswith(".ids is missing.")
    assert folder.errors(1 - failing).splitlines()[-1].startswith(LOST)


@pytest.mark.slow
def test_a_lost_worker_is_reported_in_one_sentence(folder: Folder) -> None:
    """In processes of their own: a fork of a process that has imported TensorFlow logs its errors too."""
    processes = [
        subprocess.Popen(
            [*COMMAND, "train", *folder.begin(steps=1_000_000), "--workers", folder.addresses, "--worker", str(index)],
            cwd=folder.path,
            env=ENVIRONMENT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(2)
    ]
    try:
        wait_until((folder.path / "runs/me" / HISTORY).exists)
        processes[0].kill()
        waiting, sentence = processes[1].communicate(timeout=TIMEOUT_S)[1].splitlines()
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    assert waiting == "Worker 1 of 2 waits for the others."
    assert sentence.startswith(LOST)
    assert processes[1].returncode == 4


@pytest.mark.slow
def test_three_kills_under_restarts_end_as_an_unbroken_run_on_one_process(folder: Folder) -> None:
    """Each worker is restarted alone whenever it fails, as Compose and systemd do."""
    expected = trained_alone(folder.path / "alone")
    generator = random.Random(1)
    kills = [(step, generator.randrange(2)) for step in sorted(generator.sample(range(3, STEPS - 5), 3))]
    processes = folder.workers(seconds_a_step=0.05)

    def ended() -> bool:
        if kills and folder.step() >= kills[0][0]:
            _, killed = kills.pop(0)
            processes[killed].kill()
            processes[killed].join()
        for index, process in enumerate(processes):
            if process.exitcode not in (None, 0):
                processes[index] = folder.worker(index, seconds_a_step=0.05)
        return all(process.exitcode == 0 for process in processes)

    wait_until(ended, timeout_s=200, explain=lambda: folder.errors(0) + folder.errors(1))
    assert not kills
    assert_equal(folder.result(), expected)

"""deploy/ray/train.py: its flags and processes, and a cluster of two nodes on this machine, of which one is killed."""

import importlib.util
import os
import re
import runpy
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock, patch

import pytest

from tests.ports import free_port
from tests.processes import CONTEXT, ENVIRONMENT, ROOT, write_to
from tests.texts import write_corpus
from tests.training.learning.workers import assert_equal, result_of
from tests.waiting import wait_until

HOST = "127.0.0.1"
RAY = [sys.executable, "-m", "ray.scripts.scripts"]
# Ray gives its workers, and so the training, the lowest priority.
RAY_SETTINGS = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0", "RAY_DEDUP_LOGS": "0"}
SIZE = ["--layers", "1", "--units", "16", "--embedding", "8", "--batch-size", "8", "--window", "20", "--dropout", "0.1"]
FLAGS = ["--name", "me", "--force", "--corpus", "corpus.txt", *SIZE, "--steps", "400", "--eval-every", "3"]
EVALUATIONS = 5  # the last one after the last step
TRAINING = "-m training train"
CORES = sorted(os.sched_getaffinity(0))[:2]


def launcher_functions() -> dict[str, Any]:
    """The functions of deploy/ray/train.py, which work without Ray."""
    modules = {name: MagicMock() for name in ("ray", "ray.train", "ray.train.tensorflow")}
    with patch.dict(sys.modules, modules):
        return runpy.run_path(str(ROOT / "deploy/ray/train.py"))


def start(command: list[str], folder: Path, log: Path, cores: list[int]) -> subprocess.Popen[bytes]:
    """Start a command in `folder` on these cores."""
    with log.open("ab") as file:
        return subprocess.Popen(
            ["taskset", "--cpu-list", ",".join(map(str, cores)), *command],
            cwd=folder,
            env=ENVIRONMENT | RAY_SETTINGS,
            stdout=file,
            stderr=subprocess.STDOUT,
        )


def descendants(process: int) -> list[int]:
    """The processes that a process has started, and those that they have."""
    found: list[int] = []
    with suppress(OSError):
        for task in Path(f"/proc/{process}/task").iterdir():
            for child in map(int, (task / "children").read_text().split()):
                found += [child, *descendants(child)]
    return found


def command_of(process: int) -> str:
    """The command line of a process; empty if it has ended."""
    with suppress(OSError):
        return Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    return ""


def kill_tree(process: subprocess.Popen[bytes]) -> list[str]:
    """Kill a node with all its processes at once; their command lines."""
    killed = [process.pid, *descendants(process.pid)]
    commands = [command_of(number) for number in killed]
    for number in killed:
        with suppress(OSError):
            os.kill(number, signal.SIGKILL)
    process.wait()
    return commands


class Cluster:
    """Two nodes with one core each. Ray may place two workers on the first and one on the second."""

    def __init__(self, folder: Path, sessions: Path) -> None:
        self.folder, self._sessions = folder, sessions
        self.address = f"{HOST}:{free_port()}"
        self.nodes: list[subprocess.Popen[bytes]] = []

    def start_nodes(self) -> None:
        head = ["--head", "--port", self.address.rpartition(":")[2], "--include-dashboard=false"]
        self._start_node(*head, "--temp-dir", str(self._sessions), "--num-cpus=2")
        self._start_node("--address", self.address, "--num-cpus=1")

    def train(self) -> subprocess.Popen[bytes]:
        """Start the launcher."""
        command = ["env", f"RAY_ADDRESS={self.address}", sys.executable, str(ROOT / "deploy/ray/train.py"), "2", *FLAGS]
        return start(command, self.folder, self.folder / "launcher.log", CORES)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def _start_node(self, *options: str) -> None:
        number = len(self.nodes)
        name = f"node{number}"
        command = [*RAY, "start", "--block", f"--node-ip-address={HOST}", "--object-store-memory=100000000", *options]
        node = start(command, self.folder, self.folder / f"{name}.log", [CORES[number]])
        self.nodes.append(node)
        wait_until(lambda: "Ray runtime started" in self.log(name) or node.poll(), explain=lambda: self.log(name))
        assert node.poll() is None, self.log(name)


@contextmanager
def cluster_in(folder: Path) -> Iterator[Cluster]:
    """A cluster whose nodes are killed at the end."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as sessions:  # a short path, for Ray's sockets
        cluster = Cluster(folder, Path(sessions))
        try:
            cluster.start_nodes()
            yield cluster
        finally:
            for node in cluster.nodes:
                kill_tree(node)


def evaluations(folder: Path) -> int:
    """The evaluations of the run."""
    history = folder / "runs/me/history.jsonl"
    return history.read_text().count("\n") if history.exists() else 0


def starts(cluster: Cluster) -> list[str]:
    """The process and the message of each worker that was started; Ray may repeat a line."""
    return sorted(set(re.findall(r"pid=\d+\).*Worker \d of 2 waits", cluster.log("launcher"))))


def result(folder: Path) -> dict[str, Any]:
    return result_of(folder / "runs/me", folder / "models/me/1")


@pytest.fixture
def expected(tmp_path: Path) -> dict[str, Any]:
    """The result of an unbroken run on one process, which computes the replicas of two workers."""
    folder = tmp_path / "unbroken"
    folder.mkdir()
    write_corpus(folder / "corpus.txt", 1500)
    log = tmp_path / "unbroken.log"
    process = start([sys.executable, "-m", "training", "train", *FLAGS], folder, log, CORES)
    assert process.wait(200) == 0, log.read_text()
    return result(folder)


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs deploy/ray/requirements.txt")
@pytest.mark.skipif(len(CORES) < 2, reason="needs two cores")
def test_a_run_whose_node_is_killed_ends_as_an_unbroken_one(expected: dict[str, Any], tmp_path: Path) -> None:
    folder = tmp_path / "killed"
    folder.mkdir()
    write_corpus(folder / "corpus.txt", 1500)
    with cluster_in(folder) as cluster:
        launcher = cluster.train()
        wait_until(lambda: evaluations(folder) or launcher.poll(), 200, explain=lambda: cluster.log("launcher"))
        killed_s, before = time.monotonic(), evaluations(folder)
        killed = kill_tree(cluster.nodes[1])
        assert len([command for command in killed if TRAINING in command]) == 1, killed
        assert 0 < before < EVALUATIONS
        wait_until(lambda: len(starts(cluster)) == 4, 200, explain=lambda: cluster.log("launcher"))
        print(f"\nall workers started again after {time.monotonic() - killed_s:.1f} s")
        wait_until(lambda: evaluations(folder) > before, 200, explain=lambda: cluster.log("launcher"))
        print(f"first evaluation after {time.monotonic() - killed_s:.1f} s")
        assert launcher.wait(200) == 0, cluster.log("launcher")
        print(f"{len(starts(cluster))} starts of a worker")
    assert_equal(result(folder), expected)


@pytest.mark.parametrize(
    ("given", "begun", "expected"),
    [
        (["--name", "me", "--units", "8", "--force"], False, ["--name", "me", "--units", "8", "--force"]),
        (["--name=me", "--units=8"], True, ["--resume", "--name", "me", "--runs", "runs", "--models", "models"]),
        (
            ["--force", "--models", "m", "--name", "me", "--units", "8"],
            True,
            ["--resume", "--name", "me", "--runs", "runs", "--models", "m", "--force"],
        ),
    ],
)
def test_a_start_begins_the_run_or_resumes_it(
    given: list[str], begun: bool, expected: list[str], tmp_path: Path
) -> None:
    if begun:
        (tmp_path / "runs/me").mkdir(parents=True)
        (tmp_path / "runs/me/run.json").touch()
    assert launcher_functions()["flags_of"](given, str(tmp_path)) == expected


def test_restart_is_refused_since_every_start_of_a_run_that_exists_resumes_it() -> None:
    with pytest.raises(SystemExit, match="--restart is refused here: a run that exists is resumed"):
        launcher_functions()["main"](2, ["--name", "me", "--restart", "--corpus", "new.txt"])


def work(config: dict[str, Any], log: Path) -> None:
    """Runs in a process like Ray's worker."""
    write_to(log, log)
    launcher_functions()["worker"](config)


@pytest.mark.slow
def test_the_training_ends_with_its_worker(tmp_path: Path) -> None:
    """Ray kills a worker without its child processes."""
    write_corpus(tmp_path / "corpus.txt", 1500)
    config = {"flags": [*FLAGS, "--steps", "1000000"], "folder": str(tmp_path)}
    log = tmp_path / "worker.log"
    worker = CONTEXT.Process(target=work, args=(config, log))
    worker.start()
    wait_until((tmp_path / "runs/me/run.json").exists, explain=log.read_text)
    (training,) = [number for number in descendants(worker.pid or 0) if TRAINING in command_of(number)]
    worker.kill()
    try:
        wait_until(lambda: TRAINING not in command_of(training), 10)
    finally:
        with suppress(ProcessLookupError):
            os.kill(training, signal.SIGKILL)

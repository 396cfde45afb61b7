"""The profile `distributed` of docker-compose.yml: its script, and two workers that are killed on a real engine."""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.containers import Compose, docker, needs_engine, wait
from tests.processes import ROOT
from tests.texts import random_words
from tests.training.learning.workers import assert_equal, result_of

WORKERS = ("worker-0", "worker-1")
FLAGS = (
    "--force --layers 1 --units 16 --embedding 8 --batch-size 8 --window 20 --dropout 0.1 --steps 1500 --eval-every 10"
)
EVALUATIONS = 5  # the last one after the last step
KILL_TRAINING = "kill -9 $(cat /proc/1/task/1/children)"  # process 1 is tini


class Workers:
    """The two workers of a run, as containers of a project of their own."""

    def __init__(self, compose: Compose) -> None:
        self._compose = compose
        compose.write("mine", "text.txt", random_words(1, 1500))
        compose("up", "-d", "--no-build", *WORKERS)
        self._ids = {name: compose.container(name) for name in WORKERS}

    def inspect(self, name: str) -> dict[str, Any]:
        (found,) = json.loads(docker("inspect", self._ids[name]))
        return dict(found)

    def restarts(self) -> list[int]:
        """How often each container was restarted."""
        return [self.inspect(name)["RestartCount"] for name in WORKERS]

    def evaluations(self) -> int:
        """The evaluations of the run; 0 while its chief does not run."""
        command = ["docker", "exec", self._ids["worker-0"], "cat", "/runs/mine/history.jsonl"]
        return subprocess.run(command, capture_output=True, check=False).stdout.count(b"\n")

    def started_s(self, name: str) -> float:
        """The time of a container's last start, as of time.time()."""
        return datetime.fromisoformat(self.inspect(name)["State"]["StartedAt"]).timestamp()

    def kill(self, name: str) -> list[float]:
        """Kill the training process of a container; the seconds until each container was started again."""
        assert 0 < self.evaluations() < EVALUATIONS
        killed_s = time.time()
        docker("exec", self._ids[name], "sh", "-c", KILL_TRAINING)
        wait(lambda: all(self.started_s(worker) > killed_s for worker in WORKERS), explain=self.logs)
        return [round(self.started_s(worker) - killed_s, 1) for worker in WORKERS]

    def result(self, folder: Path) -> dict[str, Any]:
        """The result of the run, when both containers have ended."""
        wait(lambda: all(self.inspect(name)["State"]["Status"] == "exited" for name in WORKERS), explain=self.logs)
        assert [self.inspect(name)["State"]["ExitCode"] for name in WORKERS] == [0, 0], self.logs()
        for volume in ("runs", "models"):
            docker("cp", f"{self._ids['worker-0']}:/{volume}", str(folder))
        return result_of(folder / "runs/mine", folder / "models/mine/1")

    def logs(self) -> str:
        return self._compose("logs", "--no-color", *WORKERS).stdout


@contextmanager
def trained(folder: Path) -> Iterator[Workers]:
    """Two workers with one replica each; the project is removed at the end."""
    folder.mkdir()
    settings = {"RUN": "mine", "CORPUS": "/corpora/mine", "TRAIN_FLAGS": FLAGS, "NIGHTLY_CPUS": "1"}
    variables = {f"CHARLOOM_{name}": value for name, value in settings.items()}
    compose = Compose(folder, COMPOSE_PROFILES="distributed", **variables)
    try:
        yield Workers(compose)
    finally:
        compose("down", "--volumes", "--timeout", "5", check=False)


@pytest.mark.slow
@pytest.mark.container
@pytest.mark.timeout(900)
@needs_engine
def test_a_run_whose_workers_are_killed_ends_as_an_unbroken_one(tmp_path: Path) -> None:
    Compose(tmp_path / "build")("build", WORKERS[0])
    with trained(tmp_path / "unbroken") as workers:
        expected = workers.result(tmp_path / "unbroken")
        assert workers.restarts() == [0, 0]
    with trained(tmp_path / "killed") as workers:
        for killed in ("worker-1", "worker-0"):
            seen = workers.evaluations()
            wait(lambda seen=seen: workers.evaluations() > seen, explain=workers.logs)
            seconds = workers.kill(killed)
            print(f"\n{killed} killed: containers started after {seconds} s, restarts {workers.restarts()}")
        found = workers.result(tmp_path / "killed")
    assert_equal(found, expected)


def run_script(folder: Path, flags: str) -> subprocess.CompletedProcess[str]:
    """Run the script of a worker with the volume of runs in `folder`; it prints the arguments of `charloom`."""
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
    (script,) = services["worker-1"]["command"]
    charloom = folder / "charloom"
    charloom.write_text('#!/bin/sh\necho "$@"\n')
    charloom.chmod(0o755)
    settings = {"RUN": "mine", "CORPUS": "/corpora", "FLAGS": flags, "WORKER": "1"}
    return subprocess.run(
        ["sh", "-c", script.replace("$$", "$").replace("/runs/$", f"{folder}/$")],
        env=settings | {"PATH": f"{folder}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("flags", "begun", "expected"),
    [
        ("--units 16 --force", False, "--corpus /corpora --units 16 --force"),
        ("--units 16 --force", True, "--resume --force"),
        ("--units 16", True, "--resume"),
        ("", False, "--corpus /corpora"),
    ],
)
def test_a_worker_begins_the_run_or_resumes_it(flags: str, begun: bool, expected: str, tmp_path: Path) -> None:
    if begun:
        (tmp_path / "mine").mkdir()
        (tmp_path / "mine/run.json").touch()
    assert run_script(tmp_path, flags).stdout.strip() == (
        f"train --name mine --runs /runs --models /models {expected} --workers worker-0:4000,worker-1:4000 --worker 1"
    )


def test_restart_is_refused_since_every_start_of_a_run_that_exists_resumes_it(tmp_path: Path) -> None:
    refused = run_script(tmp_path, "--units 16 --restart --force")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr.startswith("CHARLOOM_TRAIN_FLAGS must not have --restart: a run that exists is resumed")


def test_a_worker_that_cannot_train_is_not_restarted_for_ever() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
    for name in WORKERS:
        policy, _, limit = services[name]["restart"].partition(":")
        assert policy == "on-failure"
        assert int(limit) > 0

"""Fixtures that several folders share: the tiny model and running services. Also the order and markers of all tests."""

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.processes import ROOT, training
from tests.servers import Server
from tests.texts import write_corpus
from tests.workers import made_once

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# "make test" exports its variables, and a make that a test runs would read them.
for _name in ("MAKELEVEL", "MAKEFLAGS", "MFLAGS", "MAKEOVERRIDES", "ARGS", "NAME", "CORPUS", "PORT"):
    os.environ.pop(_name, None)
# A shell that starts the tests in the background ignores SIGINT, and so would every process that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Started first, so that no worker of pytest-xdist is left alone with one of them at the end.
SLOWEST_FILES = (
    "system/test_containers.py",
    "system/test_readme.py",
    "training/learning/test_resume.py",
    "training/retraining/test_retrain.py",
    "training/commands/test_train.py",
    "contract/test_exactness.py",
    "training/release/test_export.py",
    "training/learning/test_step_jax.py",
    "training/learning/test_interruption.py",
    "training/learning/test_run.py",
    "training/commands/test_teaching.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of tests/system, and move the slowest files to the front."""
    for item in items:
        if item.path.is_relative_to(ROOT / "tests/system"):
            item.add_marker("system")
    items.sort(key=lambda item: _rank(item.path.relative_to(ROOT / "tests").as_posix()))


def _rank(file: str) -> int:
    return SLOWEST_FILES.index(file) if file in SLOWEST_FILES else len(SLOWEST_FILES)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `corpus.txt`, `runs/tiny` and `models/tiny/1`. Tests must not change it."""
    original = made_once(tmp_path_factory, "tiny", _train_tiny)
    # Each worker has its own copy, because some commands lock the run.
    return Path(shutil.copytree(original, tmp_path_factory.mktemp("tiny"), dirs_exist_ok=True))


def _train_tiny(folder: Path) -> None:
    corpus = write_corpus(folder / "corpus.txt")
    size = ["--layers", "1", "--units", "8", "--embedding", "4", "--batch-size", "4", "--window", "20"]
    drops = ["--dropout", "0.1", "--output-dropout", "0.1", "--weight-dropout", "0.1"]
    learning = ["--epochs", "4", "--learning-rate", "0.05", "--warmup-steps", "5", *drops]
    training("train", "--name", "tiny", "--corpus", str(corpus), *size, *learning, cwd=folder)


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Any]:
    """A function that starts a service; all of them are stopped at the end of the test."""
    servers: list[Server] = []

    def start(models: Path, **settings: Any) -> Server:
        servers.append(Server(models, **settings))
        return servers[-1]

    yield start
    for server in servers:
        if server.process.is_alive():
            server.stop()


@pytest.fixture(scope="session")
def server(tiny: Path) -> Iterator[Server]:
    """A service with the tiny model, for tests that leave it as it is."""
    started = Server(tiny / "models", engines=2, slots=16, chunk=8)
    yield started
    started.stop()

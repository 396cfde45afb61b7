"""Fixtures that several folders share: a tiny model trained by the real command, and servers that really run."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.processes import training
from tests.servers import Server
from tests.texts import write_corpus

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# "make test" exports its variables. A make that a test runs would take over ARGS, and print the folders that it enters.
for _name in ("MAKELEVEL", "MAKEFLAGS", "MFLAGS", "MAKEOVERRIDES", "ARGS", "NAME", "CORPUS", "PORT"):
    os.environ.pop(_name, None)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `corpus.txt`, `runs/` and `models/tiny/1`, trained in seconds. Not to be changed."""
    folder = tmp_path_factory.mktemp("tiny")
    corpus = write_corpus(folder / "corpus.txt")
    size = ["--layers", "1", "--units", "8", "--embedding", "4", "--batch-size", "4", "--window", "20"]
    drops = ["--dropout", "0.1", "--output-dropout", "0.1", "--weight-dropout", "0.1"]
    learning = ["--epochs", "4", "--learning-rate", "0.05", "--warmup-steps", "5", *drops]
    training("train", "--name", "tiny", "--corpus", str(corpus), *size, *learning, cwd=folder)
    return folder


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Any]:
    """Start servers that end with the test."""
    servers: list[Server] = []

    def start(models: Path, **settings: Any) -> Server:
        servers.append(Server(models, **settings))
        return servers[-1]

    yield start
    for server in servers:
        if server.process.poll() is None:
            server.stop()


@pytest.fixture(scope="session")
def server(tiny: Path) -> Iterator[Server]:
    """A server with the tiny model, shared by all tests that leave it as it is."""
    started = Server(tiny / "models", engines=2, slots=16, chunk=8)
    yield started
    started.stop()

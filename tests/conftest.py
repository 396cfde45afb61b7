"""Fixtures that several folders share: a tiny model trained by the real command, and servers that really run."""

import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.processes import ROOT, training

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# "make test" exports its variables. A make that a test runs would take over ARGS, and print the folders that it enters.
for _name in ("MAKELEVEL", "MAKEFLAGS", "MFLAGS", "MAKEOVERRIDES", "ARGS", "NAME", "CORPUS", "PORT"):
    os.environ.pop(_name, None)

SECONDS_TO_START = 60


def write_corpus(path: Path, words: int = 600) -> Path:
    """A text that a very small network can learn something of: about four characters a word."""
    generator = random.Random(5)
    choices = ["the ", "cat ", "sat ", "on ", "a ", "mat.\n", "dog ", "ran "]
    path.write_text("".join(generator.choice(choices) for _ in range(words)))
    return path


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


class Server:
    """gunicorn with the service, on a free port of this machine."""

    def __init__(self, models: Path, *, before_start: Callable[[], None] | None = None, **settings: object) -> None:
        """`before_start` is called in the new process, and may lower its limits."""
        self.port = self.free_port()
        variables = {f"CHARLOOM_{name.upper()}": str(value) for name, value in settings.items()}
        self._log = Path(models).parent / f"server-{self.port}.log"
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gunicorn", "--config", "service/gunicorn.conf.py"],
                cwd=ROOT,
                env=os.environ | {"PORT": str(self.port), "CHARLOOM_MODELS": str(models)} | variables,
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=before_start,
            )
        deadline = time.monotonic() + SECONDS_TO_START
        while not self._is_up():
            if self.process.poll() is not None or time.monotonic() >= deadline:
                self.process.kill()
                raise AssertionError(self.log())
            time.sleep(0.05)  # between two looks, not for luck

    @staticmethod
    def free_port() -> int:
        """A port that nobody uses just now."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])

    def log(self) -> str:
        return self._log.read_text()

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def request(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int, http.client.HTTPMessage, bytes]:
        """Status, headers and the whole body; a body that is not bytes is sent as JSON."""
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        sent = {"Content-Type": "application/json"} if content is not None else {}
        connection = self.connect()
        try:
            connection.request(method, path, content, sent | (headers or {}))
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    def generate(self, **fields: Any) -> dict[str, Any]:
        """The one object that `stream: false` answers."""
        status, _, body = self.request("POST", "/generate", fields | {"stream": False})
        assert status == 200, body
        return json.loads(body)

    def stop(self) -> int:
        """SIGTERM; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)

    def _is_up(self) -> bool:
        try:
            return self.request("GET", "/livez")[0] == 200
        except OSError:
            return False


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

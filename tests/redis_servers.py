"""A Redis of a test's own: on a free port, in a temporary folder, without persistence."""

import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from tests.ports import free_port
from tests.waiting import wait_until

needs_redis = pytest.mark.skipif(shutil.which("redis-server") is None, reason="needs redis-server")


class RedisServer:
    """A `redis-server` that can be stopped, started again on its port, and suspended."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.client = redis.Redis(port=self.port, password=options[-1] if options else None)
        persistence = ["--save", "", "--appendonly", "no", "--dir", str(folder)]
        self._command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", *persistence, *options]
        self.start()

    def start(self) -> None:
        """Start it, empty."""
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL)
        try:
            wait_until(self._is_up)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        self.client.close()
        self._process.kill()
        self._process.wait()

    def suspend(self) -> None:
        """Let it keep its connections and answer nothing, as a machine that hangs does."""
        self._process.send_signal(signal.SIGSTOP)

    def _is_up(self) -> bool:
        try:
            return bool(self.client.ping())
        except redis.ConnectionError:
            return False


def wait_long_for_redis() -> None:
    """Runs in a service's process: a Redis that answers late, as on a busy machine, has not failed."""
    from service import rate_storage

    rate_storage.TIMEOUT_S = 30


@contextmanager
def running_redis(folder: Path, *options: str) -> Iterator[RedisServer]:
    """Start one, and stop it at the end."""
    server = RedisServer(folder, *options)
    try:
        yield server
    finally:
        server.stop()

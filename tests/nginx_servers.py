"""A real nginx with deploy/nginx/nginx.conf, before services of a test."""

import http.client
import itertools
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.ports import free_port
from tests.processes import ROOT
from tests.servers import Server
from tests.waiting import wait_until

CONFIGURATION = ROOT / "deploy/nginx/nginx.conf"
PROGRAM = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")  # which is not in every user's PATH

needs_nginx = pytest.mark.skipif(PROGRAM is None, reason="needs nginx")


class Nginx(Server):
    """nginx with the configuration of deploy/; only its ports and its folder differ."""

    def __init__(self, folder: Path, ports: list[int]) -> None:
        """Start it before the services at these two ports of 127.0.0.1, and wait until it answers."""
        self.port = free_port()
        self._log = folder / f"nginx-{self.port}.log"
        self._addresses = itertools.count(2)
        text = CONFIGURATION.read_text(encoding="utf-8")
        changes = {f"service-{number}:8000": f"127.0.0.1:{port}" for number, port in enumerate(ports, 1)}
        for old, new in (changes | {"listen 8080": f"listen 127.0.0.1:{self.port}", "/tmp/": f"{folder}/"}).items():
            assert old in text, old
            text = text.replace(old, new)
        (folder / "nginx.conf").write_text(text, encoding="utf-8")
        command = [str(PROGRAM), "-e", "stderr", "-c", str(folder / "nginx.conf")]
        # Started by root, nginx would run its workers as a user who may not read the folder.
        options = "daemon off; user root;" if folder.owner() == "root" else "daemon off;"
        with self._log.open("w") as log:
            self._nginx = subprocess.Popen([*command, "-g", options], stdout=log, stderr=subprocess.STDOUT)
        try:
            wait_until(lambda: self._listens() or self._nginx.poll() is not None, explain=self.log)
            assert self._nginx.poll() is None, self.log()
        except BaseException:
            self.stop()
            raise

    def connect(self) -> http.client.HTTPConnection:
        """A connection from an address of its own, since services count requests by address."""
        number = next(self._addresses)
        address = f"127.0.{number // 250}.{number % 250 + 2}"
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60, source_address=(address, 0))

    def stop(self) -> int:
        """Send SIGTERM and return the exit code."""
        self._nginx.terminate()
        return self._nginx.wait(60)

    def _listens(self) -> bool:
        try:
            return self.request("GET", "/metrics")[0] == 404
        except OSError:
            return False


@contextmanager
def running_nginx(folder: Path, ports: list[int]) -> Iterator[Nginx]:
    """Start one, and stop it at the end."""
    nginx = Nginx(folder, ports)
    try:
        yield nginx
    finally:
        assert nginx.stop() == 0, nginx.log()

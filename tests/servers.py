"""The service in a process of its own: gunicorn on a free port, asked over HTTP."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.processes import ROOT
from tests.waiting import wait_until

SECONDS_TO_START = 60


class Server:
    """gunicorn with the service, on a free port of 127.0.0.1. `settings` become `CHARLOOM_…` variables."""

    def __init__(
        self,
        models: Path | str,
        *,
        log_folder: Path | None = None,
        before_start: Callable[[], None] | None = None,
        **settings: object,
    ) -> None:
        """Start it and wait until it answers. `before_start` is called in the new process, to lower its limits.

        The log is written beside the folder `models`, or into `log_folder` where that is the URL of a bucket.
        """
        self.port = self.free_port()
        variables = {f"CHARLOOM_{name.upper()}": str(value) for name, value in settings.items()}
        self._log = (log_folder or Path(models).parent) / f"server-{self.port}.log"
        with self._log.open("w") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "gunicorn", "--config", "service/gunicorn.conf.py"],
                cwd=ROOT,
                env=os.environ | {"PORT": str(self.port), "CHARLOOM_MODELS": str(models)} | variables,
                stdout=log,
                stderr=subprocess.STDOUT,
                preexec_fn=before_start,
            )
        try:
            wait_until(lambda: self._is_up() or self.process.poll() is not None, SECONDS_TO_START, explain=self.log)
            assert self.process.poll() is None, self.log()
        except AssertionError:
            self.process.kill()
            raise

    @staticmethod
    def free_port() -> int:
        """A port that is free at the moment."""
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
        """Return status, headers and body of the response. A `body` that is not bytes is sent as JSON."""
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        sent = {"Content-Type": "application/json"} if content is not None else {}
        connection = self.connect()
        try:
            connection.request(method, path, content, sent | (headers or {}))
            response = connection.getresponse()
            return response.status, response.headers, response.read()
        finally:
            connection.close()

    def ask(self, path: str, fields: dict[str, Any]) -> dict[str, Any]:
        """The object of a POST, which must succeed."""
        status, _, body = self.request("POST", path, fields)
        assert status == 200, body
        return json.loads(body)

    def generate(self, **fields: Any) -> dict[str, Any]:
        """The response of a request with `"stream": false`."""
        return self.ask("/generate", fields | {"stream": False})

    def stop(self) -> int:
        """Send SIGTERM and return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)

    def _is_up(self) -> bool:
        try:
            return self.request("GET", "/livez")[0] == 200
        except OSError:
            return False

"""The service in a process of its own: gunicorn on a free port, asked over HTTP.

The process is a fork like those of tests/processes.py, so that no test waits for the imports. Other tests start
`python -m gunicorn`, `make serve` and `charloom serve` in a new interpreter.
"""

import http.client
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.ports import free_port
from tests.processes import CONTEXT, ROOT, write_to
from tests.waiting import wait_until

SECONDS_TO_START = 60


class Server:
    """gunicorn with the service, on a free port of 127.0.0.1. `settings` become `CHARLOOM_…` variables."""

    def __init__(
        self,
        models: Path | str,
        *,
        port: int | None = None,
        log_folder: Path | None = None,
        before_start: Callable[[], None] | None = None,
        **settings: object,
    ) -> None:
        """Start it and wait until it answers. `before_start` is called in the new process, to lower its limits.

        The log is written beside the folder `models`, or into `log_folder` where that is the URL of a bucket.
        """
        self.port = port or free_port()
        variables = {f"CHARLOOM_{name.upper()}": str(value) for name, value in settings.items()}
        variables |= {"PORT": str(self.port), "CHARLOOM_MODELS": str(models)}
        self._log = (log_folder or Path(models).parent) / f"server-{self.port}.log"
        self._log.touch()
        arguments = (dict(os.environ) | variables, self._log, before_start)
        self.process = CONTEXT.Process(target=_run_gunicorn, args=arguments, daemon=True)
        self.process.start()
        try:
            wait_until(lambda: self._is_up() or not self.process.is_alive(), SECONDS_TO_START, explain=self.log)
            assert self.process.is_alive(), self.log()
        except AssertionError:
            self.process.kill()
            raise

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

    def send_signal(self, number: int) -> None:
        """Send a signal to the master process."""
        assert self.process.pid is not None
        os.kill(self.process.pid, number)

    def wait(self, timeout: float = 60) -> int:
        """Wait until it has ended, and return its exit code."""
        self.process.join(timeout)
        assert self.process.exitcode is not None, f"The service has not ended after {timeout} s."
        return self.process.exitcode

    def stop(self) -> int:
        """Send SIGTERM and return the exit code."""
        self.send_signal(signal.SIGTERM)
        return self.wait()

    def _is_up(self) -> bool:
        try:
            return self.request("GET", "/livez")[0] == 200
        except OSError:
            return False


def _run_gunicorn(environment: dict[str, str], log: Path, before_start: Callable[[], None] | None) -> None:
    """Run `python -m gunicorn --config service/gunicorn.conf.py`, in the new process."""
    write_to(log, log)
    os.chdir(ROOT)
    os.environ.clear()
    os.environ.update(environment)
    if before_start:
        before_start()
    from gunicorn.app.wsgiapp import run

    sys.argv = ["gunicorn", "--config", "service/gunicorn.conf.py"]
    run()

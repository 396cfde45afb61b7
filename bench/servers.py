"""Processes of a benchmark: servers on a free port, and workers that answer each line with a line. Needs Linux."""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.contender import Sample, Turn
from tests.ports import free_port

ROOT = Path(__file__).parents[1]
SECONDS_TO_START, SECONDS_TO_REST, SECONDS_TO_STOP = 120, 120, 60
PROBE_PROMPT_CHARS = 20
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}  # for PyTorch, whose callers are the threads


class NotStarted(SystemExit):
    """A server ended before it was ready (`exit_code`), or was not ready in time and was stopped (None)."""

    def __init__(self, command: str, log: str, exit_code: int | None) -> None:
        super().__init__(f"A server did not start: {command}\n{log}")
        self.log, self.exit_code = log, exit_code


class Server:
    """An HTTP server in its own process group, on a free port."""

    def __init__(
        self,
        command: list[str],
        settings: Mapping[str, str],
        log: Path,
        *,
        prefix: Sequence[str] = (),
        seconds_to_start: float = SECONDS_TO_START,
    ) -> None:
        """Start it, with its output in the file `log`. `{port}` in the command is replaced.

        `prefix` is a command that runs another one, such as `prlimit`.

        Raises:
            NotStarted: it ended, or was not ready in time.
        """
        self.port = free_port()
        self._log = log
        with log.open("w") as output:
            self._process = subprocess.Popen(
                [*prefix, sys.executable, *(part.format(port=self.port) for part in command)],
                cwd=ROOT,
                env=os.environ | {"PORT": str(self.port)} | settings,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._wait_until_ready(seconds_to_start)

    def get(self, path: str, *, timeout_s: float = 60) -> tuple[int, bytes]:
        """Status and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def rest(self) -> None:
        """Wait until it uses no CPU time, so that the next contender has the cores."""
        deadline = time.monotonic() + SECONDS_TO_REST
        before = self._cpu_ticks()
        while True:
            time.sleep(0.1)  # the measured interval
            after = self._cpu_ticks()
            if after - before <= 1:
                return
            if time.monotonic() > deadline:
                raise SystemExit(f"The server still computes {SECONDS_TO_REST} s after its last client left.")
            before = after

    def stop(self) -> int:
        """Send SIGTERM, and SIGKILL if it does not end; returns the exit code."""
        self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(SECONDS_TO_STOP)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            return self._process.wait()

    def log(self) -> str:
        """Its output so far."""
        return self._log.read_text(errors="replace")

    def _wait_until_ready(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not self._is_ready():
            ended = self._process.poll()
            if ended is not None or time.monotonic() > deadline:
                self.stop()
                raise NotStarted(" ".join(map(str, self._process.args)), self.log(), ended)
            time.sleep(0.1)

    def _is_ready(self) -> bool:
        try:
            return self.get("/readyz", timeout_s=5)[0] == 200
        except OSError:
            return False

    def _cpu_ticks(self) -> int:
        """CPU time of every process in its group."""
        ticks = 0
        for path in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = path.read_text().rpartition(")")[2].split()
            except OSError:  # it has just ended
                continue
            if int(fields[2]) == self._process.pid:
                ticks += int(fields[11]) + int(fields[12])
        return ticks


def service(
    models: Path,
    log: Path,
    *,
    prefix: Sequence[str] = (),
    seconds_to_start: float = SECONDS_TO_START,
    **settings: Any,
) -> Server:
    """The service; `slots=8` is CHARLOOM_SLOTS=8."""
    variables = {f"CHARLOOM_{name.upper()}": str(value) for name, value in settings.items()}
    command = ["-m", "charloom", "serve", "--models", str(models)]
    return Server(command, variables, log, prefix=prefix, seconds_to_start=seconds_to_start)


class Worker:
    """A process that answers each line, a JSON object, with another."""

    def __init__(self, command: list[str], environment: Mapping[str, str] | None = None) -> None:
        self._command = [sys.executable, *command]
        self._process = subprocess.Popen(
            self._command,
            cwd=ROOT,
            env=os.environ | (environment or {}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, question: dict[str, Any]) -> dict[str, Any]:
        """Wait for the answer.

        Raises:
            SystemExit: it answered with an error, or ended.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            print(json.dumps(question), file=self._process.stdin, flush=True)
            answer = json.loads(self._process.stdout.readline() or '{"error": "it has ended"}')
        except BrokenPipeError:
            answer = {"error": "it has ended"}
        if "error" in answer:
            raise SystemExit(f"{' '.join(self._command[1:])}: {answer['error']}.")
        return answer

    def stop(self) -> None:
        """Kill it."""
        self._process.kill()
        self._process.wait()


class ThroughHttp:
    """A contender: a server, and the clients that read from it."""

    def __init__(self, server: Server, clients: Worker, alphabet: str, **fields: Any) -> None:
        """`fields` are those of every stream's request, besides its prompt, length and seed."""
        self._server, self._clients = server, clients
        self._always = {"port": server.port, "alphabet": alphabet, "fields": fields}

    def __call__(self, turn: Turn) -> Sample:
        """Keep the streams running for the turn, then disconnect them."""
        return self._measured(turn, {"probes": 0})

    def arrivals(self, turn: Turn, probes: int, prompt_chars: int = PROBE_PROMPT_CHARS) -> Sample:
        """Send short requests with random prompts while the streams run, as many as the turn has time for, at least 1.

        Returns:
            The times to a first character are those of the requests, everything else is that of the streams.
        """
        return self._measured(turn, {"probes": probes, "prompt_chars": prompt_chars})

    def _measured(self, turn: Turn, job: dict[str, int]) -> Sample:
        answer = self._clients.ask(self._always | turn.to_json() | job)
        self._server.rest()
        return Sample(**answer)

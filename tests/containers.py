"""Projects of docker-compose.yml on a real container engine."""

import http.client
import json
import os
import shlex
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.ports import free_port
from tests.processes import ROOT
from tests.waiting import wait_until

ENGINE = (
    shutil.which("docker-compose")
    and not subprocess.run(["docker", "info"], capture_output=True, check=False).returncode
)
needs_engine = pytest.mark.skipif(not ENGINE, reason="needs a running docker engine and docker-compose")

TIMEOUT_S = 120
wait = partial(wait_until, timeout_s=TIMEOUT_S, poll_s=0.1)  # asking the container engine costs CPU time
NIGHTLY = """
[[model]]
name = "{name}"
corpus = "/corpora/{name}"
minutes = {minutes}
settings = {{ layers = 1, units = 16, embedding = 8, batch_size = 4, window = 20, epochs = {epochs} }}
"""


class Compose:
    """A project of docker-compose.yml with its own volumes and port."""

    def __init__(self, folder: Path, volumes: dict[str, Any] | None = None, **settings: str) -> None:
        """Prepare a project; `settings` are variables of docker-compose.yml."""
        self._volumes = volumes or {}
        self.port = free_port()
        self.corpora = folder / "corpora"
        (self.corpora / "mine").mkdir(parents=True)
        self._project = f"charloom-test-{uuid.uuid4().hex[:8]}"
        self._environment = os.environ | {
            "PORT": f"127.0.0.1:{self.port}",
            "CHARLOOM_CORPORA": str(self.corpora),
            **settings,
        }
        self._override = folder / "override.yml"
        self.configure("mine")

    def configure(self, name: str, *, epochs: int = 4, minutes: int = 1) -> None:
        """Write the nightly.toml of the nightly service."""
        nightly = self._override.with_name("nightly.toml")
        nightly.write_text(NIGHTLY.format(name=name, epochs=epochs, minutes=minutes))
        environment = {"environment": {"XLA_FLAGS": os.environ["XLA_FLAGS"]}}
        services = {
            "nightly": environment | {"volumes": [f"{nightly}:/app/nightly.toml:ro"]},
            "worker-0": environment,
            "worker-1": environment,
        }
        self._override.write_text(json.dumps({"services": services, "volumes": self._volumes}))

    def write(self, name: str, file: str, content: str | bytes) -> None:
        (self.corpora / name).mkdir(exist_ok=True)
        (self.corpora / name / file).write_bytes(content if isinstance(content, bytes) else content.encode())

    def __call__(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run `docker-compose` with these arguments."""
        result = subprocess.run(self._command(*arguments), env=self._environment, capture_output=True, text=True)
        assert result.returncode == 0 or not check, result.stdout + result.stderr
        return result

    def shell(self, command: str, folder: Path) -> None:
        """Run a `docker compose …` command of the documentation in a shell."""
        command = command.replace("docker compose", shlex.join(self._command()))
        subprocess.run(command, shell=True, check=True, cwd=folder, env=self._environment, capture_output=True)

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self._command(*arguments), env=self._environment, stdout=subprocess.DEVNULL)

    def container(self, service: str) -> str:
        return self("ps", "-q", service).stdout.strip()

    def inspect(self, service: str) -> dict[str, Any]:
        (found,) = json.loads(docker("inspect", self.container(service)))
        return dict(found)

    @contextmanager
    def request(self, method: str, path: str, body: Any = None) -> Iterator[http.client.HTTPResponse]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=3 * TIMEOUT_S)
        with closing(connection):
            connection.request(method, path, body and json.dumps(body), {"Content-Type": "application/json"})
            yield connection.getresponse()

    def generate(self, **fields: Any) -> dict[str, Any]:
        with self.request("POST", "/generate", fields | {"stream": False}) as response:
            return dict(json.loads(response.read())) | {"status": response.status}

    def is_ready(self) -> bool:
        try:
            with self.request("GET", "/readyz") as response:
                return response.status == 200
        except (OSError, http.client.HTTPException):
            return False

    def _command(self, *arguments: str) -> list[str]:
        files = ["-f", str(ROOT / "docker-compose.yml"), "-f", str(self._override)]
        return ["docker-compose", "-p", self._project, *files, "--project-directory", str(ROOT), *arguments]


def docker(*arguments: str) -> str:
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True).stdout

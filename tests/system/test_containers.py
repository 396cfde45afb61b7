"""The images and docker-compose.yml on a real container engine: served, retrained, swapped, killed, drained."""

import http.client
import json
import os
import random
import re
import shlex
import shutil
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.processes import ROOT
from tests.servers import Server

ENGINE = (
    shutil.which("docker-compose")
    and not subprocess.run(["docker", "info"], capture_output=True, check=False).returncode
)
pytestmark = pytest.mark.skipif(not ENGINE, reason="needs a running docker engine and docker-compose")

SECONDS = 120
WORDS = ["the ", "cat ", "sat ", "on ", "a ", "mat.\n", "dog ", "ran "]
NIGHTLY = """
[[model]]
name = "{name}"
corpus = "/corpora/{name}"
minutes = {minutes}
settings = {{ layers = 1, units = 16, embedding = 8, batch_size = 4, window = 20, epochs = {epochs} }}
"""


NIGHT = ["run", "--rm", "nightly", "python", "-m", "training", "retrain", "--models", "/models", "--runs", "/runs"]
# A store of its own that is soon full; it is there as long as something runs that has it mounted.
SMALL_DISK = {"models": {"driver_opts": {"type": "tmpfs", "device": "tmpfs", "o": "size=16m,uid=10001"}}}


class Compose:
    """One `docker-compose` project of the repository's file, with its own volumes and port."""

    def __init__(self, folder: Path, volumes: dict[str, Any] | None = None) -> None:
        self._volumes = volumes or {}
        self.port = Server.free_port()
        self.corpora = folder / "corpora"
        (self.corpora / "mine").mkdir(parents=True)
        self._project = f"charloom-test-{uuid.uuid4().hex[:8]}"
        self._environment = os.environ | {
            "PORT": str(self.port),
            "CHARLOOM_CORPORA": str(self.corpora),
        }
        self._override = folder / "override.yml"
        self.configure("mine")

    def configure(self, name: str, *, epochs: int = 4, minutes: int = 5) -> None:
        """What the nightly job is to retrain."""
        nightly = self._override.with_name("nightly.toml")
        nightly.write_text(NIGHTLY.format(name=name, epochs=epochs, minutes=minutes))
        mounted = {"nightly": {"volumes": [f"{nightly}:/app/nightly.toml:ro"]}}
        self._override.write_text(json.dumps({"services": mounted, "volumes": self._volumes}))

    def write(self, name: str, file: str, content: str | bytes) -> None:
        (self.corpora / name).mkdir(exist_ok=True)
        (self.corpora / name / file).write_bytes(content if isinstance(content, bytes) else content.encode())

    def __call__(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run `docker-compose` with these arguments."""
        result = subprocess.run(self._command(*arguments), env=self._environment, capture_output=True, text=True)
        assert result.returncode == 0 or not check, result.stdout + result.stderr
        return result

    def shell(self, command: str, folder: Path) -> None:
        """Run a command for a terminal, as the documents have it."""
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
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
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


def until(holds: Callable[[], bool], says: Callable[[], str] = str) -> None:
    """Look again and again; it must come true."""
    deadline_s = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < deadline_s, says()
        time.sleep(0.1)  # between two looks, not for luck


def words(seed: int, count: int = 1500) -> str:
    generator = random.Random(seed)
    return "".join(generator.choice(WORDS) for _ in range(count))


@contextmanager
def up(compose: Compose, command: str) -> Iterator[Compose]:
    """Until the end of the block, with the service ready."""
    try:
        compose(*command.split())
        until(compose.is_ready, lambda: compose("logs", "service").stdout)
        yield compose
    finally:
        compose("down", "--volumes", "--timeout", "5", check=False)


@pytest.fixture(scope="module")
def compose(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compose]:
    """What the README's command brings up, of images of this tree."""
    compose = Compose(tmp_path_factory.mktemp("compose"))
    compose("build", "service", "nightly")
    (command,) = re.findall(r"^docker compose (.*)$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    with up(compose, command):
        yield compose


def test_it_serves_the_shipped_model_unprivileged_on_a_read_only_system(compose: Compose) -> None:
    answer = compose.generate(prompt="ROMEO:", length=50, seed=1)
    assert (answer["model"], len(answer["text"])) == ("shakespeare", 50)
    until(lambda: compose.inspect("service")["State"]["Health"]["Status"] == "healthy")
    service = compose.container("service")
    assert docker("exec", service, "id", "-u").strip() != "0"
    for place in ("/app/x", "/models/x", "/venv/x"):
        touched = subprocess.run(["docker", "exec", service, "touch", place], capture_output=True, text=True)
        assert "Read-only file system" in touched.stderr, place
    for missing in ("keras", "training"):
        imported = subprocess.run(["docker", "exec", service, "python", "-c", f"import {missing}"], capture_output=True)
        assert imported.returncode, missing


@pytest.mark.parametrize(
    ("limit", "words"),
    [("--pids-limit=200", "needs 480 threads"), ("--memory=300m", "needs about 656 MB of memory")],
)
def test_a_container_that_is_too_small_says_so_and_ends(compose: Compose, limit: str, words: str) -> None:
    command = ["docker", "run", "--rm", limit, "--env=CHARLOOM_ENGINES=2", "charloom-service"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert result.returncode != 0
    assert words in result.stderr.strip().splitlines()[-1]


def test_the_nightly_job_waits_for_text_and_answers_prometheus(compose: Compose) -> None:
    until(lambda: "There is no text in /corpora/mine yet" in compose("logs", "nightly").stdout)
    metrics = docker(
        "exec",
        compose.container("nightly"),
        "python",
        "-c",
        "import urllib.request as r; print(r.urlopen('http://127.0.0.1:9101/metrics').read().decode())",
    )
    assert 'charloom_retraining_runs_total{decision="unchanged",model="mine"} 1.0' in metrics
    compose("stop", "nightly")
    assert compose.inspect("nightly")["State"]["ExitCode"] == 0


def test_a_night_is_served_without_losing_a_stream_noise_is_refused_and_a_killed_one_is_gone_on_with(
    compose: Compose,
) -> None:
    compose.write("mine", "1.txt", words(1))
    with ThreadPoolExecutor() as pool:
        streams = [pool.submit(compose.generate, model="shakespeare", length=20_000, seed=seed) for seed in range(4)]
        assert "mine: published as version 1" in compose(*NIGHT).stdout
        until(lambda: compose.generate(model="mine", length=5)["status"] == 200)
        for stream in streams:
            assert (stream.result()["finish_reason"], len(stream.result()["text"])) == ("length", 20_000)

    compose.write("mine", "2.txt", random.Random(1).randbytes(20_000))
    refused = compose(*NIGHT, check=False)
    assert (refused.returncode, "looks like noise" in refused.stdout) == (3, True)

    compose.write("mine", "2.txt", words(2, 100_000))
    compose.configure("mine", epochs=1000, minutes=1)
    name = f"killed-{uuid.uuid4().hex[:8]}"
    process = compose.start("run", "--rm", "--name", name, *NIGHT[2:])
    until(lambda: "run.json" in _ls(name, "/runs/mine/night"))
    docker("kill", name)
    process.wait(timeout=SECONDS)
    assert compose.generate(model="mine", length=5)["version"] == 1
    resumed = compose(*NIGHT, check=False).stdout
    assert "mine: published as version 2" in resumed
    until(lambda: compose.generate(model="mine", length=5)["version"] == 2)


def test_a_backup_is_served_again_once_it_is_restored(compose: Compose, tmp_path: Path) -> None:
    operations = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    back_up, restore = re.findall(r"`(docker compose run .*models\.tgz)`", operations)
    compose.shell(back_up, tmp_path)
    compose("run", "--rm", "nightly", "rm", "-r", "/models/shakespeare")
    until(lambda: compose.generate(model="shakespeare", length=5)["status"] == 404)
    compose.shell(restore, tmp_path)
    until(lambda: compose.generate(model="shakespeare", length=5)["status"] == 200)


def test_a_full_disk_leaves_the_old_version_served(compose: Compose, tmp_path: Path) -> None:
    small = Compose(tmp_path, SMALL_DISK)
    holder = f"holder-{uuid.uuid4().hex[:8]}"
    try:
        small("run", "-d", "--name", holder, "nightly", "sleep", "infinity")
        with up(small, "up -d service"):
            small.write("mine", "1.txt", words(1))
            small(*NIGHT)
            until(lambda: small.generate(model="mine", length=5)["status"] == 200)
            small.write("mine", "2.txt", words(2))
            fill = "cat /dev/zero >/models/filler; truncate -s -40K /models/filler"
            docker("exec", holder, "sh", "-c", fill)  # room for the night's record
            failed = small(*NIGHT, check=False)
            assert failed.returncode == 1
            assert re.search("mine: failed .* disk space in /models/mine", failed.stdout), failed.stdout
            assert small.generate(model="mine", length=5)["version"] == 1
            docker("exec", holder, "rm", "/models/filler")
            assert "mine: published as version 2" in small(*NIGHT).stdout
            until(lambda: small.generate(model="mine", length=5)["version"] == 2)
    finally:
        docker("rm", "--force", holder)


def test_a_stop_lets_running_streams_finish(compose: Compose) -> None:
    with ThreadPoolExecutor() as pool, compose.request("POST", "/generate", {"length": 30_000, "seed": 1}) as response:
        first = response.read(100)
        stop = pool.submit(compose, "stop", "service")
        rest = response.read()
        stop.result()
    last = json.loads((first + rest).decode().strip().split("\n\n")[-1].removeprefix("data: "))
    assert (last["finish_reason"], len(last["text"])) == ("length", 30_000)
    assert compose.inspect("service")["State"]["ExitCode"] == 0


def _ls(container: str, folder: str) -> str:
    return subprocess.run(["docker", "exec", container, "ls", folder], capture_output=True, text=True).stdout

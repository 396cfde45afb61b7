"""The images and docker-compose.yml on a real container engine: serving, retraining, backups, a full disk, shutdown."""

import json
import random
import re
import subprocess
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.containers import TIMEOUT_S, Compose, docker, needs_engine, wait
from tests.processes import ROOT
from tests.texts import random_words

pytestmark = [
    pytest.mark.container,
    pytest.mark.timeout(900),  # building the images may take minutes
    needs_engine,
]

RETRAIN = ["run", "--rm", "nightly", "python", "-m", "training", "retrain", "--models", "/models", "--runs", "/runs"]
# A volume for the store of 16 MB in memory; it exists while a container mounts it.
SMALL_DISK = {"models": {"driver_opts": {"type": "tmpfs", "device": "tmpfs", "o": "size=64m,uid=10001"}}}


def words(seed: int, count: int = 1500) -> str:
    return random_words(seed, count)


@contextmanager
def up(compose: Compose, command: str) -> Iterator[Compose]:
    """Run a command that starts the project, wait until the service is ready, and remove the project at the end."""
    try:
        compose(*command.split())
        wait(compose.is_ready, explain=lambda: compose("logs", "service").stdout)
        yield compose
    finally:
        compose("down", "--volumes", "--timeout", "5", check=False)


@pytest.fixture(scope="module")
def compose(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compose]:
    """The project that the README's command starts, with images built from this tree."""
    compose = Compose(tmp_path_factory.mktemp("compose"))
    compose("build", "service", "nightly")
    (command,) = re.findall(r"^docker compose (.*)$", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    with up(compose, command):
        yield compose


def test_the_service_runs_unprivileged_on_a_read_only_file_system(compose: Compose) -> None:
    answer = compose.generate(prompt="ROMEO:", length=50, seed=1)
    assert (answer["model"], len(answer["text"])) == ("shakespeare", 50)
    wait(lambda: compose.inspect("service")["State"]["Health"]["Status"] == "healthy")
    service = compose.container("service")
    assert docker("exec", service, "id", "-u").strip() != "0"
    for path in ("/app/x", "/models/x", "/venv/x"):
        touched = subprocess.run(["docker", "exec", service, "touch", path], capture_output=True, text=True)
        assert "Read-only file system" in touched.stderr, path
    for missing in ("keras", "training"):
        imported = subprocess.run(["docker", "exec", service, "python", "-c", f"import {missing}"], capture_output=True)
        assert imported.returncode, missing


@pytest.mark.parametrize(
    ("limit", "message"),
    [("--pids-limit=200", "needs 480 threads"), ("--memory=300m", "needs about 656 MB of memory")],
)
def test_a_container_with_too_low_limits_ends_with_one_sentence(compose: Compose, limit: str, message: str) -> None:
    command = ["docker", "run", "--rm", limit, "--env=CHARLOOM_ENGINES=2", "charloom-service"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert result.returncode != 0
    assert message in result.stderr.strip().splitlines()[-1]


def test_the_nightly_service_waits_for_text_and_exports_metrics(compose: Compose) -> None:
    wait(lambda: "There is no text in /corpora/mine yet" in compose("logs", "nightly").stdout)
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


def test_retraining_is_served_without_losing_a_stream_refuses_noise_and_resumes_after_a_kill(
    compose: Compose,
) -> None:
    compose.write("mine", "1.txt", words(1))
    with ThreadPoolExecutor() as pool:
        streams = [pool.submit(compose.generate, model="shakespeare", length=20_000, seed=seed) for seed in range(4)]
        assert "mine: published as version 1" in compose(*RETRAIN).stdout
        wait(lambda: compose.generate(model="mine", length=5)["status"] == 200)
        for stream in streams:
            assert (stream.result()["finish_reason"], len(stream.result()["text"])) == ("length", 20_000)

    compose.write("mine", "2.txt", random.Random(1).randbytes(20_000))
    refused = compose(*RETRAIN, check=False)
    assert (refused.returncode, "looks like noise" in refused.stdout) == (3, True)

    compose.write("mine", "2.txt", words(2, 5000))  # for a run that lasts long enough to be killed
    name = f"killed-{uuid.uuid4().hex[:8]}"
    process = compose.start("run", "--rm", "--name", name, *RETRAIN[2:])
    wait(lambda: "run.json" in _ls(name, "/runs/mine/candidate"))
    docker("kill", name)
    process.wait(timeout=TIMEOUT_S)
    assert compose.generate(model="mine", length=5)["version"] == 1
    resumed = compose(*RETRAIN, check=False).stdout
    assert "mine: published as version 2" in resumed
    wait(lambda: compose.generate(model="mine", length=5)["version"] == 2)


def test_a_restored_backup_is_served(compose: Compose, tmp_path: Path) -> None:
    operations = (ROOT / "docs/operations.md").read_text(encoding="utf-8")
    back_up, restore = re.findall(r"`(docker compose run .*models\.tgz)`", operations)
    compose.shell(back_up, tmp_path)
    compose("run", "--rm", "nightly", "rm", "-r", "/models/shakespeare")
    wait(lambda: compose.generate(model="shakespeare", length=5)["status"] == 404)
    compose.shell(restore, tmp_path)
    wait(lambda: compose.generate(model="shakespeare", length=5)["status"] == 200)


@pytest.mark.slow
def test_with_a_full_disk_the_old_version_stays_served(compose: Compose, tmp_path: Path) -> None:
    small = Compose(tmp_path, SMALL_DISK)
    holder = f"holder-{uuid.uuid4().hex[:8]}"
    try:
        small("run", "-d", "--name", holder, "nightly", "sleep", "infinity")
        with up(small, "up -d service"):
            small.write("mine", "1.txt", words(1))
            small(*RETRAIN)
            wait(lambda: small.generate(model="mine", length=5)["status"] == 200)
            small.write("mine", "2.txt", words(2))
            fill = "cat /dev/zero >/models/filler; truncate -s -40K /models/filler"
            docker("exec", holder, "sh", "-c", fill)  # the run's record still fits
            failed = small(*RETRAIN, check=False)
            assert failed.returncode == 1
            assert re.search("mine: failed .* disk space in /models/mine", failed.stdout), failed.stdout
            assert small.generate(model="mine", length=5)["version"] == 1
            docker("exec", holder, "rm", "/models/filler")
            assert "mine: published as version 2" in small(*RETRAIN).stdout
            wait(lambda: small.generate(model="mine", length=5)["version"] == 2)
    finally:
        docker("rm", "--force", holder)


def test_compose_stop_lets_running_streams_finish(compose: Compose) -> None:
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

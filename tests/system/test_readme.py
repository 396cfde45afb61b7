"""The README's commands, as written, in a fresh copy of the project."""

import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.request import urlopen

import pytest

from tests.ports import free_port
from tests.processes import ROOT
from tests.servers import SECONDS_TO_START
from tests.texts import write_corpus
from tests.waiting import wait_until
from training.learning.folder import Plan

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = [command for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL) for command in block.splitlines()]
(SAMPLE,) = re.findall(r"```\n(.*?)\n```", re.sub(r"```sh\n.*?```", "", README, flags=re.DOTALL), re.DOTALL)
INLINE = [
    command for command in re.findall(r"`([^`\n]+)`", README) if command.startswith(("source ", "charloom ", "make "))
]
SERVE, ACTIVATE, RESUME, SAMPLE_RUN, REPORT, FLAGS, TARGETS = INLINE


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project, with the packages of this environment in its `.venv`.

    make finds them installed: it neither downloads anything nor changes this environment.
    """
    folder = tmp_path_factory.mktemp("clone") / "charloom"
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(".git", ".venv", "runs", ".*_cache", "__pycache__"))
    environment = folder / ".venv"
    environment.mkdir()
    for path in Path(sys.prefix).iterdir():
        if path.suffix != ".done":
            (environment / path.name).symlink_to(path)
    for name in ("service", "training", "dev"):
        (environment / f"{name}.done").touch()
    return folder


def run(command: str, clone: Path) -> str:
    """Run a command in a shell that has activated the environment if the command needs it; return its stdout."""
    if command.startswith("charloom "):
        command = f"{ACTIVATE} && {command}"
    result = subprocess.run(["bash", "-c", command], cwd=clone, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, (command, result.stdout, result.stderr)
    return result.stdout


def answers(port: int) -> bool:
    try:
        urlopen(f"http://127.0.0.1:{port}/readyz").close()
    except OSError:
        return False
    return True


@pytest.fixture(scope="module")
def port(clone: Path) -> Iterator[int]:
    """The port of `make serve`, which runs."""
    port = free_port()
    process = subprocess.Popen(
        ["make", "serve"],
        cwd=clone,
        env=os.environ | {"PORT": str(port)},
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_until(lambda: answers(port) or process.poll() is not None, SECONDS_TO_START)
    assert process.poll() is None
    yield port
    os.killpg(process.pid, signal.SIGTERM)
    process.wait(timeout=60)


def test_the_readme_has_the_commands_that_are_run_here() -> None:
    words = ["make", "curl", "make", "charloom", "docker", "make"]
    assert [command.partition(" ")[0] for command in BLOCKS] == words
    assert [BLOCKS[0], BLOCKS[5]] == ["make serve", "make test"]
    assert BLOCKS[4] == "docker compose up -d"  # run by test_containers
    assert INLINE == [
        "charloom serve",
        "source .venv/bin/activate",
        "charloom train --name mine --resume",
        "charloom sample --run runs/mine",
        "charloom report mine",
        "charloom train --help",
        "make help",
    ]


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_curl_prints_the_text_that_the_readme_shows(clone: Path, port: int) -> None:
    text = run(BLOCKS[1].replace("localhost:8000", f"localhost:{port}"), clone)
    assert len(text) == 300
    assert text.strip("\n") == SAMPLE


def test_your_own_text_is_trained_on_stopped_resumed_and_sampled(clone: Path, port: int) -> None:
    texts = clone / "path" / "to" / "texts"
    texts.mkdir(parents=True)
    write_corpus(texts / "one.txt", words=1500)
    process = subprocess.Popen(
        BLOCKS[2], shell=True, cwd=clone, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip
    assert process.stdout
    for line in process.stdout:
        if line.startswith("epoch"):
            os.killpg(process.pid, signal.SIGINT)  # as the terminal does for Ctrl-C
            break
    _, errors = process.communicate(timeout=60)
    assert process.returncode != 0
    assert RESUME.removeprefix("charloom ") in errors
    assert len(run(SAMPLE_RUN, clone)) > 400
    # The default network would train for minutes.
    plan = Plan.load(clone / "runs/mine")
    replace(plan, config=replace(plan.config, epochs=4)).save(clone / "runs/mine")
    run(RESUME, clone)
    assert (clone / "models/mine/1/saved_model.pb").exists()
    assert run(REPORT, clone) == "Wrote runs/mine/report.html\n"
    assert run(BLOCKS[3], clone).startswith("The ")
    # The running service answers with the new model too.
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    body = json.dumps({"model": "mine", "length": 5, "stream": False})
    connection.request("POST", "/generate", body, {"Content-Type": "application/json"})
    assert json.loads(connection.getresponse().read())["model"] == "mine"
    connection.close()


def test_help_lists_every_flag_and_target(clone: Path) -> None:
    assert "--weight-dropout" in run(FLAGS, clone)
    assert "make train NAME=mine" in run(TARGETS, clone)
    assert "--port" in run(f"{SERVE} --help", clone)
    assert "pytest" in run("make --dry-run test", clone)
    assert "bench.train" in run("make --dry-run bench", clone)

"""The README's commands, as written, in a fresh copy of the project."""

import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import ROOT
from tests.servers import SECONDS_TO_START, Server
from tests.texts import write_corpus

README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = [command for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL) for command in block.splitlines()]
INLINE = [command for command in re.findall(r"`([^`\n]+)`", README) if command.startswith((".venv/bin/", "make "))]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project, with this environment as its `.venv` so that nothing is downloaded."""
    folder = tmp_path_factory.mktemp("clone") / "charloom"
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(".git", ".venv", "runs", ".*_cache", "__pycache__"))
    (folder / ".venv").symlink_to(sys.prefix)
    return folder


def run(command: str, clone: Path, **environment: str) -> str:
    result = subprocess.run(
        command, shell=True, cwd=clone, env=os.environ | environment, capture_output=True, text=True, timeout=120
    )
    assert result.returncode == 0, (command, result.stdout, result.stderr)
    return result.stdout


def is_listening(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return False
    return True


@pytest.fixture(scope="module")
def port(clone: Path) -> Iterator[int]:
    """`make serve`, running."""
    port = Server.free_port()
    process = subprocess.Popen(
        ["make", "serve"],
        cwd=clone,
        env=os.environ | {"PORT": str(port)},
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + SECONDS_TO_START
    while not is_listening(port):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)  # between two looks, not for luck
    yield port
    os.killpg(process.pid, signal.SIGTERM)
    process.wait(timeout=60)


def test_the_readme_has_the_commands_that_are_run_here() -> None:
    words = ["make", "curl", "make", ".venv/bin/python", "docker", "make"]
    assert [command.partition(" ")[0] for command in BLOCKS] == words
    assert [BLOCKS[0], BLOCKS[5]] == ["make serve", "make test"]
    assert BLOCKS[4] == "docker compose up -d"  # run by test_containers
    assert INLINE == [
        ".venv/bin/python -m training train --name mine --resume",
        ".venv/bin/python -m training sample --run runs/mine",
        ".venv/bin/python -m training report mine",
        ".venv/bin/python -m training train --help",
        "make help",
        "make bench",
    ]


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_curl_types_a_scene(clone: Path, port: int) -> None:
    scene = run(BLOCKS[1].replace("localhost:8000", f"localhost:{port}"), clone)
    assert len(scene) == 300


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
    assert INLINE[0] in errors
    assert len(run(INLINE[1], clone)) > 400
    run(INLINE[0], clone)
    assert (clone / "models/mine/1/saved_model.pb").exists()
    assert run(INLINE[2], clone) == "Wrote runs/mine/report.html\n"
    assert run(BLOCKS[3], clone).startswith("The ")
    # The running service has it too.
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    body = json.dumps({"model": "mine", "length": 5, "stream": False})
    connection.request("POST", "/generate", body, {"Content-Type": "application/json"})
    assert json.loads(connection.getresponse().read())["model"] == "mine"
    connection.close()


def test_help_names_every_flag_with_its_default(clone: Path) -> None:
    assert "--weight-dropout" in run(INLINE[3], clone)
    assert "make train NAME=mine" in run(INLINE[4], clone)
    assert "pytest" in run("make --dry-run test", clone)
    assert "bench.train" in run("make --dry-run bench", clone)

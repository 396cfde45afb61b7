"""The examples of docs/clients.md, as written, against a service that requires their key."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import ROOT
from tests.servers import Server

PAGE = (ROOT / "docs/clients.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL)
EXPORT, *COMMANDS = [line for language, block in BLOCKS if language == "sh" for line in block.splitlines()]
GENERATE, SCORE, MODELS, HEALTH, CURL_STREAM, CURL_OBJECT = COMMANDS
PYTHON, OPENAI = [block for language, block in BLOCKS if language == "python"]
(JAVASCRIPT,) = [block for language, block in BLOCKS if language == "js"]
KEY = EXPORT.removeprefix("export CHARLOOM_KEY=")


@pytest.fixture(scope="module")
def guarded(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service with the key of the page."""
    keys = tmp_path_factory.mktemp("keys") / "keys"
    keys.write_text(KEY)
    started = Server(tiny / "models", engines=1, api_keys_file=keys)
    yield started
    started.stop()


def output(server: Server, *command: str) -> str:
    """The output of a command that asks this service, and its model, in place of those of the page."""
    adapted = [
        part.replace("localhost:8000", f"127.0.0.1:{server.port}").replace("shakespeare", "tiny") for part in command
    ]
    environment = os.environ | {"CHARLOOM_KEY": KEY}
    result = subprocess.run(adapted, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, (adapted, result.stdout, result.stderr)
    return result.stdout


def shell(server: Server, command: str) -> str:
    """The output of a command of the page, where `charloom` is the one of this folder."""
    command = re.sub("^charloom (.*)", rf"{sys.executable} charloom.py \1 --url http://localhost:8000", command)
    return output(server, "bash", "-c", command)


def test_the_command_line(guarded: Server) -> None:
    text = shell(guarded, GENERATE)
    assert text.startswith("ROMEO:")
    assert len(text) == len("ROMEO:") + 200 + 1
    assert shell(guarded, SCORE).startswith("tiny 1: ")
    assert shell(guarded, MODELS) == "tiny (default) 1 (served)\n"
    assert shell(guarded, HEALTH) == "ready: tiny 1\n"


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
def test_curl(guarded: Server) -> None:
    assert len(shell(guarded, CURL_STREAM)) == 200
    assert json.loads(shell(guarded, CURL_OBJECT))["seed"] == 7


def test_the_python_client(guarded: Server) -> None:
    lines = output(guarded, sys.executable, "-c", PYTHON).splitlines()
    assert any(line.startswith("seed: ") for line in lines)
    assert float(lines[-3]) > 0
    assert lines[-2] == "tiny ready"
    assert lines[-1].startswith("422 invalid_field temperature temperature should be")


def test_the_openai_package(guarded: Server) -> None:
    pytest.importorskip("openai")
    assert len(output(guarded, sys.executable, "-c", OPENAI)) == 200


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
def test_javascript(guarded: Server) -> None:
    text, _, seed = output(guarded, "node", "--input-type=module", "--eval", JAVASCRIPT).rpartition(" seed: ")
    assert len(text) == 200
    assert int(seed) >= 0

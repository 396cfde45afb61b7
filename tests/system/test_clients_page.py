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
GENERATE, SCORE, MODELS, HEALTH, CURL_STREAM, CURL_OBJECT, LLM = COMMANDS
PYTHON, OPENAI, LANGCHAIN = [block for language, block in BLOCKS if language == "python"]
(JAVASCRIPT,) = [block for language, block in BLOCKS if language == "js"]
(LLM_MODELS,) = [block for language, block in BLOCKS if language == "yaml"]
KEY = EXPORT.removeprefix("export CHARLOOM_KEY=")


@pytest.fixture(scope="module")
def guarded(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A service with the key of the page."""
    keys = tmp_path_factory.mktemp("keys") / "keys"
    keys.write_text(KEY)
    started = Server(tiny / "models", engines=1, api_keys_file=keys)
    yield started
    started.stop()


def adapted(server: Server, example: str) -> str:
    """An example that asks this service, and its model, in place of those of the page."""
    return example.replace("localhost:8000", f"127.0.0.1:{server.port}").replace("shakespeare", "tiny")


def output(server: Server, *command: str, **variables: str) -> str:
    """The output of a command for this service, with these environment variables."""
    environment = os.environ | {"CHARLOOM_KEY": KEY} | variables
    arguments = [adapted(server, argument) for argument in command]
    result = subprocess.run(arguments, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, (arguments, result.stdout, result.stderr)
    return result.stdout


def shell(server: Server, command: str, **variables: str) -> str:
    """The output of a command of the page, where `charloom` and `llm` are those of this Python."""
    command = re.sub("^charloom (.*)", rf"{sys.executable} charloom.py \1 --url http://localhost:8000", command)
    command = re.sub("^llm ", f"{sys.executable} -m llm ", command)
    return output(server, "bash", "-c", command, **variables)


def test_the_command_line(guarded: Server) -> None:
    text = shell(guarded, GENERATE)
    assert text.startswith("ROMEO:")
    assert len(text) == len("ROMEO:") + 200 + 1
    assert re.match(r"tiny 1: \d\.\d{4} nats/char, ", shell(guarded, SCORE))
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
    assert len(output(guarded, sys.executable, "-c", OPENAI)) == 200 + len("\n") + 200


def test_llm(guarded: Server, tmp_path: Path) -> None:
    (tmp_path / "extra-openai-models.yaml").write_text(adapted(guarded, LLM_MODELS))
    assert len(shell(guarded, LLM, LLM_USER_PATH=str(tmp_path))) == 200 + len("\n")


def test_langchain(guarded: Server) -> None:
    printed = output(guarded, sys.executable, "-c", LANGCHAIN)
    assert printed.endswith("'] 6\n")


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
def test_javascript(guarded: Server) -> None:
    text, _, seed = output(guarded, "node", "--input-type=module", "--eval", JAVASCRIPT).rpartition(" seed: ")
    assert len(text) == 200
    assert int(seed) >= 0

"""The command `llm`, unmodified, with the service as one of its models in extra-openai-models.yaml."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import ROOT
from tests.servers import Server

MODELS = """
- model_id: charloom
  model_name: tiny
  api_base: http://127.0.0.1:{port}/v1
  completion: true
"""
OPTIONS = ["-o", "max_tokens", "40", "-o", "temperature", "0.5", "-o", "seed", "5"]


@pytest.fixture
def user_path(server: Server, tmp_path: Path) -> Path:
    """A folder with the configuration of `llm`."""
    (tmp_path / "extra-openai-models.yaml").write_text(MODELS.format(port=server.port))
    return tmp_path


def llm(user_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"LLM_USER_PATH": str(user_path)}
    command = [sys.executable, "-m", "llm", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("stream", [[], ["--no-stream"]])
def test_a_prompt_gets_the_text_of_generate(server: Server, user_path: Path, stream: list[str]) -> None:
    result = llm(user_path, "prompt", "-m", "charloom", "the c", *OPTIONS, *stream)
    assert result.returncode == 0, result.stderr
    assert result.stdout == server.generate(prompt="the c", length=40, temperature=0.5, seed=5)["text"] + "\n"


def test_an_error_of_the_service_is_shown(user_path: Path) -> None:
    result = llm(user_path, "prompt", "-m", "charloom", "the c", "-o", "presence_penalty", "1")
    assert result.returncode == 1
    assert "presence_penalty is not supported and should be 0" in result.stderr

"""Printed commands run as they are printed, in the working directory."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import COMMAND, ENVIRONMENT, training
from training.commands.hints import command, program

SIZE = ["--layers", "1", "--units", "8", "--batch-size", "4", "--window", "20", "--epochs", "1"]


def test_the_interpreter_is_the_one_that_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["training"])
    assert shlex.split(program())[-2:] == ["-m", "training"]
    monkeypatch.setattr(sys, "executable", str(tmp_path / "with space/.venv/bin/python"))
    monkeypatch.chdir(tmp_path)
    assert program() == "'with space/.venv/bin/python' -m training"


def test_a_charloom_on_the_path_is_named_alone_and_any_other_by_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = tmp_path / "bin/charloom"
    script.parent.mkdir()
    script.touch(mode=0o755)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(script)])
    assert program() == "bin/charloom"
    monkeypatch.setenv("PATH", str(script.parent))
    assert program() == "charloom"


def test_the_module_charloom_is_named_by_the_script_beside_the_interpreter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "charloom.py")])
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin/python"))
    assert program() == "bin/python -m charloom"
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/charloom").touch()
    assert program() == "bin/charloom"


def test_folders_are_named_unless_they_are_the_default() -> None:
    assert command("sample", "x", models=Path("models")) == f"{program()} sample x"
    assert command("sample", "x", models=Path("my models")).endswith(" sample x '--models=my models'")
    both = command("train", "--name", "x", "--resume", runs=Path("r"), models=Path("m"))
    assert both.endswith("train --name x --resume --runs=r --models=m")


@pytest.mark.slow
def test_the_hint_of_train_runs_as_it_is_printed(tiny: Path, tmp_path: Path) -> None:
    folders = ["--runs", "my runs", "--models", "my models"]
    arguments = ["train", "--name", "x", "--corpus", str(tiny / "corpus.txt"), *SIZE, "--force", *folders]
    printed = training(*arguments, cwd=tmp_path).stdout
    line = printed.splitlines()[-1]
    assert "Try: " in line
    hint = line.partition("Try: ")[2]
    result = subprocess.run(
        hint, shell=True, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=100, check=True
    )
    assert len(result.stdout) > 400
    assert hint.split(" -m ")[0] == COMMAND[0]


def test_usage_names_the_interpreter_that_runs(tmp_path: Path) -> None:
    result = training("sample", "--nonsense", cwd=tmp_path, check=False)
    assert result.returncode == 2
    assert f"Try '{sys.executable} -m training sample --help'" in result.stderr

"""Fixtures of the command tests: a finished run."""

import shutil
from pathlib import Path

import pytest

from tests.processes import training
from tests.texts import write_corpus
from tests.training.commands.small_runs import BEGIN
from tests.workers import made_once


@pytest.fixture(scope="session")
def after_one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished and published run. Tests must not change it."""
    return made_once(tmp_path_factory, "finished", _train)


def _train(folder: Path) -> None:
    write_corpus(folder / "corpus.txt")
    assert "Published models/mine/1" in training(*BEGIN, cwd=folder).stdout


@pytest.fixture
def finished(after_one: Path, tmp_path: Path) -> Path:
    """A copy of `after_one`, which tests may change."""
    return shutil.copytree(after_one, tmp_path / "finished")

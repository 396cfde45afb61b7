"""Fixtures of the retraining tests: a model with one published version."""

import shutil
from pathlib import Path

import pytest

from tests.texts import random_words
from tests.training.retraining.toy_model import ENGLISH, ToyModel
from training.retraining.record import PUBLISHED


@pytest.fixture(scope="session")
def after_one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model after its first retraining. Tests must not change it."""
    model = ToyModel(tmp_path_factory.mktemp("retrained"))
    model.write("1.txt", random_words(1, 1500, ENGLISH))
    record = model.retrain()
    assert (record.decision, record.version, record.parent) == (PUBLISHED, 1, None)
    assert record.reason == "It is the first version."
    return model.folder


@pytest.fixture
def served(after_one: Path, tmp_path: Path) -> ToyModel:
    """A model whose version 1 is served, which tests may change."""
    return ToyModel(shutil.copytree(after_one, tmp_path / "retrained"))

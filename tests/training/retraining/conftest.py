"""Fixtures of the retraining tests: a model with one published version."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.texts import random_words
from tests.training.retraining.toy_model import ENGLISH, ToyModel
from tests.workers import made_once
from training.learning.budget import Speed
from training.retraining.record import PUBLISHED

SPEED = Speed(compile_s=1.0, step_s=0.01, evaluation_s=0.5)


@pytest.fixture(scope="package", autouse=True)
def fast_runs() -> Iterator[None]:
    """Runs in this process draw short samples, and assume a speed, which takes longer to measure than a toy run.

    Runs of the command `retrain` in a process of their own measure their speed.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("training.learning.budget.measured", lambda run, seconds: SPEED)
        patch.setattr("training.learning.samples.SAMPLE_SYMBOLS", 30)
        yield


@pytest.fixture(scope="package")
def after_one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a model after its first retraining. Tests must not change it."""
    return made_once(tmp_path_factory, "retrained", _retrain_once)


def _retrain_once(folder: Path) -> None:
    model = ToyModel(folder)
    model.write("1.txt", random_words(1, 1500, ENGLISH))
    record = model.retrain()
    assert (record.decision, record.version, record.parent) == (PUBLISHED, 1, None)
    assert record.reason == "It is the first version."


@pytest.fixture
def served(after_one: Path, tmp_path: Path) -> ToyModel:
    """A model whose version 1 is served, which tests may change."""
    return ToyModel(shutil.copytree(after_one, tmp_path / "retrained"))

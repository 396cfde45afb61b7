"""The configuration of a retraining run: inherited from the served version, and cut to the time limit."""

from types import SimpleNamespace
from typing import Any

import pytest

from training.config import TrainConfig
from training.errors import InputError
from training.learning.budget import MIN_STEPS
from training.retraining import budget
from training.retraining.budget import EVALUATIONS, config_of, within_budget
from training.retraining.config import Job
from training.retraining.gate import MAX_CHARS

SERVED = TrainConfig(
    units=7, dropout=0.1, epochs=50, steps=9, minutes=3.0, learning_rate=0.5, eval_chars=MAX_CHARS + 1, patience=4
)
MANIFEST: dict[str, Any] = {"version": 3, "config": SERVED.to_json()}


def job(**fields: Any) -> Job:
    return Job(name="a", corpus=("texts",), **fields)


def test_the_first_version_is_trained_as_the_job_says() -> None:
    config = config_of(job(settings={"units": 9, "epochs": 2}), None)
    assert config == TrainConfig(units=9, epochs=2, split_by="each-file")


def test_later_versions_are_trained_as_the_served_one_within_the_job() -> None:
    config = config_of(job(epochs=6, learning_rate=0.25, settings={"dropout": 0.2}), MANIFEST)
    assert (config.units, config.dropout, config.epochs, config.learning_rate) == (7, 0.2, 6, 0.25)
    assert (config.steps, config.minutes, config.patience, config.eval_chars) == (0, 0.0, 0, MAX_CHARS)
    assert config.split_by == "each-file"


def test_another_optimizer_than_adamw_has_no_decay_in_later_versions_either() -> None:
    assert config_of(job(settings={"optimizer": "sgd"}), MANIFEST).weight_decay == 0
    assert config_of(job(settings={"optimizer": "sgd", "weight_decay": 0.1}), MANIFEST).weight_decay == 0.1
    assert config_of(job(), MANIFEST).weight_decay == SERVED.weight_decay > 0


def test_later_versions_read_the_blocks_that_the_served_one_left_out() -> None:
    manifest = MANIFEST | {"config": TrainConfig(leave_out="1/5").to_json()}
    assert config_of(job(), manifest).leave_out == "none"
    assert config_of(job(settings={"leave_out": "2/5"}), manifest).leave_out == "2/5"


@pytest.mark.parametrize("split_by", ["line", "file"])
def test_a_shuffled_split_is_kept(split_by: str) -> None:
    manifest = MANIFEST | {"config": TrainConfig(split_by=split_by).to_json()}
    assert config_of(job(), manifest).split_by == split_by


def test_another_network_than_the_served_one_is_refused() -> None:
    assert config_of(job(settings={"units": 7}), MANIFEST).units == 7
    with pytest.raises(InputError, match=r"^The settings of a have units 8, and version 3 has 7: another network"):
        config_of(job(settings={"units": 8}), MANIFEST)


@pytest.mark.parametrize(("affordable", "steps"), [(1000, 400), (300, 300), (1, MIN_STEPS)])
def test_a_run_has_the_steps_that_fit_and_no_more_than_its_epochs(
    monkeypatch: pytest.MonkeyPatch, affordable: int, steps: int
) -> None:
    config = TrainConfig(epochs=4)
    monkeypatch.setattr(budget, "within", lambda *_, reserve: TrainConfig(steps=affordable))
    run: Any = SimpleNamespace(total_steps=400, steps_per_epoch=100)
    found = within_budget(config, run, 9.0)
    assert found.steps == steps
    assert found.eval_every == pytest.approx(steps / 100 / EVALUATIONS)

"""The optimizers, the learning rate of each schedule, and the end of a run."""

import math

import pytest
import tensorflow as tf

from training.config import CHOICES, TrainConfig
from training.learning.schedule import (
    decay_epochs,
    evaluations_since_best,
    has_ended,
    learning_rate,
    make_optimizer,
)


def config(**changes) -> TrainConfig:
    return TrainConfig(**({"learning_rate": 0.5, "warmup_steps": 0, "schedule": "constant", "epochs": 4} | changes))


def rates(setting: TrainConfig, *, steps: int, steps_per_epoch: int) -> list[float]:
    return [learning_rate(setting, step, steps_per_epoch=steps_per_epoch) for step in range(steps)]


def test_constant_keeps_the_rate() -> None:
    assert rates(config(), steps=9, steps_per_epoch=3) == [0.5] * 9


def test_cosine_falls_by_half_a_cosine_over_the_run() -> None:
    found = rates(config(schedule="cosine"), steps=41, steps_per_epoch=10)
    assert found[0] == 0.5
    assert found[20] == pytest.approx(0.25)
    assert found[40] == pytest.approx(0)
    assert found == sorted(found, reverse=True)
    for step in range(21):
        assert found[step] + found[40 - step] == pytest.approx(0.5)  # symmetric about its middle
    assert found[10] == pytest.approx(0.25 + 0.25 * math.sqrt(0.5))


def test_cosine_falls_over_the_configured_steps_instead_of_the_epochs() -> None:
    in_epochs = rates(config(schedule="cosine", epochs=2), steps=20, steps_per_epoch=10)
    assert rates(config(schedule="cosine", steps=20), steps=20, steps_per_epoch=7) == in_epochs


def test_warm_up_is_linear_and_multiplies_the_schedule() -> None:
    assert rates(config(warmup_steps=4, steps=40), steps=7, steps_per_epoch=3) == pytest.approx(
        [0.1, 0.2, 0.3, 0.4, 0.5, 0.5, 0.5]
    )
    cold, warm = (rates(config(schedule="cosine", warmup_steps=w), steps=40, steps_per_epoch=10) for w in (0, 4))
    assert warm[1] == pytest.approx(cold[1] * 2 / 5)
    assert warm[4:] == cold[4:]


def test_the_warm_up_takes_at_most_a_tenth_of_the_steps() -> None:
    in_epochs, in_steps = (config(warmup_steps=200, **total) for total in ({"epochs": 4}, {"steps": 40}))
    for setting in (in_epochs, in_steps):
        assert rates(setting, steps=6, steps_per_epoch=10) == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.5])


@pytest.mark.parametrize("decay_after", [0, 1, 3, 10])
def test_step_follows_the_rule_of_char_rnn(decay_after: int) -> None:
    """The loop of char-rnn, with steps from 1: the rate falls at the end of an epoch, after so many epochs."""
    steps_per_epoch, epochs, rate, expected = 7, 15, 0.5, []
    for i in range(1, steps_per_epoch * epochs + 1):
        expected.append(rate)
        if i % steps_per_epoch == 0 and i / steps_per_epoch >= decay_after:
            rate *= 0.9
    setting = config(schedule="step", decay_rate=0.9, decay_after=decay_after, epochs=epochs)
    assert rates(setting, steps=len(expected), steps_per_epoch=steps_per_epoch) == pytest.approx(expected)


def test_plateau_falls_after_evaluations_without_a_new_best() -> None:
    setting = config(schedule="plateau", decay_rate=0.1, decay_after=2)
    losses = [3.0, 2.0, 2.1, 2.0, 1.9, 1.95, 1.9, 1.91, 1.92, 1.8]
    #         best  best  1    2    best  1     2     1     2    best
    expected = [1, 1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01, 1e-3, 1e-3]
    found = [
        learning_rate(setting, 0, steps_per_epoch=5, validation_losses=losses[:seen]) for seen in range(len(losses) + 1)
    ]
    assert found == pytest.approx([0.5 * factor for factor in expected])


def test_plateau_after_0_evaluations_means_after_1() -> None:
    setting = config(schedule="plateau", decay_rate=0.1, decay_after=0)
    assert learning_rate(setting, 0, steps_per_epoch=5, validation_losses=[1.0, 1.0]) == pytest.approx(0.05)


def test_evaluations_since_best_counts_from_the_first_of_equals() -> None:
    assert evaluations_since_best([]) == 0
    assert evaluations_since_best([2.0]) == 0
    assert evaluations_since_best([3.0, 2.0, 2.0, 2.5]) == 2
    assert evaluations_since_best([3.0, 2.0, 1.0]) == 0


def test_a_run_ends_after_its_steps_or_by_patience() -> None:
    assert not has_ended(config(), 9, 10, [1.0, 2.0, 3.0])
    assert has_ended(config(), 10, 10, [])
    assert not has_ended(config(patience=2), 5, 10, [1.0, 2.0])
    assert has_ended(config(patience=2), 5, 10, [1.0, 2.0, 1.5])


@pytest.mark.parametrize("optimizer", CHOICES["optimizer"])
def test_without_weight_decay_a_gradient_of_zero_changes_nothing(optimizer: str) -> None:
    weights = tf.Variable([1.0])
    make_optimizer(config(optimizer=optimizer, weight_decay=0.0)).apply([tf.constant([0.0])], [weights])
    assert weights.numpy().tolist() == [1.0]


def test_the_time_scale_of_decay_is_the_epochs_in_which_a_weight_falls_to_one_eth() -> None:
    """To 1/e, with the peak learning rate and no gradient."""
    setting = config(optimizer="adamw", learning_rate=0.1, weight_decay=0.05)
    weights, optimizer = tf.Variable([1.0], name="kernel"), make_optimizer(setting)
    for _ in range(200):
        optimizer.apply([tf.constant([0.0])], [weights])
    assert decay_epochs(setting, steps_per_epoch=50) == pytest.approx(4)
    assert float(weights[0]) == pytest.approx(math.exp(-1), rel=5e-3)


def test_the_time_scale_of_the_included_model_is_16_epochs() -> None:
    assert decay_epochs(TrainConfig(), steps_per_epoch=307) == pytest.approx(16.3, abs=0.05)


def test_without_decay_the_time_scale_is_infinite() -> None:
    assert decay_epochs(config(weight_decay=0.0), steps_per_epoch=9) == math.inf


def test_weight_decay_leaves_biases_and_the_embedding_alone() -> None:
    variables = {name: tf.Variable([1.0], name=name) for name in ("kernel", "bias", "embedding")}
    optimizer = make_optimizer(config(optimizer="sgd", weight_decay=0.5))
    optimizer.apply([tf.constant([0.0])] * 3, list(variables.values()))
    assert {name: float(variable[0]) for name, variable in variables.items()} == {
        "kernel": 0.75,
        "bias": 1.0,
        "embedding": 1.0,
    }

"""The learning rate as char-rnn, a cosine, a plateau and a warm-up have it."""

import math

import pytest

from training.config import TrainConfig
from training.learning.schedule import evaluations_since_best, learning_rate


def config(**changes) -> TrainConfig:
    return TrainConfig(**({"learning_rate": 0.5, "warmup_steps": 0, "schedule": "constant", "epochs": 4} | changes))


def rates(setting: TrainConfig, *, steps: int, steps_per_epoch: int) -> list[float]:
    return [learning_rate(setting, step, steps_per_epoch=steps_per_epoch) for step in range(steps)]


def test_constant_stays() -> None:
    assert rates(config(), steps=9, steps_per_epoch=3) == [0.5] * 9


def test_cosine_falls_by_half_a_cosine_over_the_whole_run() -> None:
    found = rates(config(schedule="cosine"), steps=41, steps_per_epoch=10)
    assert found[0] == 0.5
    assert found[20] == pytest.approx(0.25)
    assert found[40] == pytest.approx(0)
    assert found == sorted(found, reverse=True)
    for step in range(21):
        assert found[step] + found[40 - step] == pytest.approx(0.5)  # symmetric about its middle
    assert found[10] == pytest.approx(0.25 + 0.25 * math.sqrt(0.5))


def test_cosine_falls_over_the_steps_that_were_asked_for_instead_of_the_epochs() -> None:
    in_epochs = rates(config(schedule="cosine", epochs=2), steps=20, steps_per_epoch=10)
    assert rates(config(schedule="cosine", steps=20), steps=20, steps_per_epoch=7) == in_epochs


def test_warm_up_is_a_line_and_multiplies_the_schedule() -> None:
    assert rates(config(warmup_steps=4), steps=7, steps_per_epoch=3) == pytest.approx(
        [0.1, 0.2, 0.3, 0.4, 0.5, 0.5, 0.5]
    )
    cold, warm = (rates(config(schedule="cosine", warmup_steps=w), steps=40, steps_per_epoch=10) for w in (0, 4))
    assert warm[1] == pytest.approx(cold[1] * 2 / 5)
    assert warm[4:] == cold[4:]


@pytest.mark.parametrize("decay_after", [0, 1, 3, 10])
def test_step_is_char_rnns_rule(decay_after: int) -> None:
    """Its loop, step by step from 1: at the end of an epoch, once so many are over, the rate is multiplied."""
    steps_per_epoch, epochs, rate, expected = 7, 15, 0.5, []
    for i in range(1, steps_per_epoch * epochs + 1):
        expected.append(rate)
        if i % steps_per_epoch == 0 and i / steps_per_epoch >= decay_after:
            rate *= 0.9
    setting = config(schedule="step", decay_rate=0.9, decay_after=decay_after, epochs=epochs)
    assert rates(setting, steps=len(expected), steps_per_epoch=steps_per_epoch) == pytest.approx(expected)


def test_plateau_falls_whenever_so_many_evaluations_brought_no_new_best() -> None:
    setting = config(schedule="plateau", decay_rate=0.1, decay_after=2)
    losses = [3.0, 2.0, 2.1, 2.0, 1.9, 1.95, 1.9, 1.91, 1.92, 1.8]
    #         best  best  1    2    best  1     2     1     2    best
    expected = [1, 1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01, 1e-3, 1e-3]
    found = [
        learning_rate(setting, 0, steps_per_epoch=5, validation_losses=losses[:seen]) for seen in range(len(losses) + 1)
    ]
    assert found == pytest.approx([0.5 * factor for factor in expected])


def test_plateau_after_no_evaluation_is_after_one() -> None:
    setting = config(schedule="plateau", decay_rate=0.1, decay_after=0)
    assert learning_rate(setting, 0, steps_per_epoch=5, validation_losses=[1.0, 1.0]) == pytest.approx(0.05)


def test_evaluations_since_best_counts_from_the_first_of_equals() -> None:
    assert evaluations_since_best([]) == 0
    assert evaluations_since_best([2.0]) == 0
    assert evaluations_since_best([3.0, 2.0, 2.0, 2.5]) == 2
    assert evaluations_since_best([3.0, 2.0, 1.0]) == 0

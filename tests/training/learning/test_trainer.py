"""The moving average of a trainer's weights."""

import numpy as np
import pytest

from tests.training.learning.trainers import RATE, assert_weights, trainer_of, vanilla, window_for
from tests.training.network.networks import oracle_of
from training.network.weights import weights_of


def test_averages_follow_the_weights_and_are_used_inside_averaged_only() -> None:
    setting = vanilla(ema=0.2)
    trainer = trainer_of(setting)
    window, state = window_for(setting)
    averages = weights_of(trainer.network).arrays
    for number in range(3):
        trainer.train(window, state, rate=RATE, step=number)
        trained = weights_of(trainer.network).arrays
        kept = min(0.2, (1 + number) / (10 + number))  # less at first, or the random initial weights would stay
        averages = [kept * average + (1 - kept) * array for average, array in zip(averages, trained, strict=True)]
    with trainer.averaged():
        assert_weights(trainer.network, averages, atol=1e-13)
        logits = trainer.read(window.previous, state)[0]
        np.testing.assert_allclose(logits, oracle_of(trainer.network).forward(window.previous, state)[0], atol=1e-12)
    assert_weights(trainer.network, trained, atol=0)
    with pytest.raises(RuntimeError, match="the disk is full"), trainer.averaged():
        raise RuntimeError("the disk is full")
    assert_weights(trainer.network, trained, atol=0)


def test_without_averages_the_trained_weights_are_used() -> None:
    trainer = trainer_of(vanilla())
    trained = weights_of(trainer.network).arrays
    with trainer.averaged():
        assert_weights(trainer.network, trained, atol=0)
    assert trainer.variables["averages"] == []

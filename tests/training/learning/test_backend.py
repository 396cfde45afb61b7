"""The trainer of this machine: its backend, and the weights that it starts from."""

import keras
import numpy as np
import pytest

from tests.training.network.networks import SYMBOLS, config, random_network
from training.errors import InputError
from training.learning.backend import make_trainer, use_devices
from training.learning.step import TensorFlowTrainer
from training.network.weights import weights_of


def test_another_backend_is_refused_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    with pytest.raises(InputError, match="KERAS_BACKEND must be tensorflow or jax, not torch"):
        use_devices()


def test_a_trainer_starts_from_the_weights_of_another_network() -> None:
    setting = config(1)
    start_from = weights_of(random_network(setting, dtype="float32"))
    trainer = make_trainer(setting, SYMBOLS, start_from)
    assert isinstance(trainer, TensorFlowTrainer)
    for found, expected in zip(weights_of(trainer.network).arrays, start_from.arrays, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_weights_of_another_shape_are_refused() -> None:
    start_from = weights_of(random_network(config(2)))
    with pytest.raises(InputError, match="The network to start from has 2 lstm layers"):
        make_trainer(config(1), SYMBOLS, start_from)

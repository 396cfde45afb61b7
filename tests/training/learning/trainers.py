"""Small trainers for tests, a window for them, and the NumPy step to compare them with."""

from typing import Any

import numpy as np

from tests.oracle import Network as Oracle
from tests.training.network.networks import batch_for, config, random_network
from training.config import TrainConfig
from training.data.windows import Window
from training.learning.step import TensorFlowTrainer
from training.network.network import Network
from training.network.weights import weights_of

RATE = 2**-5  # exact in float32, in which Keras keeps it


def vanilla(**changes: Any) -> TrainConfig:
    """The network that compiles fastest."""
    return config(1, **({"cell": "rnn", "grad_clip": 0.0} | changes))


def trainer_of(setting: TrainConfig, *, replicas: int = 1, dtype: str = "float64") -> TensorFlowTrainer:
    return TensorFlowTrainer(random_network(setting, dtype=dtype), setting, replicas=replicas)


def window_for(setting: TrainConfig) -> tuple[Window, Any]:
    """A window of random ids, and a state [S, N, H] before it."""
    previous, targets, state = batch_for(setting, streams=setting.batch_size)
    return Window(previous, targets, np.zeros(setting.batch_size, bool)), state


def oracle_step(oracle: Oracle, window: Window, state: Any) -> tuple[float, list[Any], Any]:
    """The mean loss, its gradients and the state after the window, from a state that is zero in reset rows."""
    return oracle.loss_and_gradients(window.previous, window.targets, np.where(window.reset[None, :, None], 0, state))


def norm_of(arrays: list[Any]) -> float:
    return float(np.sqrt(sum((array**2).sum() for array in arrays)))


def assert_weights(network: Network, expected: list[Any], *, atol: float = 1e-9) -> None:
    """To 1e-9: Keras keeps the constants of its optimizers in float32."""
    for found, array in zip(weights_of(network).arrays, expected, strict=True):
        np.testing.assert_allclose(found, array, rtol=0, atol=atol)

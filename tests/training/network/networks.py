"""Small networks for tests, the reference network of each, and a batch for them."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.oracle import Network as Oracle
from training.config import TrainConfig
from training.learning.step import next_symbol_losses
from training.network.network import Network, state_shape
from training.network.weights import weights_of

SYMBOLS, UNITS = 7, 5
EMBEDDED, ONE_HOT = 3, 0

every_cell = pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
every_input = pytest.mark.parametrize("embedding", [EMBEDDED, ONE_HOT], ids=["embedding", "one-hot"])


def config(layers: int = 2, **changes: Any) -> TrainConfig:
    """A small network without dropout and weight decay."""
    off = {"dropout": 0.0, "output_dropout": 0.0, "weight_dropout": 0.0, "weight_decay": 0.0}
    small = {"layers": layers, "units": UNITS, "embedding": EMBEDDED, "batch_size": 3, "window": 10, "seed": 11}
    return TrainConfig(**(small | off | changes))


def random_network(setting: TrainConfig, *, dtype: str = "float64", stock: bool = False) -> Network:
    """A network without special weights, such as a bias of zero, that could hide an error."""
    network = Network(setting, SYMBOLS, dtype=dtype, stock=stock)
    generator = np.random.default_rng(8)
    for variable in network.trainable_variables:
        variable.assign_add(generator.normal(0, 0.2, variable.shape))
    return network


def oracle_of(network: Network) -> Oracle:
    return Oracle.of(weights_of(network))


def batch_for(setting: TrainConfig, *, streams: int = 3, steps: int = 6) -> tuple[Any, Any, Any]:
    """previous [N, T], targets [N, T], state [S, N, H]."""
    generator = np.random.default_rng(5)
    previous, targets = generator.integers(0, SYMBOLS, (2, streams, steps)).astype(np.int32)
    return previous, targets, generator.normal(0, 0.5, state_shape(setting, streams))


def gradients_of(network: Network, previous: Any, targets: Any, state: Any) -> tuple[float, list[Any]]:
    """The mean loss and its gradients, in the order of the oracle's weights."""
    with tf.GradientTape() as tape:
        logits, _ = network(previous, tf.constant(state))
        loss = tf.reduce_mean(next_symbol_losses(logits, targets))
    gradients = tape.gradient(loss, network.trainable_variables)
    by_variable = {id(v): gradient for v, gradient in zip(network.trainable_variables, gradients, strict=True)}
    layers = [variable for layer in network.recurrent for variable in layer.trainable_variables]
    inputs = [network.embedding] if network.config.embedding else []
    ordered = [*inputs, *layers, network.output_kernel, network.output_bias]
    return float(loss), [tf.convert_to_tensor(by_variable[id(variable)]).numpy() for variable in ordered]

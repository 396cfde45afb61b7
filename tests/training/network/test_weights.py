"""The trained numbers of a network, read from one network and written into another."""

import dataclasses

import numpy as np
import tensorflow as tf

from tests.oracle import Network as Oracle
from tests.training.network.networks import (
    SYMBOLS,
    batch_for,
    config,
    every_cell,
    every_input,
    oracle_of,
    random_network,
)
from training.network.network import Network
from training.network.weights import scale_logits, set_weights, weights_of


@every_cell
@every_input
def test_weights_of_one_network_make_another_the_same(cell: str, embedding: int) -> None:
    setting = config(cell=cell, embedding=embedding)
    network, other = random_network(setting, dtype="float32"), Network(dataclasses.replace(setting, seed=12), SYMBOLS)
    weights = weights_of(network)
    assert weights.parameters == network.count_params() == sum(array.size for array in weights.arrays)
    set_weights(other, weights)
    previous, _, state = batch_for(setting)
    state = tf.constant(state, tf.float32)
    np.testing.assert_array_equal(other(previous, state)[0], network(previous, state)[0])


def test_scale_logits_multiplies_the_logits() -> None:
    network = random_network(config(), dtype="float32")
    previous, _, state = batch_for(network.config)
    scaled = Oracle.of(scale_logits(weights_of(network), 1.25)).forward(previous, state)[0]
    np.testing.assert_allclose(scaled, 1.25 * oracle_of(network).forward(previous, state)[0], rtol=0, atol=1e-5)

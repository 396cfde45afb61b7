"""The exported network, step by step, against NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from tests.oracle import Network as Oracle
from tests.training.network.networks import SYMBOLS, batch_for, config, every_cell, every_input, random_network
from training.network.weights import weights_of
from training.release.exported import ExportedNetwork, trained_weights


@every_cell
@every_input
@pytest.mark.parametrize("layers", [1, 3])
def test_steps_agree_with_numpy(cell: str, embedding: int, layers: int) -> None:
    weights = weights_of(random_network(config(layers, cell=cell, embedding=embedding), dtype="float32"))
    network, (ids, _, state) = ExportedNetwork(weights), batch_for(config(layers, cell=cell))
    expected, expected_state, _ = Oracle.of(weights).forward(ids, state)
    states = tuple(tf.unstack(tf.constant(state, tf.float32)))
    for t in range(ids.shape[1]):
        h, states = network.step(tf.constant(ids[:, t]), states)
        np.testing.assert_array_equal(h, network.top_h(states))
        np.testing.assert_allclose(network.logits(h), expected[:, t], rtol=0, atol=1e-5)
    np.testing.assert_allclose(states, expected_state, rtol=0, atol=1e-5)
    shown = np.tanh(expected_state[1::2]) if cell == "lstm" else expected_state
    np.testing.assert_allclose(network.activations(states), shown.transpose(1, 0, 2), rtol=0, atol=1e-5)
    assert network.logits(h).shape == (3, SYMBOLS)


@every_cell
@every_input
def test_trained_weights_are_those_of_the_network(cell: str, embedding: int) -> None:
    weights = weights_of(random_network(config(2, cell=cell, embedding=embedding), dtype="float32"))
    found = trained_weights(ExportedNetwork(weights), cell)
    for ours, theirs in zip(found.arrays, weights.arrays, strict=True):
        np.testing.assert_array_equal(ours, theirs)

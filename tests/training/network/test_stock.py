"""Keras' own layers over our weights, against NumPy and against our recurrences."""

import numpy as np
import pytest
import tensorflow as tf

from tests.training.network.networks import (
    SYMBOLS,
    batch_for,
    config,
    every_cell,
    every_input,
    gradients_of,
    oracle_of,
    random_network,
)
from training.network.network import Network
from training.network.weights import set_weights, weights_of


@every_cell
@every_input
def test_stock_layers_agree_with_numpy(cell: str, embedding: int) -> None:
    setting = config(2, cell=cell, embedding=embedding)
    network = random_network(setting, stock=True)
    batch = batch_for(setting)
    logits, new_state = network(batch[0], tf.constant(batch[2]))
    expected_logits, expected_state, _ = oracle_of(network).forward(batch[0], batch[2])
    np.testing.assert_allclose(logits, expected_logits, rtol=0, atol=1e-12)
    np.testing.assert_allclose(new_state, expected_state, rtol=0, atol=1e-12)
    found, expected = gradients_of(network, *batch), oracle_of(network).loss_and_gradients(*batch)
    assert found[0] == pytest.approx(expected[0], rel=1e-12)
    for ours, theirs in zip(found[1], expected[1], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)


@every_cell
@every_input
def test_stock_layers_and_ours_have_the_same_logits_and_gradients(cell: str, embedding: int) -> None:
    setting = config(2, cell=cell, embedding=embedding)
    ours, stock = random_network(setting), Network(setting, SYMBOLS, dtype="float64", stock=True)
    set_weights(stock, weights_of(ours))
    batch = batch_for(setting)
    results = [
        [*network(batch[0], tf.constant(batch[2])), *gradients_of(network, *batch)[1]] for network in (ours, stock)
    ]
    for our_array, stock_array in zip(*results, strict=True):
        np.testing.assert_allclose(our_array, stock_array, rtol=0, atol=1e-12)


def test_the_code_that_computes_is_named() -> None:
    assert random_network(config(1), stock=True).recurrence == "Keras' lstm layer on TensorFlow, float64"
    assert random_network(config(1)).recurrence == "Charloom's loop over time, float64"

"""The network's logits, state and gradient, against plain NumPy and finite differences."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tests.oracle import numerical_gradient
from tests.training.network.networks import (
    EMBEDDED,
    ONE_HOT,
    SYMBOLS,
    UNITS,
    batch_for,
    config,
    every_cell,
    every_input,
    gradients_of,
    oracle_of,
    random_network,
)
from training.network.layer import Recurrent
from training.network.network import Network, state_shape
from training.network.weights import weights_of


@every_cell
@every_input
@pytest.mark.parametrize("layers", [1, 3])
def test_logits_and_state_agree_with_numpy(cell: str, embedding: int, layers: int) -> None:
    setting = config(layers, cell=cell, embedding=embedding)
    network = random_network(setting)
    previous, _, state = batch_for(setting)
    logits, new_state = network(previous, tf.constant(state))
    expected_logits, expected_state, _ = oracle_of(network).forward(previous, state)
    np.testing.assert_allclose(logits, expected_logits, rtol=0, atol=1e-12)
    np.testing.assert_allclose(new_state, expected_state, rtol=0, atol=1e-12)


@every_cell
@every_input
def test_gradient_agrees_with_numpy_and_with_finite_differences(cell: str, embedding: int) -> None:
    setting = config(2, cell=cell, embedding=embedding, units=4)
    network = random_network(setting)
    oracle = oracle_of(network)
    batch = batch_for(setting, streams=2, steps=5)
    expected_loss, expected, _ = oracle.loss_and_gradients(*batch)
    loss, found = gradients_of(network, *batch)
    assert loss == pytest.approx(expected_loss, rel=1e-12)
    for ours, theirs, weights in zip(found, expected, oracle.weights, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-13)
        differences = numerical_gradient(lambda: oracle.loss(*batch), weights)
        assert np.linalg.norm(ours - differences) <= 1e-7 * np.linalg.norm(differences)


@every_cell
@pytest.mark.parametrize(
    ("embedding", "changes"),
    [
        (EMBEDDED, {"input_dropout": 0.5}),  # off without a seed
        (EMBEDDED, {"batch_size": 1, "window": 4}),  # few characters a step
        (ONE_HOT, {"input_dropout": 0.5}),
    ],
    ids=["embedding", "embedding, many symbols", "one-hot"],
)
def test_products_and_a_table_of_inputs_give_the_same_network(
    cell: str, embedding: int, changes: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting = config(1, cell=cell, embedding=embedding)
    by_table, by_product = random_network(setting), random_network(dataclasses.replace(setting, **changes))
    batch = batch_for(setting)
    logits, _ = by_table(batch[0], tf.constant(batch[2]))
    expected = gradients_of(by_table, *batch)
    monkeypatch.delattr(Recurrent, "table")  # so that using it fails
    np.testing.assert_allclose(by_product(batch[0], tf.constant(batch[2]))[0], logits, rtol=0, atol=1e-14)
    found = gradients_of(by_product, *batch)
    assert found[0] == pytest.approx(expected[0], rel=1e-14)
    for ours, theirs in zip(found[1], expected[1], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-14)


@every_cell
def test_a_window_in_two_parts_has_the_same_logits_and_state(cell: str) -> None:
    setting = config(cell=cell)
    network = random_network(setting, dtype="float32")
    previous, _, state = batch_for(setting)
    state = tf.constant(state, tf.float32)
    expected, expected_state = network(previous, state)
    first, between = network(previous[:, :4], state)
    second, after = network(previous[:, 4:], between)
    np.testing.assert_array_equal(tf.concat([first, second], axis=1), expected)
    np.testing.assert_array_equal(after, expected_state)


def test_initial_weights_follow_from_the_seed() -> None:
    first, again, other = (weights_of(Network(config(seed=seed), SYMBOLS)).arrays for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(first, other, strict=True) if a.ndim == 2)


def test_initial_forget_bias_is_one_and_the_embedding_has_size_one() -> None:
    weights = weights_of(Network(config(units=3, embedding=200), 50))
    assert weights.layers[0].bias.tolist() == [0] * 3 + [1] * 3 + [0] * 6  # input, forget, output and candidate
    assert weights.embedding.std() == pytest.approx(1, abs=0.05)


def test_oracle_of_one_hot_characters_learns_hello() -> None:
    """The post's example: of the two l's in "hello" one is followed by l, one by o; only the state tells."""
    oracle = oracle_of(random_network(config(1, cell="rnn", embedding=ONE_HOT)))
    previous, targets, cold = np.array([[1, 2, 3, 3]]), np.array([[2, 3, 3, 4]]), np.zeros((1, 1, UNITS))
    for _ in range(500):
        _, gradients, _ = oracle.loss_and_gradients(previous, targets, cold)
        for gradient, weights in zip(gradients, oracle.weights, strict=True):
            weights -= 0.5 * gradient
    assert oracle.forward(previous, cold)[0].argmax(axis=-1).tolist() == targets.tolist()


@pytest.mark.parametrize(
    ("precision", "units", "stock", "compiled"),
    [
        ("float32", 256, False, True),
        ("mixed_bfloat16", 255, False, True),
        ("mixed_bfloat16", 256, False, False),
        ("float32", 8, True, False),
    ],
)
def test_xla_compiles_float32_which_small_networks_have_in_any_precision(
    precision: str, units: int, stock: bool, compiled: bool
) -> None:
    setting = config(1, cell="rnn", units=units, precision=precision)
    assert Network(setting, SYMBOLS, stock=stock).is_compiled == compiled


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_a_small_network_computes_in_float32_on_a_cpu(cell: str) -> None:
    """There float32 is faster, and a network of 256 units rounds its products."""
    ids, found = np.array([[1, 2, 3]]), []
    for units in (UNITS, 256):
        for precision in ("float32", "mixed_bfloat16"):
            setting = config(2, cell=cell, units=units, precision=precision)
            network = Network(setting, SYMBOLS)
            found.append(np.asarray(network(ids, np.zeros(state_shape(setting, 1), np.float32))[0]))
    small, small_mixed, large, large_mixed = found
    np.testing.assert_array_equal(small_mixed, small)
    assert not np.array_equal(large_mixed, large)


def test_the_shape_of_a_state_follows_from_the_cell() -> None:
    assert state_shape(config(2), 3) == (4, 3, UNITS)
    assert state_shape(config(2, cell="gru"), 3) == (2, 3, UNITS)


@pytest.mark.parametrize(
    ("dropout", "touched"),
    [
        ("input_dropout", ["bottom state", "top state", "logits"]),
        ("dropout", ["top state", "logits"]),
        ("output_dropout", ["logits"]),
        ("weight_dropout", ["bottom state", "top state", "logits"]),
    ],
)
@pytest.mark.parametrize("embedding", [3, 0], ids=["embedding", "one-hot"])
def test_each_dropout_changes_only_the_parts_above_it(dropout: str, touched: list[str], embedding: int) -> None:
    """Compiled by XLA, which has the generator of a compiled step."""
    setting = config(2, cell="rnn", embedding=embedding, **{dropout: 0.5})
    network = random_network(setting, dtype="float32")
    run = tf.function(lambda *inputs: network(*inputs), jit_compile=True, autograph=False)
    previous, _, state = batch_for(setting)
    results = []
    for seed in (None, tf.constant([1, 2], tf.int64)):
        logits, (bottom, top) = run(previous, tf.constant(state, tf.float32), seed)
        results.append({"bottom state": bottom.numpy(), "top state": top.numpy(), "logits": logits.numpy()})
    assert [name for name in results[0] if not np.array_equal(results[0][name], results[1][name])] == touched

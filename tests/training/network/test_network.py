"""The network and its gradient, against a plain NumPy one and finite differences."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tests.oracle import Network as Oracle
from tests.oracle import numerical_gradient
from training.config import TrainConfig
from training.learning.step import next_symbol_losses
from training.network.layer import Recurrent
from training.network.network import Network, state_shape
from training.network.weights import scale_logits, set_weights, weights_of

SYMBOLS, UNITS = 7, 5
EMBEDDED, ONE_HOT = 3, 0

every_network = pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
every_input = pytest.mark.parametrize("embedding", [EMBEDDED, ONE_HOT], ids=["embedding", "one-hot"])


def config(layers: int = 2, **changes) -> TrainConfig:
    """Small, and with everything off that is not asked for."""
    off = {"dropout": 0.0, "output_dropout": 0.0, "weight_dropout": 0.0, "weight_decay": 0.0}
    small = {"layers": layers, "units": UNITS, "embedding": EMBEDDED, "batch_size": 3, "window": 10, "seed": 11}
    return TrainConfig(**(small | off | changes))


def made(setting: TrainConfig, *, dtype: str = "float64", stock: bool = False) -> Network:
    """A network none of whose weights is at a value that an error could hide behind, such as a bias of zero."""
    network = Network(setting, SYMBOLS, dtype=dtype, stock=stock)
    generator = np.random.default_rng(8)
    for variable in network.trainable_variables:
        variable.assign_add(generator.normal(0, 0.2, variable.shape))
    return network


def oracle_of(network: Network) -> Oracle:
    return Oracle.of(weights_of(network))


def example(setting: TrainConfig, *, streams: int = 3, steps: int = 6):
    """previous [N, T], targets [N, T], state [S, N, H]."""
    generator = np.random.default_rng(5)
    previous, targets = generator.integers(0, SYMBOLS, (2, streams, steps)).astype(np.int32)
    return previous, targets, generator.normal(0, 0.5, state_shape(setting, streams))


def gradients_of(network: Network, previous, targets, state):
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


@every_network
@every_input
@pytest.mark.parametrize("layers", [1, 3])
def test_logits_and_state_agree_with_numpy(cell: str, embedding: int, layers: int) -> None:
    setting = config(layers, cell=cell, embedding=embedding)
    network = made(setting)
    previous, _, state = example(setting)
    logits, new_state = network(previous, tf.constant(state))
    expected_logits, expected_state, _ = oracle_of(network).forward(previous, state)
    np.testing.assert_allclose(logits, expected_logits, rtol=0, atol=1e-12)
    np.testing.assert_allclose(new_state, expected_state, rtol=0, atol=1e-12)


@every_network
@every_input
def test_gradient_agrees_with_numpy_and_with_finite_differences(cell: str, embedding: int) -> None:
    setting = config(2, cell=cell, embedding=embedding, units=4)
    network = made(setting)
    oracle = oracle_of(network)
    batch = example(setting, streams=2, steps=5)
    expected_loss, expected, _ = oracle.loss_and_gradients(*batch)
    loss, found = gradients_of(network, *batch)
    assert loss == pytest.approx(expected_loss, rel=1e-12)
    for ours, theirs, weights in zip(found, expected, oracle.weights, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-13)
        differences = numerical_gradient(lambda: oracle.loss(*batch), weights)
        assert np.linalg.norm(ours - differences) <= 1e-7 * np.linalg.norm(differences)


@every_network
@pytest.mark.parametrize(
    ("embedding", "changes"),
    [
        (EMBEDDED, {"input_dropout": 0.5}),  # without a seed nothing is dropped
        (EMBEDDED, {"batch_size": 1, "window": 4}),  # more symbols than a window reads
        (ONE_HOT, {"input_dropout": 0.5}),
    ],
    ids=["embedding", "embedding, many symbols", "one-hot"],
)
def test_products_and_rows_of_a_table_are_the_same_network(
    cell: str, embedding: int, changes: dict, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting = config(1, cell=cell, embedding=embedding)
    by_table, by_product = made(setting), made(dataclasses.replace(setting, **changes))
    batch = example(setting)
    logits, _ = by_table(batch[0], tf.constant(batch[2]))
    expected = gradients_of(by_table, *batch)
    monkeypatch.delattr(Recurrent, "table")  # whoever still wants it fails
    np.testing.assert_allclose(by_product(batch[0], tf.constant(batch[2]))[0], logits, rtol=0, atol=1e-14)
    found = gradients_of(by_product, *batch)
    assert found[0] == pytest.approx(expected[0], rel=1e-14)
    for ours, theirs in zip(found[1], expected[1], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-14)


@every_network
@every_input
def test_keras_own_layers_are_the_same_network(cell: str, embedding: int) -> None:
    setting = config(2, cell=cell, embedding=embedding)
    network = made(setting, stock=True)
    batch = example(setting)
    logits, new_state = network(batch[0], tf.constant(batch[2]))
    expected_logits, expected_state, _ = oracle_of(network).forward(batch[0], batch[2])
    np.testing.assert_allclose(logits, expected_logits, rtol=0, atol=1e-12)
    np.testing.assert_allclose(new_state, expected_state, rtol=0, atol=1e-12)
    found, expected = gradients_of(network, *batch), oracle_of(network).loss_and_gradients(*batch)
    assert found[0] == pytest.approx(expected[0], rel=1e-12)
    for ours, theirs in zip(found[1], expected[1], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)


@every_network
def test_a_window_read_in_two_parts_is_the_same_window(cell: str) -> None:
    setting = config(cell=cell)
    network = made(setting, dtype="float32")
    previous, _, state = example(setting)
    state = tf.constant(state, tf.float32)
    whole, whole_state = network(previous, state)
    first, between = network(previous[:, :4], state)
    second, after = network(previous[:, 4:], between)
    np.testing.assert_array_equal(tf.concat([first, second], axis=1), whole)
    np.testing.assert_array_equal(after, whole_state)


@every_network
@every_input
def test_weights_go_out_and_into_another_network(cell: str, embedding: int) -> None:
    setting = config(cell=cell, embedding=embedding)
    network, other = made(setting, dtype="float32"), Network(dataclasses.replace(setting, seed=12), SYMBOLS)
    weights = weights_of(network)
    assert weights.parameters == network.count_params() == sum(array.size for array in weights.arrays)
    set_weights(other, weights)
    previous, _, state = example(setting)
    state = tf.constant(state, tf.float32)
    np.testing.assert_array_equal(other(previous, state)[0], network(previous, state)[0])


def test_initial_weights_follow_from_the_seed() -> None:
    first, again, other = (weights_of(Network(config(seed=seed), SYMBOLS)).arrays for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(first, other, strict=True) if a.ndim == 2)


def test_an_lstm_begins_by_remembering_and_its_embedding_is_of_size_one() -> None:
    weights = weights_of(Network(config(units=3, embedding=200), 50))
    assert weights.layers[0].bias.tolist() == [0] * 3 + [1] * 3 + [0] * 6  # input, forget, output and candidate
    assert weights.embedding.std() == pytest.approx(1, abs=0.05)


def test_scaled_logits_are_the_logits_scaled() -> None:
    network = made(config(), dtype="float32")
    previous, _, state = example(network.config)
    scaled = Oracle.of(scale_logits(weights_of(network), 1.25)).forward(previous, state)[0]
    np.testing.assert_allclose(scaled, 1.25 * oracle_of(network).forward(previous, state)[0], rtol=0, atol=1e-5)


def test_oracle_of_one_hot_characters_learns_hello() -> None:
    """The post's example: of the two l's in "hello" one is followed by l and one by o; only what came before tells."""
    oracle = oracle_of(made(config(1, cell="rnn", embedding=ONE_HOT)))
    previous, targets, cold = np.array([[1, 2, 3, 3]]), np.array([[2, 3, 3, 4]]), np.zeros((1, 1, UNITS))
    for _ in range(500):
        _, gradients, _ = oracle.loss_and_gradients(previous, targets, cold)
        for gradient, weights in zip(gradients, oracle.weights, strict=True):
            weights -= 0.5 * gradient
    assert oracle.forward(previous, cold)[0].argmax(axis=-1).tolist() == targets.tolist()

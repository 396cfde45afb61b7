"""The network and its gradient, against a plain NumPy one, finite differences and stock Keras."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from tests.oracle import Lstm, Network, VanillaRnn, loss_and_gradient, numerical_gradient
from training.config import TrainConfig
from training.learning.network import build_network, state_shape, weights_of
from training.learning.recurrence import LSTM
from training.learning.step import make_training_step, next_symbol_losses

SYMBOLS = 7


def config(layers: int = 2, **changes) -> TrainConfig:
    return TrainConfig(
        **({"layers": layers, "units": 5, "embedding": 3, "dropout": 0.0, "weight_dropout": 0.0, "seed": 11} | changes)
    )


def oracle_of(network: keras.Model) -> Network:
    """The same weights in float64; changes to them stay apart from the network's."""
    weights = weights_of(network)
    as64 = lambda array: np.array(array, np.float64)  # noqa: E731
    return Network(
        as64(weights.embedding),
        [Lstm(as64(layer.kernel), as64(layer.recurrent_kernel), as64(layer.bias)) for layer in weights.lstm],
        as64(weights.output_kernel),
        as64(weights.output_bias),
    )


def example(layers: int, *, streams: int = 3, steps: int = 6):
    generator = np.random.default_rng(5)
    previous = generator.integers(0, SYMBOLS, (streams, steps)).astype(np.int32)
    targets = generator.integers(0, SYMBOLS, (streams, steps)).astype(np.int32)
    state = generator.normal(0, 0.5, (2 * layers, streams, 5))
    return previous, targets, state


def read(network: keras.Model, previous, state):
    """The network's logits and state, from arrays."""
    return network([tf.constant(previous), tf.constant(state, network.compute_dtype)])


def gradients_of(network: keras.Model, previous, targets, state):
    with tf.GradientTape() as tape:
        logits, _ = read(network, previous, state)
        loss = tf.reduce_mean(next_symbol_losses(logits, targets))
    return float(loss), [tf.convert_to_tensor(g).numpy() for g in tape.gradient(loss, network.trainable_variables)]


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_logits_and_state_agree_with_numpy(layers: int) -> None:
    network = build_network(config(layers), SYMBOLS, dtype="float64")
    previous, _, state = example(layers)
    logits, new_state = read(network, previous, state)
    expected_logits, expected_state, _ = oracle_of(network).forward(previous, state)
    np.testing.assert_allclose(logits, expected_logits, rtol=0, atol=1e-12)
    np.testing.assert_allclose(new_state, expected_state, rtol=0, atol=1e-12)


@pytest.mark.parametrize("layers", [1, 2])
def test_gradient_agrees_with_numpy_and_with_finite_differences(layers: int) -> None:
    network = build_network(config(layers), SYMBOLS, dtype="float64")
    oracle = oracle_of(network)
    previous, targets, state = example(layers)
    logits, _, tape = oracle.forward(previous, state)
    expected_loss, expected = oracle.gradients(targets, logits, tape)
    loss, found = gradients_of(network, previous, targets, state)
    assert loss == pytest.approx(expected_loss, rel=1e-12)

    def oracle_loss() -> float:
        return loss_and_gradient(oracle.forward(previous, state)[0], targets)[0]

    lstm_weights = [w for layer in oracle.layers for w in (layer.kernel, layer.recurrent, layer.bias)]
    oracle_weights = [oracle.embedding, *lstm_weights, oracle.output_kernel, oracle.output_bias]
    for ours, theirs, weights in zip(found, expected, oracle_weights, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-13)
        differences = numerical_gradient(oracle_loss, weights)
        assert np.linalg.norm(ours - differences) <= 1e-7 * np.linalg.norm(differences)


def test_layer_is_the_stock_keras_lstm_made_faster() -> None:
    units, inputs, streams, steps = 6, 4, 3, 9
    ours, stock = (
        LSTM(units, dtype="float64"),
        keras.layers.LSTM(units, return_sequences=True, return_state=True, dtype="float64"),
    )
    generator = np.random.default_rng(2)
    x = tf.constant(generator.normal(size=(streams, steps, inputs)))
    h, c = (tf.constant(generator.normal(size=(streams, units))) for _ in range(2))
    stock(x, initial_state=[h, c])
    ours(tf.transpose(x, (1, 0, 2)), h, c)

    def reordered(weights):  # Keras: input, forget, candidate, output
        i, f, g, o = np.split(weights, 4, axis=-1)
        return np.concatenate([i, f, o, g], axis=-1)

    ours.set_weights([reordered(weights) for weights in stock.get_weights()])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([x, h, c])
        their_outputs = stock(x, initial_state=[h, c])
        our_outputs = ours(tf.transpose(x, (1, 0, 2)), h, c)
        our_outputs = [tf.transpose(our_outputs[0], (1, 0, 2)), *our_outputs[1:]]
        mix = [tf.constant(generator.normal(size=output.shape)) for output in their_outputs]
        their_sum = tf.add_n([tf.reduce_sum(a * b) for a, b in zip(mix, their_outputs, strict=True)])
        our_sum = tf.add_n([tf.reduce_sum(a * b) for a, b in zip(mix, our_outputs, strict=True)])
    for our_output, their_output in zip(our_outputs, their_outputs, strict=True):
        np.testing.assert_allclose(our_output, their_output, rtol=0, atol=1e-12)
    theirs = tape.gradient(their_sum, [x, h, c, *stock.trainable_variables])
    found = tape.gradient(our_sum, [x, h, c, *ours.trainable_variables])
    for index, (their_gradient, our_gradient) in enumerate(zip(theirs, found, strict=True)):
        expected = their_gradient.numpy() if index < 3 else reordered(their_gradient.numpy())
        np.testing.assert_allclose(our_gradient, expected, rtol=0, atol=1e-11)


def test_a_window_read_in_two_parts_is_the_same_window() -> None:
    network = build_network(config(), SYMBOLS)
    previous, _, state = example(2)
    whole, whole_state = read(network, previous, state)
    first, between = read(network, previous[:, :4], state)
    second, after = read(network, previous[:, 4:], between)
    np.testing.assert_array_equal(tf.concat([first, second], axis=1), whole)
    np.testing.assert_array_equal(after, whole_state)


def test_rows_and_replicas_do_not_mix() -> None:
    """One step over a batch of five, shared between replicas, is one step over its mean loss."""
    changes = config(batch_size=5, window=6)
    previous, targets, state = example(2, streams=5)
    fresh = np.array([False, True, False, False, True])
    stepped, reference = (build_network(changes, SYMBOLS, dtype="float64") for _ in range(2))
    optimizer = keras.optimizers.SGD(1.0)
    step = make_training_step(stepped, optimizer, 1e9, batch_size=5)
    loss, norm, new_state = step(previous, targets, fresh, tf.constant(state))

    cleared = np.where(fresh[None, :, None], 0, state)
    expected_loss, gradients = gradients_of(reference, previous, targets, cleared)
    _, expected_state = read(reference, previous, cleared)
    assert float(loss) == pytest.approx(expected_loss, rel=1e-12)
    assert float(norm) == pytest.approx(np.sqrt(sum((g**2).sum() for g in gradients)), rel=1e-12)
    np.testing.assert_allclose(new_state, expected_state, rtol=0, atol=1e-13)
    for after, before, gradient in zip(
        stepped.trainable_variables, reference.trainable_variables, gradients, strict=True
    ):
        np.testing.assert_allclose(after.numpy(), before.numpy() - gradient, rtol=0, atol=1e-13)


def test_gradient_is_clipped_by_its_global_norm() -> None:
    changes = config(batch_size=3, window=6)
    previous, targets, state = example(2)
    network = build_network(changes, SYMBOLS, dtype="float64")
    before = [variable.numpy() for variable in network.trainable_variables]
    step = make_training_step(network, keras.optimizers.SGD(1.0), 1e-3, batch_size=3)
    step(previous, targets, np.zeros(3, bool), tf.constant(state))
    moved = [a.numpy() - b for a, b in zip(network.trainable_variables, before, strict=True)]
    assert np.sqrt(sum((m**2).sum() for m in moved)) == pytest.approx(1e-3, rel=1e-9)


def test_hello_takes_a_state_to_learn() -> None:
    """The post's example: of the two l's in "hello" one is followed by l and one by o; only what came before tells."""
    previous = np.array([[1, 2, 3, 3]], np.int32)  # h e l l
    targets = np.array([[2, 3, 3, 4]], np.int32)  # e l l o
    setting = config(1, units=8, embedding=4, batch_size=1, window=4, seed=3)
    network = build_network(setting, 5)
    step = make_training_step(network, keras.optimizers.Adam(0.05), 1.0, batch_size=1)
    cold = np.zeros(state_shape(setting, 1), np.float32)
    for _ in range(150):
        step(previous, targets, np.array([True]), cold)
    logits, _ = read(network, previous, cold)
    assert logits.numpy().argmax(axis=-1).tolist() == targets.tolist()
    # Without its state the network cannot tell the second l from the first.
    alone, _ = read(network, previous[:, 3:], cold)
    np.testing.assert_array_equal(alone, read(network, previous[:, 2:3], cold)[0])


def test_vanilla_rnn_oracle_agrees_with_finite_differences_and_learns_hello() -> None:
    rnn = VanillaRnn.random(symbols=5, units=6, generator=np.random.default_rng(0))
    ids, targets = np.array([1, 2, 3, 3]), np.array([2, 3, 3, 4])
    h = np.zeros(6)
    _, gradients, _ = rnn.gradients(ids, targets, h)
    for gradient, weights in zip(gradients, rnn.weights, strict=True):
        differences = numerical_gradient(lambda: rnn.gradients(ids, targets, h)[0], weights)
        np.testing.assert_allclose(gradient, differences, rtol=0, atol=1e-9)
    for _ in range(1000):
        _, gradients, _ = rnn.gradients(ids, targets, h)
        for gradient, weights in zip(gradients, rnn.weights, strict=True):
            weights -= 0.5 * gradient
    assert rnn.forward(ids, h)[0].argmax(axis=1).tolist() == targets.tolist()

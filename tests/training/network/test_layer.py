"""Each recurrent layer is the stock Keras layer of its kind, outputs and gradients."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from training.network.layer import CELLS, Recurrent
from training.network.scan import product, scan

UNITS, INPUTS, STREAMS = 6, 4, 3
STOCK = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU, "rnn": keras.layers.SimpleRNN}


def reordered(cell: str, kernel, recurrent, bias) -> list[np.ndarray]:
    """Weights of a stock layer as ours are: an LSTM's gates in our order, a GRU's two biases where we have them."""
    if cell == "lstm":  # theirs: input, forget, candidate, output
        blocks = (np.split(weights, 4, axis=-1) for weights in (kernel, recurrent, bias))
        return [np.concatenate([i, f, o, g], axis=-1) for i, f, g, o in blocks]
    if cell == "gru":
        both = np.concatenate([bias.sum(axis=0)[: 2 * UNITS], bias[0, 2 * UNITS :]])
        return [kernel, recurrent, both, bias[1, 2 * UNITS :]]
    return [kernel, recurrent, bias]


def gradient_reordered(cell: str, kernel, recurrent, bias) -> list[np.ndarray]:
    """The same of gradients: what is a sum of two of their biases has the gradient of either."""
    if cell == "gru":
        np.testing.assert_allclose(bias[0, : 2 * UNITS], bias[1, : 2 * UNITS], rtol=1e-12)
        return [kernel, recurrent, bias[0], bias[1, 2 * UNITS :]]
    return reordered(cell, kernel, recurrent, bias)


def pair(cell: str) -> tuple[Recurrent, keras.layers.Layer]:
    """Ours and the stock layer with the same random weights."""
    generator = np.random.default_rng(3)
    stock = STOCK[cell](UNITS, return_sequences=True, return_state=True, dtype="float64")
    stock.build((STREAMS, 1, INPUTS))
    stock.set_weights([generator.normal(0, 0.6, weights.shape) for weights in stock.get_weights()])
    ours = Recurrent(cell, UNITS, precision="float32", stock=False, dtype="float64")
    ours.build(INPUTS)
    ours.set_weights(reordered(cell, *stock.get_weights()))
    return ours, stock


@pytest.mark.parametrize("steps", [1, 9])
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_layer_is_the_stock_keras_layer_made_faster(cell: str, steps: int) -> None:
    ours, stock = pair(cell)
    generator = np.random.default_rng(2)
    x = tf.constant(generator.normal(size=(STREAMS, steps, INPUTS)))
    state = [tf.constant(generator.normal(size=(STREAMS, UNITS))) for _ in range(CELLS[cell].states)]
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([x, *state])
        theirs = stock(x, initial_state=state if len(state) > 1 else state[0])
        hs, *after = ours(ours.inputs(tf.transpose(x, (1, 0, 2))), state, tf.convert_to_tensor(ours.recurrent_kernel))
        found = [tf.transpose(hs, (1, 0, 2)), *after]
        # A random sum of all outputs: every one of them has a gradient.
        mix = [generator.normal(size=output.shape) for output in theirs]
        their_sum, our_sum = (
            tf.add_n([tf.reduce_sum(a * b) for a, b in zip(mix, outputs, strict=True)]) for outputs in (theirs, found)
        )
    for our_output, their_output in zip(found, theirs, strict=True):
        np.testing.assert_allclose(our_output, their_output, rtol=0, atol=1e-12)
    their_gradients = [g.numpy() for g in tape.gradient(their_sum, [x, *state, *stock.trainable_variables])]
    inputs = 1 + len(state)
    expected = [*their_gradients[:inputs], *gradient_reordered(cell, *their_gradients[inputs:])]
    for ours_, theirs_ in zip(tape.gradient(our_sum, [x, *state, *ours.trainable_variables]), expected, strict=True):
        np.testing.assert_allclose(ours_, theirs_, rtol=0, atol=1e-11)


@pytest.mark.parametrize(("backwards", "order"), [(False, [0, 1, 2, 3]), (True, [3, 2, 1, 0])])
def test_scan_carries_and_collects_in_the_order_of_time(backwards: bool, order: list[int]) -> None:
    x = tf.constant([[1.0], [20.0], [300.0], [4000.0]])

    def step(t, total):
        total = total + x[t]
        return (total,), (total,)

    (last,), (totals,) = scan(step, (tf.zeros(1),), tf.constant(4), outputs=1, backwards=backwards)
    expected = np.zeros(4)
    expected[order] = np.cumsum(x.numpy()[order, 0])
    assert totals.numpy()[:, 0].tolist() == expected.tolist()
    assert last.numpy().tolist() == [4321.0]


def test_a_product_is_of_the_kernels_precision_and_comes_out_in_that_of_x() -> None:
    x, kernel = tf.constant([[1.0, 1 / 3]]), tf.constant([[1.0], [3.0]])
    assert product(x, kernel).numpy().tolist() == [[2.0]]
    rounded = product(x, tf.cast(kernel, tf.bfloat16))
    assert rounded.dtype == tf.float32
    exact_sum = 1 + 3 * float(tf.cast(x[0, 1], tf.bfloat16))
    assert float(rounded[0, 0]) == pytest.approx(exact_sum, rel=2**-8)

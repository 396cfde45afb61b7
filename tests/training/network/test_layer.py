"""Each recurrent layer, outputs and gradients, against the stock Keras layer of its cell."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from training.network.layer import CELLS, Recurrent

UNITS, INPUTS, STREAMS = 6, 4, 3
STOCK = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU, "rnn": keras.layers.SimpleRNN}


def reordered(cell: str, kernel, recurrent, bias) -> list[np.ndarray]:
    """The weights of a stock layer in our layout: an LSTM's gates in our order, a GRU's two biases split."""
    if cell == "lstm":  # theirs: input, forget, candidate, output
        blocks = (np.split(weights, 4, axis=-1) for weights in (kernel, recurrent, bias))
        return [np.concatenate([i, f, o, g], axis=-1) for i, f, g, o in blocks]
    if cell == "gru":
        both = np.concatenate([bias.sum(axis=0)[: 2 * UNITS], bias[0, 2 * UNITS :]])
        return [kernel, recurrent, both, bias[1, 2 * UNITS :]]
    return [kernel, recurrent, bias]


def gradient_reordered(cell: str, kernel, recurrent, bias) -> list[np.ndarray]:
    """The gradients of a stock layer in our layout: our bias, the sum of two of theirs, has the gradient of either."""
    if cell == "gru":
        np.testing.assert_allclose(bias[0, : 2 * UNITS], bias[1, : 2 * UNITS], rtol=1e-12)
        return [kernel, recurrent, bias[0], bias[1, 2 * UNITS :]]
    return reordered(cell, kernel, recurrent, bias)


def pair(cell: str) -> tuple[Recurrent, keras.layers.Layer]:
    """Our layer and the stock layer, with the same random weights."""
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
def test_a_layer_computes_the_same_as_the_stock_keras_layer(cell: str, steps: int) -> None:
    ours, stock = pair(cell)
    generator = np.random.default_rng(2)
    x = tf.constant(generator.normal(size=(STREAMS, steps, INPUTS)))
    state = [tf.constant(generator.normal(size=(STREAMS, UNITS))) for _ in range(CELLS[cell].states)]
    with tf.GradientTape(persistent=True) as tape:
        tape.watch([x, *state])
        theirs = stock(x, initial_state=state if len(state) > 1 else state[0])
        hs, *after = ours(ours.inputs(tf.transpose(x, (1, 0, 2))), state, tf.convert_to_tensor(ours.recurrent_kernel))
        found = [tf.transpose(hs, (1, 0, 2)), *after]
        # A random sum of all outputs has a gradient by each of them.
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

"""One step of each recurrent cell in plain TensorFlow operations: loads on any machine, whatever trained it."""

from collections.abc import Callable

import tensorflow as tf

State = tuple[tf.Tensor, ...]  # of one layer: h [N, H], and c [N, H] for an LSTM


def lstm_step(inputs: tf.Tensor, state: State, kernel: tf.Tensor) -> State:
    """From inputs [N, 4H] (input, forget, output, candidate) and kernel [H, 4H] (Gers et al. 2000)."""
    h, c = state
    units = c.shape[-1]
    gates = inputs + h @ kernel
    input_, forget, output = tf.split(tf.sigmoid(gates[:, : 3 * units]), 3, axis=1)
    c = forget * c + input_ * tf.tanh(gates[:, 3 * units :])
    return output * tf.tanh(c), c


def gru_step(inputs: tf.Tensor, state: State, kernel: tf.Tensor, candidate_bias: tf.Tensor) -> State:
    """From inputs [N, 3H] (update, reset, candidate) and kernel [H, 3H] (Cho et al. 2014, reset after the product)."""
    (h,) = state
    units = h.shape[-1]
    sums = h @ kernel
    update, reset = tf.split(tf.sigmoid(inputs[:, : 2 * units] + sums[:, : 2 * units]), 2, axis=1)
    candidate = tf.tanh(inputs[:, 2 * units :] + reset * (sums[:, 2 * units :] + candidate_bias))
    return (update * h + (1 - update) * candidate,)


def rnn_step(inputs: tf.Tensor, state: State, kernel: tf.Tensor) -> State:
    """From inputs [N, H] and kernel [H, H] (Elman 1990)."""
    (h,) = state
    return (tf.tanh(inputs + h @ kernel),)


STEPS: dict[str, Callable[..., State]] = {"lstm": lstm_step, "gru": gru_step, "rnn": rnn_step}

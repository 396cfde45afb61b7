"""One step of each recurrent cell in plain TensorFlow ops, which run on any machine, whatever trained the network.

Each gate has its own kernel: TensorFlow can compute the gates of a single row on several cores, and no wide product has
to be split. That is 1.4 times as fast for few rows, 1.1 times for many (docs/experiments.md).
"""

from collections.abc import Callable, Sequence

import tensorflow as tf

Gates = Sequence[tf.Tensor]
State = tuple[tf.Tensor, ...]  # of one layer: h [N, H], and c [N, H] for an LSTM


def product(h: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """The product [N, H], computed in the kernel's type."""
    return tf.cast(tf.cast(h, kernel.dtype) @ kernel, h.dtype)


def lstm_step(inputs: Gates, state: State, kernels: Gates) -> State:
    """The new (h, c), from the inputs [N, H] and kernels [H, H] of input, forget, output, candidate (Gers et al. 2000).

    Above the bottom layer, h [N, 2H] also has the h of the layer below, and the kernels are [2H, H].
    """
    h, c = state
    *sums, candidate = (x + product(h, kernel) for x, kernel in zip(inputs, kernels, strict=True))
    input_, forget, output = map(tf.sigmoid, sums)
    c = forget * c + input_ * tf.tanh(candidate)
    return output * tf.tanh(c), c


def gru_step(inputs: Gates, state: State, kernels: Gates, candidate_bias: tf.Tensor) -> State:
    """The new (h,), from the inputs [N, H] and kernels [H, H] of update, reset, candidate (Cho et al. 2014).

    The reset gate comes after the product.
    """
    (h,) = state
    update, reset, candidate = (product(h, kernel) for kernel in kernels)
    update, reset = tf.sigmoid(inputs[0] + update), tf.sigmoid(inputs[1] + reset)
    candidate = tf.tanh(inputs[2] + reset * (candidate + candidate_bias))
    return (update * h + (1 - update) * candidate,)


def rnn_step(inputs: Gates, state: State, kernels: Gates) -> State:
    """The new (h,), from inputs [N, H] and a kernel [H, H] (Elman 1990)."""
    (h,) = state
    return (tf.tanh(inputs[0] + product(h, kernels[0])),)


STEPS: dict[str, Callable[..., State]] = {"lstm": lstm_step, "gru": gru_step, "rnn": rnn_step}

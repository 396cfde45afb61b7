"""One step of a recurrent cell in plain TensorFlow operations: loads on any machine, whatever trained the weights."""

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from training.learning.network import LstmWeights


def folded_input(embedding: NDArray[np.float32], bottom: LstmWeights) -> NDArray[np.float32]:
    """[V, 4H]: what each symbol adds to the bottom layer's gates, so that a gather replaces a product."""
    return embedding @ bottom.kernel + bottom.bias


def joint_kernel(layer: LstmWeights) -> NDArray[np.float32]:
    """[inputs + H, 4H]: input and recurrent kernels as the one matrix that multiplies [input, h]."""
    return np.concatenate([layer.kernel, layer.recurrent_kernel])


def lstm_step(gates: tf.Tensor, c: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The new h and c from gate sums [N, 4H] (input, forget, output, candidate) and c [N, H] (Gers et al. 2000)."""
    units = c.shape[-1]
    input_, forget, output = tf.split(tf.sigmoid(gates[:, : 3 * units]), 3, axis=1)
    c = forget * c + input_ * tf.tanh(gates[:, 3 * units :])
    return output * tf.tanh(c), c

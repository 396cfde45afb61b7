"""The GRU over a window (Cho et al. 2014), with the reset gate after the product, as in cuDNN and Keras.

Gate order in the columns of a kernel: update, reset, candidate.
"""

from typing import Any

import tensorflow as tf

from training.network.scan import before, kernel_gradient, product, scan


@tf.custom_gradient  # type: ignore[untyped-decorator]  # TensorFlow is untyped
def gru(inputs: tf.Tensor, h: tf.Tensor, kernel: tf.Tensor, candidate_bias: tf.Tensor) -> Any:
    """Run a GRU over a window.

    Args:
        inputs: [T, N, 3H], the contribution of the layer's inputs and of the bias to the gates.
        h: [N, H] before the window.
        kernel: [H, 3H], recurrent.
        candidate_bias: [H], added to the candidate's product before the reset gate scales it.

    Returns:
        h of every step [T, N, H], and h after the window [N, H].
    """
    steps, units = tf.shape(inputs)[0], kernel.shape[0]

    def forward(t: tf.Tensor, h: tf.Tensor) -> Any:
        x, sums = inputs[t], product(h, kernel)
        sigmoids = tf.sigmoid(x[:, : 2 * units] + sums[:, : 2 * units])
        update, reset = tf.split(sigmoids, 2, axis=1)
        recalled = sums[:, 2 * units :] + candidate_bias
        candidate = tf.tanh(x[:, 2 * units :] + reset * recalled)
        h = update * h + (1 - update) * candidate
        return (h,), (tf.concat([sigmoids, candidate, recalled], axis=1), h)

    (last_h,), (gates, hs) = scan(forward, (h,), steps, outputs=2)

    def gradient(d_hs: tf.Tensor, d_h: tf.Tensor) -> Any:
        """Only the gradient of h passes from step to step; its factors are computed for all steps at once."""
        update, reset, candidate, recalled = tf.split(gates, 4, axis=2)
        candidate_factor = (1 - update) * (1 - candidate**2)
        reset_factor = candidate_factor * recalled * reset * (1 - reset)
        update_factor = (before(h, hs) - candidate) * update * (1 - update)
        factors = tf.concat([update_factor, reset_factor, candidate_factor * reset], axis=2)
        transposed = tf.transpose(kernel)

        def backward(t: tf.Tensor, d_h: tf.Tensor) -> Any:
            d_h = d_h + d_hs[t]
            d_sum = tf.tile(d_h, [1, 3]) * factors[t]
            return (d_h * update[t] + product(d_sum, transposed),), (d_sum, d_h)

        (d_h,), (d_sums, d_of_steps) = scan(backward, (d_h,), steps, outputs=2, backwards=True)
        d_inputs = tf.concat([d_sums[:, :, : 2 * units], d_of_steps * candidate_factor], axis=2)
        d_kernel = kernel_gradient(before(h, hs), d_sums, kernel)
        return d_inputs, d_h, d_kernel, tf.reduce_sum(d_sums[:, :, 2 * units :], axis=[0, 1])

    return (hs, last_h), gradient

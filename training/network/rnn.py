"""The vanilla RNN over a window (Elman 1990): h = tanh(inputs + h W)."""

from typing import Any

import tensorflow as tf

from training.network.scan import before, kernel_gradient, product, scan


@tf.custom_gradient  # type: ignore[untyped-decorator]  # TensorFlow is untyped
def rnn(inputs: tf.Tensor, h: tf.Tensor, kernel: tf.Tensor) -> Any:
    """Run a vanilla RNN over a window.

    Args:
        inputs: [T, N, H], the contribution of the layer's inputs and of the bias.
        h: [N, H] before the window.
        kernel: [H, H], recurrent.

    Returns:
        h of every step [T, N, H], and h after the window [N, H].
    """
    steps = tf.shape(inputs)[0]

    def forward(t: tf.Tensor, h: tf.Tensor) -> Any:
        h = tf.tanh(inputs[t] + product(h, kernel))
        return (h,), (h,)

    (last_h,), (hs,) = scan(forward, (h,), steps, outputs=1)

    def gradient(d_hs: tf.Tensor, d_h: tf.Tensor) -> Any:
        factors, transposed = 1 - hs**2, tf.transpose(kernel)

        def backward(t: tf.Tensor, d_h: tf.Tensor) -> Any:
            d_sum = (d_h + d_hs[t]) * factors[t]
            return (product(d_sum, transposed),), (d_sum,)

        (d_h,), (d_sums,) = scan(backward, (d_h,), steps, outputs=1, backwards=True)
        return d_sums, d_h, kernel_gradient(before(h, hs), d_sums, kernel)

    return (hs, last_h), gradient

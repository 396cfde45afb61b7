"""The LSTM over a window (Hochreiter and Schmidhuber 1997, with the forget gates of Gers et al. 2000).

Gate order in the columns of a kernel: input, forget, output, candidate. So the three sigmoids are one operation.
"""

from typing import Any

import tensorflow as tf

from training.network.scan import before, kernel_gradient, product, scan


@tf.custom_gradient  # type: ignore[untyped-decorator]  # TensorFlow is untyped
def lstm(inputs: tf.Tensor, h: tf.Tensor, c: tf.Tensor, kernel: tf.Tensor) -> Any:
    """Run an LSTM over a window.

    Args:
        inputs: [T, N, 4H], the contribution of the layer's inputs and of the bias to the gates.
        h: [N, H] before the window.
        c: [N, H] before the window.
        kernel: [H, 4H], recurrent.

    Returns:
        h of every step [T, N, H], and h and c after the window [N, H].
    """
    steps, units = tf.shape(inputs)[0], kernel.shape[0]

    def forward(t: tf.Tensor, h: tf.Tensor, c: tf.Tensor) -> Any:
        sums = inputs[t] + product(h, kernel)
        sigmoids, candidate = tf.sigmoid(sums[:, : 3 * units]), tf.tanh(sums[:, 3 * units :])
        input_, forget, output = tf.split(sigmoids, 3, axis=1)
        c = forget * c + input_ * candidate
        h = output * tf.tanh(c)
        return (h, c), (sigmoids, candidate, c, h)

    (last_h, last_c), (sigmoids, candidates, cs, hs) = scan(forward, (h, c), steps, outputs=4)

    def gradient(d_hs: tf.Tensor, d_h: tf.Tensor, d_c: tf.Tensor) -> Any:
        """Back-propagation through time: only `d_h` and `d_c` pass from step to step.

        Their factors are computed for all steps at once: in the loop, XLA vectorises only operations that read a part
        of each array once.
        """
        input_, forget, output = tf.split(sigmoids, 3, axis=2)
        tanh_cs = tf.tanh(cs)
        c_factor = output * (1 - tanh_cs**2)
        input_factor = candidates * input_ * (1 - input_)
        forget_factor = before(c, cs) * forget * (1 - forget)
        output_factor = tanh_cs * output * (1 - output)
        candidate_factor = input_ * (1 - candidates**2)
        transposed = tf.transpose(kernel)  # once: a product with a transposed matrix is slow

        def backward(t: tf.Tensor, d_h: tf.Tensor, d_c: tf.Tensor) -> Any:
            d_h = d_h + d_hs[t]
            d_c = d_c + d_h * c_factor[t]
            d_sum = tf.concat(
                [d_c * input_factor[t], d_c * forget_factor[t], d_h * output_factor[t], d_c * candidate_factor[t]],
                axis=1,
            )
            return (product(d_sum, transposed), d_c * forget[t]), (d_sum,)

        (d_h, d_c), (d_sums,) = scan(backward, (d_h, d_c), steps, outputs=1, backwards=True)
        return d_sums, d_h, d_c, kernel_gradient(before(h, hs), d_sums, kernel)

    return (hs, last_h, last_c), gradient

"""The LSTM recurrence over a window with a gradient of its own, and the Keras layer around it.

Stock Keras lets TensorFlow differentiate the loop step by step. Here the input's product is one matrix product for the
whole window, and so are the weights' gradients; each step keeps only what depends on the step before. On a CPU that
trains 1.3 to 1.6 times as fast (docs/experiments.md). Everything is time-major: [T, N, ...].

The four gates stand side by side in the order input, forget, output, candidate: three sigmoids are one operation.
"""

from typing import Any

import keras
import tensorflow as tf


@tf.custom_gradient  # type: ignore[untyped-decorator]  # TensorFlow is untyped
def lstm_recurrence(inputs: tf.Tensor, h: tf.Tensor, c: tf.Tensor, kernel: tf.Tensor) -> Any:
    """Run an LSTM over a window.

    Args:
        inputs: [T, N, 4H], what the inputs and the bias add to the gates.
        h: [N, H] before the window.
        c: [N, H] before the window.
        kernel: [H, 4H], recurrent.

    Returns:
        h of every step [T, N, H], and h and c after the window [N, H]; with the gradient of all three.
    """
    steps, units = tf.shape(inputs)[0], kernel.shape[0]

    def per_step() -> tf.TensorArray:
        return tf.TensorArray(inputs.dtype, size=steps)

    def forward(t: tf.Tensor, h: tf.Tensor, c: tf.Tensor, gates: Any, cs: Any, hs: Any) -> Any:
        sums = inputs[t] + h @ kernel
        sigmoids, candidate = tf.sigmoid(sums[:, : 3 * units]), tf.tanh(sums[:, 3 * units :])
        input_, forget, output = tf.split(sigmoids, 3, axis=1)
        c = forget * c + input_ * candidate
        h = output * tf.tanh(c)
        gates = gates.write(t, tf.concat([sigmoids, candidate], axis=1))
        return t + 1, h, c, gates, cs.write(t, c), hs.write(t, h)

    _, last_h, last_c, gates, cs, hs = tf.while_loop(
        lambda t, *_: t < steps, forward, (0, h, c, per_step(), per_step(), per_step())
    )
    gates, cs, hs = gates.stack(), cs.stack(), hs.stack()

    def gradient(d_hs: tf.Tensor, d_h: tf.Tensor, d_c: tf.Tensor) -> Any:
        """Back-propagation through time: only `d_h` and `d_c` go from step to step, the factors are known before."""
        _, forget, output, _ = tf.split(gates, 4, axis=2)
        tanh_c = tf.tanh(cs)
        c_before, h_before = tf.concat([c[None], cs[:-1]], axis=0), tf.concat([h[None], hs[:-1]], axis=0)
        c_from_h = output * (1 - tanh_c**2)
        factors = _sums_from_c_and_h(gates, c_before, tanh_c)

        def backward(t: tf.Tensor, d_h: tf.Tensor, d_c: tf.Tensor, d_sums: Any) -> Any:
            d_h = d_h + d_hs[t]
            d_c = d_c + d_h * c_from_h[t]
            d_sum = tf.concat([d_c, d_c, d_h, d_c], axis=1) * factors[t]
            return t - 1, tf.matmul(d_sum, kernel, transpose_b=True), d_c * forget[t], d_sums.write(t, d_sum)

        _, d_h, d_c, d_sums = tf.while_loop(lambda t, *_: t >= 0, backward, (steps - 1, d_h, d_c, per_step()))
        d_sums = d_sums.stack()
        d_kernel = tf.matmul(tf.reshape(h_before, [-1, units]), tf.reshape(d_sums, [-1, 4 * units]), transpose_a=True)
        return d_sums, d_h, d_c, d_kernel

    return (hs, last_h, last_c), gradient


def _sums_from_c_and_h(gates: tf.Tensor, c_before: tf.Tensor, tanh_c: tf.Tensor) -> tf.Tensor:
    """[T, N, 4H]: how much the gradient of c (of h, for the output gate) moves each gate's sum."""
    input_, forget, output, candidate = tf.split(gates, 4, axis=2)
    return tf.concat(
        [
            candidate * input_ * (1 - input_),
            c_before * forget * (1 - forget),
            tanh_c * output * (1 - output),
            input_ * (1 - candidate**2),
        ],
        axis=2,
    )


class LSTM(keras.layers.Layer):  # type: ignore[misc]  # Keras is untyped
    """(x [T, N, inputs], h [N, H], c [N, H]) -> (h of every step [T, N, H], h, c). Initialised as Keras' own LSTM.

    While training, `weight_dropout` of the recurrent kernel is zero, another part for each window: the recurrence is
    regularised and its state stays whole (DropConnect, Merity et al. 2017, arXiv 1708.02182).
    """

    def __init__(self, units: int, *, weight_dropout: float = 0.0, **options: Any) -> None:
        super().__init__(**options)
        self.units = units
        self._weight_dropout = keras.layers.Dropout(weight_dropout, dtype=self.dtype_policy)

    def build(self, x_shape: Any, h_shape: Any, c_shape: Any) -> None:
        """Make the weights for inputs of these shapes."""
        gates = 4 * self.units
        self.kernel = self.add_weight((x_shape[-1], gates), "glorot_uniform", name="kernel")
        self.recurrent_kernel = self.add_weight((self.units, gates), "orthogonal", name="recurrent_kernel")
        self.bias = self.add_weight((gates,), _forget_bias_one, name="bias")

    def call(self, x: tf.Tensor, h: tf.Tensor, c: tf.Tensor, training: bool = False) -> Any:
        """Run over the window."""
        inputs = tf.tensordot(x, self.kernel, 1) + self.bias
        recurrent_kernel = self._weight_dropout(tf.convert_to_tensor(self.recurrent_kernel), training=training)
        return lstm_recurrence(inputs, h, c, recurrent_kernel)


def _forget_bias_one(shape: tuple[int], dtype: Any = None) -> tf.Tensor:
    """Zero but for the forget gate: an LSTM remembers until it learns to forget (Jozefowicz et al. 2015)."""
    units = shape[0] // 4
    return tf.concat([tf.zeros(units, dtype), tf.ones(units, dtype), tf.zeros(2 * units, dtype)], axis=0)

"""Keras' own recurrent layers over our weights, for GPUs, where they run on cuDNN, and for Keras' other backends.

They compute the same as the hand-written recurrences for TensorFlow on a CPU. Knows nothing of how the weights are
stored or trained, and not whether cuDNN works here (cudnn.py).
"""

from typing import Any

import keras
from keras import ops

LAYERS = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU, "rnn": keras.layers.SimpleRNN}


class StockLayer:
    """A Keras layer without weights of its own: they are arguments of each call.

    `use_cudnn` is for an LSTM on JAX; without it, Keras decides.
    """

    def __init__(self, cell: str, units: int, width: int, *, dtype: str, use_cudnn: bool | None = None) -> None:
        self._cell, self._units = cell, units
        self._is_jax_cudnn = bool(use_cudnn)
        options = {} if use_cudnn is None else {"use_cudnn": use_cudnn}
        self._layer = LAYERS[cell](units, return_sequences=True, return_state=True, dtype=dtype, **options)
        self._layer.build((None, None, width))

    def run(self, x: Any, state: list[Any], kernel: Any, recurrent_kernel: Any, bias: Any, candidate_bias: Any) -> Any:
        """Run over the window x [T, N, width] from `state`; the kernels and biases have our gate order.

        Returns:
            h of every step [T, N, H], then the state after the window, tensors [N, H].
        """
        cell = self._layer.cell
        weights = [
            (cell.kernel, self._in_keras_order(kernel)),
            (cell.recurrent_kernel, self._in_keras_order(recurrent_kernel)),
            (cell.bias, self._bias(bias, candidate_bias)),
        ]
        with keras.StatelessScope(state_mapping=weights):
            sequences, *state = (self._in_memory_order(array) for array in (ops.transpose(x, (1, 0, 2)), *state))
            hs, *state = (self._in_memory_order(array) for array in self._layer(sequences, initial_state=state))
        dtype = x.dtype
        return (ops.cast(ops.transpose(hs, (1, 0, 2)), dtype), *(ops.cast(part, dtype) for part in state))

    def _in_memory_order(self, array: Any) -> Any:
        """The array, and its gradient, laid out in memory with the last axis innermost, where cuDNN reads or writes it.

        JAX does not say to XLA which layouts its cuDNN call needs (jaxlib/gpu_rnn.py, 0.11.2). XLA would make the
        transpositions beside the call part of the layouts, and cuDNN would take batches for time steps.
        """
        if not self._is_jax_cudnn:
            return array
        from jax.experimental.layout import Layout, with_layout_constraint

        return with_layout_constraint(array, Layout(major_to_minor=tuple(range(array.ndim))))

    def _in_keras_order(self, weights: Any) -> Any:
        """Keras' LSTM has the gate order input, forget, candidate, output; its other cells have our order."""
        if self._cell != "lstm":
            return weights
        input_, forget, output, candidate = ops.split(weights, 4, axis=-1)
        return ops.concatenate([input_, forget, candidate, output], axis=-1)

    def _bias(self, bias: Any, candidate_bias: Any) -> Any:
        if self._cell != "gru":
            return self._in_keras_order(bias)
        # Keras has a second bias for every gate; that of update and reset is 0.
        second = ops.concatenate([ops.zeros_like(bias[: 2 * self._units]), candidate_bias])
        return ops.stack([bias, second])

"""Keras' own recurrent layers over our weights, for GPUs, where they run on cuDNN, and for Keras' other backends.

They compute the same as the hand-written recurrences for TensorFlow on a CPU. Knows nothing of how the weights are
stored or trained.

On JAX, an LSTM uses cuDNN where a small example shows that it works, and then in float32 (JAX has no other cuDNN LSTM;
its products are in TF32). `implementation` says which code computes.
"""

from typing import Any

import keras
from keras import ops

from training.network.cudnn import cudnn_problem

LAYERS = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU, "rnn": keras.layers.SimpleRNN}


class StockLayer:
    """A Keras layer without weights of its own: they are arguments of each call."""

    def __init__(self, cell: str, units: int, width: int, *, dtype: str) -> None:
        self._cell, self._units = cell, units
        options = {"return_sequences": True, "return_state": True, "dtype": dtype}
        self.implementation = f"Keras' {cell} layer on TensorFlow, {dtype}"
        if keras.backend.backend() == "jax":
            problem = cudnn_problem() if cell == "lstm" else "JAX has it only for LSTMs"
            self.implementation = f"Keras' loop over time, {dtype} (cuDNN: {problem})"
            if not problem:
                options |= {"dtype": "float32"}
                self.implementation = "cuDNN, float32 (TF32 products)"
            if cell == "lstm":
                options |= {"use_cudnn": not problem}
        self._layer = LAYERS[cell](units, **options)
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
            hs, *state = self._layer(ops.transpose(x, (1, 0, 2)), initial_state=state)
        dtype = x.dtype
        return (ops.cast(ops.transpose(hs, (1, 0, 2)), dtype), *(ops.cast(part, dtype) for part in state))

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

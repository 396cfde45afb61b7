"""One Keras model for training, evaluation and export: (ids [N, T], state [S, N, H]) -> (logits [N, T, V], state).

The recurrent state is a value that goes in and comes out; no layer stores it, and the caller decides where a row
continues. Dropout is on where a seed is given, and has no other randomness.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from training.config import TrainConfig
from training.network.dropout import dropout
from training.network.layer import CELLS, Recurrent

# The units from which a CPU gains by products in bfloat16 (docs/experiments.md); smaller networks use float32 on it.
SMALLEST_BFLOAT16 = 256


class Network(keras.Model):  # type: ignore[misc]  # Keras is untyped
    """An untrained network over `symbols` (V) ids, its initial weights drawn from `config.seed`.

    With `stock`, Keras' own recurrent layers compute (stock.py).
    """

    def __init__(self, config: TrainConfig, symbols: int, *, dtype: str = "float32", stock: bool = False) -> None:
        super().__init__(dtype=dtype)
        keras.utils.set_random_seed(config.seed % 2**32)
        self.config, self.symbols = config, symbols
        small = config.units < SMALLEST_BFLOAT16 and not stock  # `stock`: on a GPU or on JAX
        self.precision = "float32" if small else config.precision
        width = config.embedding or symbols
        if config.embedding:
            # Keras' default embedding is so small that the gates ignore the text for some epochs.
            spread = keras.initializers.RandomNormal(stddev=1.0)
            self.embedding = self.add_weight((symbols, width), spread, name="embedding")
        self.recurrent = []
        for number in range(config.layers):
            options: dict[str, Any] = {
                "precision": self.precision,
                "stock": stock,
                "dtype": dtype,
                "name": f"layer_{number}",
            }
            layer = Recurrent(config.cell, config.units, **options)
            layer.build(width)
            self.recurrent.append(layer)
            width = config.units
        self.output_kernel = self.add_weight((width, symbols), "glorot_uniform", name="output_kernel")
        self.output_bias = self.add_weight((symbols,), "zeros", name="output_bias")
        self.built = True

    @property
    def is_compiled(self) -> bool:
        """Whether XLA compiles the training step. It fuses the small ops, but does not support cuDNN.

        On a CPU it computes products of bfloat16 in float32, which is slower than TensorFlow's.
        """
        return self.precision == "float32" and not self.recurrent[0].is_stock

    @property
    def recurrence(self) -> str:
        """The code that computes the recurrent layers, for people."""
        return str(self.recurrent[0].implementation)

    def call(self, ids: Any, state: Any, seed: Any = None) -> tuple[Any, Any]:
        """Compute logits [N, T, V] and the state after `ids` [N, T], with dropout where a `seed` (two int64) is given.

        The state [S, N, H] has h, and then c for an LSTM, of each layer, bottom first.
        """
        drop = _dropper(seed, compiled=self.is_compiled)
        states = CELLS[self.config.cell].states
        x, new_state = self._bottom_inputs(ids, drop), []
        for number, layer in enumerate(self.recurrent):
            if number:
                x = layer.inputs(drop(x, self.config.dropout))
            kernel = drop(ops.convert_to_tensor(layer.recurrent_kernel), self.config.weight_dropout)
            own = [state[i] for i in range(number * states, (number + 1) * states)]
            x, *after = layer(x, own, kernel)
            new_state += after
        x = drop(x, self.config.output_dropout)
        logits = ops.tensordot(x, ops.convert_to_tensor(self.output_kernel), 1) + self.output_bias
        return ops.transpose(logits, (1, 0, 2)), ops.stack(new_state)

    def _bottom_inputs(self, ids: Any, drop: "Drop") -> Any:
        """The inputs of the bottom layer: rows of a table where that costs less than a product."""
        config, bottom = self.config, self.recurrent[0]
        # Transposed as floats: TensorFlow warns on stderr about every transposition of integers.
        ids = ops.cast(ops.transpose(ops.cast(ids, "float32")), "int32")
        if bottom.is_stock:
            x = ops.one_hot(ids, self.symbols) if self._embedding is None else ops.take(self._embedding, ids, axis=0)
            return drop(x, config.input_dropout)
        few_symbols = self.symbols <= config.batch_size * config.window // 4
        if not config.input_dropout and (few_symbols or not config.embedding):
            return ops.take(bottom.table(self._embedding), ids, axis=0)
        if self._embedding is not None:
            return bottom.inputs(drop(ops.take(self._embedding, ids, axis=0), config.input_dropout))
        hot = drop(ops.ones_like(ids, self.compute_dtype)[:, :, None], config.input_dropout)
        return ops.take(ops.convert_to_tensor(bottom.kernel), ids, axis=0) * hot + bottom.bias

    @property
    def _embedding(self) -> Any:
        return ops.convert_to_tensor(self.embedding) if self.config.embedding else None


Drop = Callable[[Any, float], Any]


def _dropper(seed: Any, *, compiled: bool) -> Drop:
    """A dropout that uses a new seed, derived from `seed`, at each call; without a seed it changes nothing."""
    calls = 0

    def drop(x: Any, rate: float) -> Any:
        nonlocal calls
        if seed is None or not rate:
            return x
        calls += 1
        return dropout(x, rate, seed + np.array([0, calls]), compiled=compiled)

    return drop


def state_shape(config: TrainConfig, streams: int) -> tuple[int, int, int]:
    """The shape [S, N, H] of a state: h, and then c for an LSTM, of each layer, bottom first. Zeros: initial state."""
    return (CELLS[config.cell].states * config.layers, streams, config.units)

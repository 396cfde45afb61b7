"""One recurrent layer of a network: its weights, and how they are run where."""

from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from training.network.stock import StockLayer


@dataclass(frozen=True)
class Cell:
    """What distinguishes the recurrent cells."""

    gates: int  # blocks of H columns in a kernel
    states: int  # tensors that go from step to step: h, and c for the LSTM


CELLS = {"lstm": Cell(gates=4, states=2), "gru": Cell(gates=3, states=1), "rnn": Cell(gates=1, states=1)}


class Recurrent(keras.layers.Layer):  # type: ignore[misc]  # Keras is untyped
    """(inputs, state, recurrent_kernel) -> (h of every step [T, N, H], *state); time-major, initialised as Keras does.

    `recurrent_kernel` is an argument because dropout may have thinned it (DropConnect, Merity et al. 2017,
    arXiv 1708.02182). Gates stand in our order (lstm.py, gru.py). With `stock` it is Keras' layer that computes
    (stock.py), and otherwise our own, which knows TensorFlow only and is the faster one on a CPU.
    """

    def __init__(self, cell: str, units: int, *, precision: str, stock: bool, **options: Any) -> None:
        super().__init__(**options)
        self.cell, self.units, self.is_stock = cell, units, stock
        self._precision = precision if precision != "float32" else self.compute_dtype

    def build(self, width: int) -> None:
        """Make the weights for inputs of this width."""
        columns = CELLS[self.cell].gates * self.units
        self.kernel = self.add_weight((width, columns), "glorot_uniform", name="kernel")
        self.recurrent_kernel = self.add_weight((self.units, columns), "orthogonal", name="recurrent_kernel")
        self.bias = self.add_weight((columns,), _forget_bias_one if self.cell == "lstm" else "zeros", name="bias")
        if self.cell == "gru":
            self.candidate_bias = self.add_weight((self.units,), "zeros", name="candidate_bias")
        if self.is_stock:
            self._stock = StockLayer(self.cell, self.units, width, dtype=self._precision)
        self.built = True

    def inputs(self, x: Any) -> Any:
        """What x [T, N, width] adds to the gates: [T, N, gates x H], one product for the whole window."""
        from training.network.scan import product

        return x if self.is_stock else product(x, self._rounded(self.kernel)) + self.bias

    def table(self, embedding: Any | None) -> Any:
        """[V, gates x H]: what each symbol adds to the gates; without an `embedding` symbols are one-hot."""
        return self.bias + (self.kernel if embedding is None else ops.matmul(embedding, self.kernel))

    def call(self, inputs: Any, state: list[Any], recurrent_kernel: Any) -> Any:
        """Run over the window; `inputs` as `inputs` or `table` gave them."""
        candidate_bias = ops.cast(self.candidate_bias, self.compute_dtype) if self.cell == "gru" else None
        if self.is_stock:
            kernel, bias = (ops.cast(weights, self.compute_dtype) for weights in (self.kernel, self.bias))
            return self._stock.run(inputs, state, kernel, recurrent_kernel, bias, candidate_bias)
        # Imported here: they need TensorFlow as Keras' backend.
        from training.network.gru import gru
        from training.network.lstm import lstm
        from training.network.rnn import rnn

        kernel = self._rounded(recurrent_kernel)
        if self.cell == "gru":
            return gru(inputs, *state, kernel, candidate_bias)
        return {"lstm": lstm, "rnn": rnn}[self.cell](inputs, *state, kernel)

    def _rounded(self, kernel: Any) -> Any:
        """The kernel in the precision that products are computed in."""
        return ops.cast(kernel, "bfloat16" if self._precision == "mixed_bfloat16" else self._precision)


def _forget_bias_one(shape: tuple[int], dtype: Any = None) -> Any:
    """Zero but for the forget gate: an LSTM remembers until it learns to forget (Jozefowicz et al. 2015)."""
    units = shape[0] // 4
    return ops.concatenate([ops.zeros(units, dtype), ops.ones(units, dtype), ops.zeros(2 * units, dtype)])

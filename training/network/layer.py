"""One recurrent layer of a network: its weights, and the implementation that runs over them."""

from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from training.network.stock import StockLayer


@dataclass(frozen=True)
class Cell:
    """The sizes of a recurrent cell."""

    gates: int  # blocks of H columns in a kernel
    states: int  # tensors that pass from step to step: h, and c for the LSTM


CELLS = {"lstm": Cell(gates=4, states=2), "gru": Cell(gates=3, states=1), "rnn": Cell(gates=1, states=1)}


class Recurrent(keras.layers.Layer):  # type: ignore[misc]  # Keras is untyped
    """(inputs, state, recurrent_kernel) -> (h of every step [T, N, H], *state), initialised as Keras does.

    `recurrent_kernel` is an argument because of DropConnect, dropout on the recurrent weights (Merity et al. 2017,
    arXiv 1708.02182). Gates are in our order (lstm.py, gru.py). With `stock`, Keras' layer computes (stock.py);
    otherwise our own recurrence, which needs TensorFlow and is faster on a CPU.
    """

    def __init__(self, cell: str, units: int, *, precision: str, stock: bool, **options: Any) -> None:
        super().__init__(**options)
        self.cell, self.units, self.is_stock = cell, units, stock
        self._precision = precision if precision != "float32" else self.compute_dtype

    def build(self, width: int) -> None:
        """Create the weights for inputs of this width."""
        columns = CELLS[self.cell].gates * self.units
        self.kernel = self.add_weight((width, columns), "glorot_uniform", name="kernel")
        self.recurrent_kernel = self.add_weight((self.units, columns), "orthogonal", name="recurrent_kernel")
        self.bias = self.add_weight((columns,), _forget_bias_one if self.cell == "lstm" else "zeros", name="bias")
        if self.cell == "gru":
            self.candidate_bias = self.add_weight((self.units,), "zeros", name="candidate_bias")
        if self.is_stock:
            self._stock = StockLayer(self.cell, self.units, width, dtype=self._precision)
        self.built = True

    @property
    def implementation(self) -> str:
        """The code that computes the layer, for people."""
        return self._stock.implementation if self.is_stock else f"Charloom's loop over time, {self._precision}"

    def inputs(self, x: Any) -> Any:
        """The contribution of x [T, N, width] to the gates [T, N, gates x H], in one product for the window."""
        if self.is_stock:
            return x
        from training.network.scan import product

        return product(x, self._rounded(self.kernel)) + self.bias

    def table(self, embedding: Any | None) -> Any:
        """The contribution of each symbol to the gates [V, gates x H]; without an `embedding`, symbols are one-hot."""
        return self.bias + (self.kernel if embedding is None else ops.matmul(embedding, self.kernel))

    def call(self, inputs: Any, state: list[Any], recurrent_kernel: Any) -> Any:
        """Run over the window; `inputs` [T, N, gates x H] are those that `inputs` or `table` computed.

        With `stock`, they are the layer's inputs themselves [T, N, width].
        """
        candidate_bias = ops.cast(self.candidate_bias, self.compute_dtype) if self.cell == "gru" else None
        if self.is_stock:
            kernel, bias = (ops.cast(weights, self.compute_dtype) for weights in (self.kernel, self.bias))
            return self._stock.run(inputs, state, kernel, recurrent_kernel, bias, candidate_bias)
        # Imported here: they need Keras on TensorFlow.
        from training.network.gru import gru
        from training.network.lstm import lstm
        from training.network.rnn import rnn

        kernel = self._rounded(recurrent_kernel)
        if self.cell == "gru":
            return gru(inputs, *state, kernel, candidate_bias)
        return {"lstm": lstm, "rnn": rnn}[self.cell](inputs, *state, kernel)

    def _rounded(self, kernel: Any) -> Any:
        """The kernel in the precision of the products."""
        return ops.cast(kernel, "bfloat16" if self._precision == "mixed_bfloat16" else self._precision)


def _forget_bias_one(shape: tuple[int], dtype: Any = None) -> Any:
    """Zero, and 1 for the forget gate: an untrained LSTM remembers (Jozefowicz et al. 2015)."""
    units = shape[0] // 4
    return ops.concatenate([ops.zeros(units, dtype), ops.ones(units, dtype), ops.zeros(2 * units, dtype)])

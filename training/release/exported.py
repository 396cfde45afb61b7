"""The network of the artifact: its variables, gate by gate, and one step through all layers in plain TensorFlow ops.

Knows nothing of sampling, signatures or files.
"""

from typing import Any

import numpy as np
import tensorflow as tf

from training.network.layer import CELLS
from training.network.weights import LayerWeights, NetworkWeights
from training.release.cells import STEPS, product

Layers = tuple[tf.Tensor, ...]
"""The state tensors [N, H] of all layers, bottom first."""

Gates = list[list[list[tf.Tensor]]]
"""The kernels and biases of each layer, gate by gate."""


class ExportedNetwork(tf.Module):  # type: ignore[misc]  # TensorFlow is untyped
    """A network over V symbols whose variables a SavedModel keeps."""

    def __init__(self, weights: NetworkWeights) -> None:
        super().__init__()
        self._cell, self._states = weights.cell, CELLS[weights.cell].states
        self._units, self._symbols = weights.output_kernel.shape
        # Every trained number, so that a later run can start from the artifact (`trained_weights`).
        self.embedding = [] if weights.embedding is None else [tf.Variable(weights.embedding, name="embedding")]
        self.gates = [_layer_variables(weights.cell, layer, number) for number, layer in enumerate(weights.layers)]
        self.output = [tf.Variable(weights.output_kernel, name="kernel"), tf.Variable(weights.output_bias, name="bias")]
        # The contribution of each symbol to the bottom layer's gates [V, gates x H]: a gather replaces a product.
        bottom = weights.layers[0]
        rows = bottom.kernel if weights.embedding is None else weights.embedding @ bottom.kernel
        self._inputs = tf.Variable(np.stack(_gates(weights.cell, rows + bottom.bias)), name="input")  # [gates, V, H]

    def gates_in(self, dtype: tf.DType) -> Gates:
        """The gates with their kernels in this type. Biases stay float32."""
        if dtype == tf.float32:
            return self.gates
        return [
            [[tf.cast(part, dtype) if part.shape.rank == 2 else part for part in parts] for parts in layer]
            for layer in self.gates
        ]

    def step(self, previous: tf.Tensor, layers: Layers, gates: Gates | None = None) -> tuple[tf.Tensor, Layers]:
        """Read one symbol of each row, `previous` [N]: the top layer's h [N, H], and the states of all layers.

        The products are computed in the type of the kernels of `gates`, by default float32.
        """
        gates = self.gates if gates is None else gates
        new: list[tf.Tensor] = []
        for number in range(len(self.gates)):
            state = layers[number * self._states : (number + 1) * self._states]
            new += self._layer_step(number, gates[number], new[-self._states] if number else previous, state)
        return new[-self._states], tuple(new)

    def top_h(self, layers: Layers) -> tf.Tensor:
        """The h [N, H] of the top layer, from which the next logits are computed."""
        return layers[-self._states]

    def activations(self, layers: Layers) -> tf.Tensor:
        """The units' activations [N, L, H] in (-1, 1): tanh(c) of an LSTM, h of the other cells."""
        if self._cell == "lstm":
            return tf.tanh(tf.stack(layers[1::2], axis=1))
        return tf.stack(layers, axis=1)

    def logits(self, h: tf.Tensor) -> tf.Tensor:
        """Logits [..., V] from the top layer's h [..., H]."""
        kernel, bias = self.output
        return h @ kernel + bias

    def _layer_step(self, number: int, gates: list[list[tf.Tensor]], below: tf.Tensor, state: Layers) -> Layers:
        """One layer's new state; `below` is the h of the layer below, or the symbols for the bottom layer."""
        step = STEPS[self._cell]
        if number and self._cell != "gru":
            joint, biases = gates
            return step(biases, (tf.concat([below, state[0]], axis=1), *state[1:]), joint)
        input_kernels, kernels, biases, *candidate_bias = gates
        if number:
            inputs = [product(below, kernel) + bias for kernel, bias in zip(input_kernels, biases, strict=True)]
        else:
            inputs = tf.unstack(tf.gather(self._inputs, below, axis=1))
        return step(inputs, state, kernels, *(bias for (bias,) in candidate_bias))


def trained_weights(loaded: Any, cell: str) -> NetworkWeights:
    """The trained numbers of an artifact that `tf.saved_model.load` returned."""
    layers = []
    for number, variables in enumerate(loaded.gates):
        arrays = [np.concatenate([gate.numpy() for gate in gates], axis=-1) for gates in variables]
        if number and cell != "gru":
            arrays[:1] = np.split(arrays[0], 2)
        layers.append(LayerWeights(*arrays))
    embedding = loaded.embedding[0].numpy() if len(loaded.embedding) else None
    return NetworkWeights(cell, embedding, tuple(layers), *(variable.numpy() for variable in loaded.output))


def _layer_variables(cell: str, layer: LayerWeights, number: int) -> list[list[tf.Variable]]:
    """The layer's arrays gate by gate. Above the bottom layer, an LSTM's or RNN's two kernels of a gate are one."""
    *kernels, bias = (layer.kernel, layer.recurrent_kernel, layer.bias)
    if number and cell != "gru":
        kernels = [np.concatenate(kernels)]  # for the input [below, h]
    variables = [_by_gate(cell, array, f"layer_{number}") for array in (*kernels, bias)]
    if layer.candidate_bias is not None:
        variables.append([tf.Variable(layer.candidate_bias, name=f"layer_{number}")])
    return variables


def _by_gate(cell: str, columns: Any, name: str) -> list[tf.Variable]:
    """One variable for each gate's columns of an array [..., gates x H]."""
    return [tf.Variable(gate, name=name) for gate in _gates(cell, columns)]


def _gates(cell: str, columns: Any) -> list[Any]:
    """Each gate's columns of an array [..., gates x H]."""
    return np.split(columns, CELLS[cell].gates, axis=-1)

"""Trained weights -> the artifact's SavedModel: `advance` and `inspect` as pure functions of plain TensorFlow ops.

Built from the weights, not from the Keras graph: no Keras, no cuDNN and no state inside. models/README.md is the
contract of every input and output.
"""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from training.data.vocabulary import RESERVED
from training.network.layer import CELLS
from training.network.weights import LayerWeights, NetworkWeights
from training.release.cells import STEPS
from training.release.sampling import Rule

GUESSES = 5
VECTOR = 16  # float32 numbers in the widest vector of a processor

Layers = tuple[tf.Tensor, ...]


class Call(NamedTuple):
    """What the steps of one `advance` follow."""

    given: tf.Tensor  # [K, N]
    follows: tf.Tensor  # bool [K, N]: the symbol is the given one
    takes: tf.Tensor  # bool [K, N]: the row takes this step
    kernel: tf.Tensor  # [H, V'], of the logits; V' is V, filled up to whole vectors
    bias: tf.Tensor  # [N, V'], the network's own and the caller's
    rule: Rule


class Artifact(tf.Module):  # type: ignore[misc]  # TensorFlow is untyped
    """The two exported functions over one set of weights."""

    def __init__(self, weights: NetworkWeights) -> None:
        super().__init__()
        self._cell, self._states = weights.cell, CELLS[weights.cell].states
        self._units, self._symbols = weights.output_kernel.shape
        # Every trained number, so that a later run can start from them (`trained_weights`).
        self.embedding = [] if weights.embedding is None else [tf.Variable(weights.embedding, name="embedding")]
        self.gates = [_layer_variables(weights.cell, layer, number) for number, layer in enumerate(weights.layers)]
        self.output = [tf.Variable(weights.output_kernel, name="kernel"), tf.Variable(weights.output_bias, name="bias")]
        # What each symbol adds to the bottom layer's gates [V, gates x H]: a gather takes the place of a product.
        bottom = weights.layers[0]
        rows = bottom.kernel if weights.embedding is None else weights.embedding @ bottom.kernel
        self._inputs = _by_gate(weights.cell, rows + bottom.bias, "input")
        self._never_sampled = np.zeros(self._symbols, np.float32)
        self._never_sampled[RESERVED] = -np.inf
        state = tf.TensorSpec((self._states * len(self.gates), None, self._units), tf.float32, "state")
        self.advance = tf.function(
            self._advance,
            input_signature=[
                _rows("previous"),
                _steps("given"),
                _rows("given_length"),
                _rows("length"),
                _steps("uniforms", tf.float32),
                _rows("temperature", tf.float32),
                _rows("top_k"),
                _rows("top_p", tf.float32),
                tf.TensorSpec((None, self._symbols), tf.float32, "bias"),
                state,
            ],
        )
        self.inspect = tf.function(self._inspect, input_signature=[_steps("symbols"), state])

    def _advance(
        self,
        previous: tf.Tensor,
        given: tf.Tensor,
        given_length: tf.Tensor,
        length: tf.Tensor,
        uniforms: tf.Tensor,
        temperature: tf.Tensor,
        top_k: tf.Tensor,
        top_p: tf.Tensor,
        bias: tf.Tensor,
        state: tf.Tensor,
    ) -> dict[str, tf.Tensor]:
        # Element-wise functions round what is left over of a vector otherwise, and what is left over is some row's end:
        # with whole vectors of symbols a row's choice does not depend on its place. What is added is never chosen.
        added = [[0, 0], [0, -self._symbols % VECTOR]]
        call = Call(
            given=_time_major(given),
            follows=_before(given_length, tf.shape(given)[1]),
            takes=_before(length, tf.shape(given)[1]),
            kernel=tf.pad(self.output[0], added),
            bias=tf.pad(bias + self._never_sampled + self.output[1], added, constant_values=-np.inf),
            rule=Rule.of(uniforms, temperature, top_k, top_p),
        )
        start = (previous, tuple(tf.unstack(state)))
        # Rows that take every step, as a server's do, are spared the choice between old and new at each of them.
        previous, layers, symbols, logits = tf.cond(
            tf.reduce_all(call.takes),
            lambda: self._steps(call, *start, all_take=True),
            lambda: self._steps(call, *start, all_take=False),
        )
        own_bias = tf.pad(self.output[1], added[1:], constant_values=-np.inf)
        logprobs = _logprobs(logits + own_bias, symbols)
        return {
            "symbols": _time_major(tf.where(call.takes, symbols, RESERVED)),
            "logprobs": tf.transpose(tf.where(call.takes, logprobs, 0.0)),
            "previous": previous,
            "state": tf.stack(layers),
        }

    def _steps(self, call: "Call", previous: tf.Tensor, layers: Layers, *, all_take: bool) -> Any:
        """The last symbols and states; of each step the symbols [K, N] and the logits [K, N, V'], still unbiased."""
        steps = tf.shape(call.given)[0]

        def step(t: tf.Tensor, previous: tf.Tensor, layers: Layers, symbols: Any, logits: Any) -> Any:
            h, new = self._step(previous, layers)
            unbiased = h @ call.kernel
            sampled = call.rule.choose(t, unbiased + call.bias)
            symbol = tf.where(tf.gather(call.follows, t), tf.gather(call.given, t), sampled)
            if not all_take:
                takes = tf.gather(call.takes, t)
                symbol = tf.where(takes, symbol, previous)
                new = tuple(tf.where(takes[:, None], *pair) for pair in zip(new, layers, strict=True))
            return t + 1, symbol, new, symbols.write(t, symbol), logits.write(t, unbiased)

        _, previous, layers, symbols, logits = tf.while_loop(
            lambda t, *_: t < steps,
            step,
            (0, previous, layers, _outputs(tf.int32, steps), _outputs(tf.float32, steps)),
        )
        return previous, layers, symbols.stack(), logits.stack()

    def _inspect(self, symbols: tf.Tensor, state: tf.Tensor) -> dict[str, tf.Tensor]:
        rows, steps = tf.shape(symbols)[0], tf.shape(symbols)[1]
        # A row whose state is zero has seen nothing: it first reads the symbol that stands for that.
        cold = tf.reduce_all(state == 0, axis=[0, 2])[:, None]
        _, begun = self._step(tf.fill([rows], RESERVED), tuple(tf.unstack(tf.zeros_like(state))))
        layers = tuple(tf.where(cold, new, old) for new, old in zip(begun, tf.unstack(state), strict=True))

        def step(t: tf.Tensor, layers: Layers, tops: Any, cells: Any) -> Any:
            tops = tops.write(t, layers[-self._states])  # the top h before symbol t: what the guess is made from
            _, layers = self._step(symbols[:, t], layers)
            return t + 1, layers, tops, cells.write(t, self._activations(layers))

        _, layers, tops, cells = tf.while_loop(
            lambda t, *_: t < steps,
            step,
            (0, layers, _outputs(tf.float32, steps), _outputs(tf.float32, steps)),
        )
        before = tf.transpose(tf.reshape(tops.stack(), [steps, rows, self._units]), [1, 0, 2])
        logprobs = tf.nn.log_softmax(self._logits(before))  # [N, T, V]
        top_logprobs, top_symbols = tf.math.top_k(logprobs, k=min(GUESSES, self._symbols))
        return {
            "logprobs": tf.gather(logprobs, symbols, batch_dims=2),
            "top_symbols": top_symbols,
            "top_logprobs": top_logprobs,
            "activations": tf.transpose(cells.stack(), [1, 0, 2, 3]),  # [N, T, L, H]
            "state": tf.stack(layers),
        }

    def _step(self, previous: tf.Tensor, layers: Layers) -> tuple[tf.Tensor, Layers]:
        """Read one symbol a row: the top layer's h [N, H], and the states of each layer."""
        new: list[tf.Tensor] = []
        for number in range(len(self.gates)):
            state = layers[number * self._states : (number + 1) * self._states]
            new += self._layer_step(number, new[-self._states] if number else previous, state)
        return new[-self._states], tuple(new)

    def _layer_step(self, number: int, below: tf.Tensor, state: Layers) -> Layers:
        """One layer's new state; `below` is the h of the layer below, or for the bottom one the symbols."""
        step = STEPS[self._cell]
        if number and self._cell != "gru":
            joint, biases = self.gates[number]
            return step(biases, (tf.concat([below, state[0]], axis=1), *state[1:]), joint)
        input_kernels, kernels, biases, *candidate_bias = self.gates[number]
        if number:
            inputs = [below @ kernel + bias for kernel, bias in zip(input_kernels, biases, strict=True)]
        else:
            inputs = [tf.gather(rows, below) for rows in self._inputs]
        return step(inputs, state, kernels, *(bias for (bias,) in candidate_bias))

    def _activations(self, layers: Layers) -> tf.Tensor:
        """[N, L, H] in (-1, 1): tanh(c) of an LSTM, h of the others."""
        if self._cell == "lstm":
            return tf.tanh(tf.stack(layers[1::2], axis=1))
        return tf.stack(layers, axis=1)

    def _logits(self, h: tf.Tensor) -> tf.Tensor:
        kernel, bias = self.output
        return h @ kernel + bias


def _layer_variables(cell: str, layer: LayerWeights, number: int) -> list[list[tf.Variable]]:
    """As trained, gate by gate; above the bottom, where the cell lets them be one, both kernels of a gate joined."""
    *kernels, bias = (layer.kernel, layer.recurrent_kernel, layer.bias)
    if number and cell != "gru":
        kernels = [np.concatenate(kernels)]  # of [input, h]
    variables = [_by_gate(cell, array, f"layer_{number}") for array in (*kernels, bias)]
    if layer.candidate_bias is not None:
        variables.append([tf.Variable(layer.candidate_bias, name=f"layer_{number}")])
    return variables


def _by_gate(cell: str, columns: Any, name: str) -> list[tf.Variable]:
    """A variable for each gate's columns of an array [..., gates x H]."""
    return [tf.Variable(gate, name=name) for gate in np.split(columns, CELLS[cell].gates, axis=-1)]


def trained_weights(loaded: Any, cell: str) -> NetworkWeights:
    """The trained numbers of an artifact that `tf.saved_model.load` gave back."""
    layers = []
    for number, variables in enumerate(loaded.gates):
        arrays = [np.concatenate([gate.numpy() for gate in gates], axis=-1) for gates in variables]
        if number and cell != "gru":
            arrays[:1] = np.split(arrays[0], 2)
        layers.append(LayerWeights(*arrays))
    embedding = loaded.embedding[0].numpy() if len(loaded.embedding) else None
    return NetworkWeights(cell, embedding, tuple(layers), *(variable.numpy() for variable in loaded.output))


def write_saved_model(weights: NetworkWeights, folder: Path) -> None:
    """Write the SavedModel of these weights into `folder`."""
    artifact = Artifact(weights)
    tf.saved_model.save(
        artifact,
        str(folder),
        signatures={
            "serving_default": artifact.advance,
            "advance": artifact.advance,
            "inspect": artifact.inspect,
        },
    )


def _rows(name: str, dtype: tf.DType = tf.int32) -> tf.TensorSpec:
    return tf.TensorSpec((None,), dtype, name)


def _steps(name: str, dtype: tf.DType = tf.int32) -> tf.TensorSpec:
    return tf.TensorSpec((None, None), dtype, name)


def _outputs(dtype: tf.DType, steps: tf.Tensor) -> tf.TensorArray:
    """One item a step."""
    return tf.TensorArray(dtype, size=steps)


def _logprobs(logits: tf.Tensor, symbols: tf.Tensor) -> tf.Tensor:
    """Natural log of each symbol's probability: [K, N] from logits [K, N, V'] and symbols [K, N]."""
    below_best = logits - tf.reduce_max(logits, axis=2, keepdims=True)
    total = tf.reduce_sum(tf.exp(below_best), axis=2, keepdims=True)
    log_total = tf.math.log(tf.repeat(total, VECTOR, axis=2))[:, :, 0]  # over whole vectors, it too
    return tf.gather(below_best, symbols, batch_dims=2) - log_total


def _time_major(symbols: tf.Tensor) -> tf.Tensor:
    """[N, K] as [K, N] or back. As floats, bit by bit: TensorFlow complains of every transposition of whole numbers."""
    return tf.bitcast(tf.transpose(tf.bitcast(symbols, tf.float32)), tf.int32)


def _before(lengths: tf.Tensor, steps: tf.Tensor) -> tf.Tensor:
    """Bool [K, N]: whether a step comes before a row's length [N]."""
    return tf.range(steps)[:, None] < lengths

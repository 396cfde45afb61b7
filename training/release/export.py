"""Trained weights -> the artifact's SavedModel: `advance` and `inspect` as pure functions of plain TensorFlow ops.

Built from the weights, not from the Keras graph: no Keras, no cuDNN and no state inside. models/README.md is the
contract of every input and output.
"""

from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from training.data.vocabulary import RESERVED
from training.learning.network import NetworkWeights
from training.release.cells import folded_input, joint_kernel, lstm_step
from training.release.sampling import sample

GUESSES = 5

Layers = tuple[tf.Tensor, ...]


class Artifact(tf.Module):  # type: ignore[misc]  # TensorFlow is untyped
    """The two exported functions over one set of weights."""

    def __init__(self, weights: NetworkWeights) -> None:
        super().__init__()
        bottom, *upper = weights.lstm
        self._symbols, _ = weights.embedding.shape
        self._units = bottom.recurrent_kernel.shape[0]
        self._layers = len(weights.lstm)
        self._input = tf.Variable(folded_input(weights.embedding, bottom), name="input")
        self._recurrent = tf.Variable(bottom.recurrent_kernel, name="recurrent")
        self._kernels = [tf.Variable(joint_kernel(layer), name="kernel") for layer in upper]
        self._biases = [tf.Variable(layer.bias, name="bias") for layer in upper]
        self._output_kernel = tf.Variable(weights.output_kernel, name="output_kernel")
        self._output_bias = tf.Variable(weights.output_bias, name="output_bias")
        self._never_sampled = np.zeros(self._symbols, np.float32)
        self._never_sampled[RESERVED] = -np.inf
        state = tf.TensorSpec((2 * self._layers, None, self._units), tf.float32, "state")
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
        steps = tf.shape(given)[1]
        bias += self._never_sampled

        def step(t: tf.Tensor, previous: tf.Tensor, layers: Layers, symbols: Any, logprobs: Any) -> Any:
            h, new_layers = self._step(previous, layers)
            logits = self._logits(h)
            follows, active = t < given_length, t < length
            symbol = tf.cond(
                tf.reduce_all(follows | ~active),
                lambda: given[:, t],
                lambda: tf.where(
                    follows, given[:, t], sample(logits + bias, uniforms[:, t], temperature, top_k, top_p)
                ),
            )
            symbol = tf.where(active, symbol, RESERVED)
            logprob = tf.where(active, -_losses(logits, symbol), 0.0)
            kept = tuple(tf.where(active[:, None], new, old) for new, old in zip(new_layers, layers, strict=True))
            return (
                t + 1,
                tf.where(active, symbol, previous),
                kept,
                symbols.write(t, symbol),
                logprobs.write(t, logprob),
            )

        _, previous, layers, symbols, logprobs = tf.while_loop(
            lambda t, *_: t < steps,
            step,
            (0, previous, tuple(tf.unstack(state)), _outputs(tf.int32, steps), _outputs(tf.float32, steps)),
        )
        return {
            # As floats, bit by bit: TensorFlow complains on stderr of every transposition of whole numbers.
            "symbols": tf.bitcast(tf.transpose(tf.bitcast(symbols.stack(), tf.float32)), tf.int32),
            "logprobs": tf.transpose(logprobs.stack()),
            "previous": previous,
            "state": tf.stack(layers),
        }

    def _inspect(self, symbols: tf.Tensor, state: tf.Tensor) -> dict[str, tf.Tensor]:
        rows, steps = tf.shape(symbols)[0], tf.shape(symbols)[1]
        # A row whose state is zero has seen nothing: it first reads the symbol that stands for that.
        cold = tf.reduce_all(state == 0, axis=[0, 2])[:, None]
        _, begun = self._step(tf.fill([rows], RESERVED), tuple(tf.unstack(tf.zeros_like(state))))
        layers = tuple(tf.where(cold, new, old) for new, old in zip(begun, tf.unstack(state), strict=True))

        def step(t: tf.Tensor, layers: Layers, tops: Any, cells: Any) -> Any:
            tops = tops.write(t, layers[-2])  # the top h before symbol t: what the guess is made from
            _, layers = self._step(symbols[:, t], layers)
            return t + 1, layers, tops, cells.write(t, tf.tanh(tf.stack(layers[1::2], axis=1)))

        _, layers, tops, cells = tf.while_loop(
            lambda t, *_: t < steps,
            step,
            (0, layers, _outputs(tf.float32, steps), _outputs(tf.float32, steps)),
        )
        before = tf.transpose(tf.reshape(tops.stack(), [steps, rows, self._units]), [1, 0, 2])
        logprobs = tf.nn.log_softmax(before @ self._output_kernel + self._output_bias)  # [N, T, V]
        top_logprobs, top_symbols = tf.math.top_k(logprobs, k=min(GUESSES, self._symbols))
        return {
            "logprobs": tf.gather(logprobs, symbols, batch_dims=2),
            "top_symbols": top_symbols,
            "top_logprobs": top_logprobs,
            "activations": tf.transpose(cells.stack(), [1, 0, 2, 3]),  # [N, T, L, H]
            "state": tf.stack(layers),
        }

    def _step(self, previous: tf.Tensor, layers: Layers) -> tuple[tf.Tensor, Layers]:
        """Read one symbol a row: the top layer's h [N, H], and h, c of each layer."""
        h, c = lstm_step(tf.gather(self._input, previous) + layers[0] @ self._recurrent, layers[1])
        new_layers = [h, c]
        for i, (kernel, bias) in enumerate(zip(self._kernels, self._biases, strict=True), start=1):
            gates = tf.concat([h, layers[2 * i]], axis=1) @ kernel + bias
            h, c = lstm_step(gates, layers[2 * i + 1])
            new_layers += [h, c]
        return h, tuple(new_layers)

    def _logits(self, h: tf.Tensor) -> tf.Tensor:
        return h @ self._output_kernel + self._output_bias


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


def _losses(logits: tf.Tensor, symbols: tf.Tensor) -> tf.Tensor:
    """Nats that each row's symbol cost: [N]."""
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=symbols, logits=logits)

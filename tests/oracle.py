"""Plain NumPy recurrent networks, forward and backward, written from the equations: what everything is held against.

Shapes: N streams, T steps, H units, V symbols. Nothing here knows TensorFlow.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def log_softmax(logits: Any) -> Any:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def loss_and_gradient(logits: Any, targets: Any) -> tuple[float, Any]:
    """Mean cross-entropy in nats over all of targets [...], and its gradient by logits [..., V]."""
    logprobs = log_softmax(logits)
    chosen = np.take_along_axis(logprobs, targets[..., None], axis=-1)
    one_hot = np.eye(logits.shape[-1])[targets]
    return -chosen.mean(), (np.exp(logprobs) - one_hot) / targets.size


@dataclass
class Lstm:
    """Hochreiter and Schmidhuber 1997 with forget gates (Gers et al. 2000); gates: input, forget, output, candidate."""

    kernel: Any  # [inputs, 4H]
    recurrent: Any  # [H, 4H]
    bias: Any  # [4H]

    def forward(self, x: Any, h: Any, c: Any) -> tuple[Any, Any, Any, list[Any]]:
        """x [N, T, inputs] -> h of every step [N, T, H], last h, last c, and what `backward` needs."""
        hs, tape = [], []
        for t in range(x.shape[1]):
            i, f, o, g = np.split(x[:, t] @ self.kernel + h @ self.recurrent + self.bias, 4, axis=1)
            i, f, o, g = sigmoid(i), sigmoid(f), sigmoid(o), np.tanh(g)
            before = (h, c)
            c = f * c + i * g
            h = o * np.tanh(c)
            hs.append(h)
            tape.append((x[:, t], before, (i, f, o, g), c))
        return np.stack(hs, axis=1), h, c, tape

    def backward(self, d_hs: Any, tape: list[Any]) -> tuple[Any, Any, Any, Any]:
        """Gradients by x, kernel, recurrent and bias, from those by the h of every step."""
        d_x = []
        d_kernel, d_recurrent, d_bias = (np.zeros_like(w) for w in (self.kernel, self.recurrent, self.bias))
        d_h = np.zeros_like(d_hs[:, 0])
        d_c = np.zeros_like(d_h)
        for t in reversed(range(len(tape))):
            x, (h_before, c_before), (i, f, o, g), c = tape[t]
            d_h = d_h + d_hs[:, t]
            tanh_c = np.tanh(c)
            d_c = d_c + d_h * o * (1 - tanh_c**2)
            d_i, d_f, d_o, d_g = d_c * g, d_c * c_before, d_h * tanh_c, d_c * i
            d_sum = np.concatenate([d_i * i * (1 - i), d_f * f * (1 - f), d_o * o * (1 - o), d_g * (1 - g**2)], axis=1)
            d_kernel += x.T @ d_sum
            d_recurrent += h_before.T @ d_sum
            d_bias += d_sum.sum(axis=0)
            d_x.append(d_sum @ self.kernel.T)
            d_h, d_c = d_sum @ self.recurrent.T, d_c * f
        return np.stack(d_x[::-1], axis=1), d_kernel, d_recurrent, d_bias


@dataclass
class Network:
    """Embedding, LSTM layers, a linear layer to logits: the network of `training.learning.network`, without dropout."""

    embedding: Any  # [V, E]
    layers: list[Lstm]
    output_kernel: Any  # [H, V]
    output_bias: Any  # [V]

    def forward(self, previous: Any, state: Any) -> tuple[Any, Any, list[Any]]:
        """previous [N, T], state [S, N, H] -> logits [N, T, V], state, and what `gradients` needs."""
        x, new_state, tapes = self.embedding[previous], [], []
        for number, layer in enumerate(self.layers):
            x, h, c, tape = layer.forward(x, state[2 * number], state[2 * number + 1])
            new_state += [h, c]
            tapes.append(tape)
        return x @ self.output_kernel + self.output_bias, np.stack(new_state), [previous, x, tapes]

    def gradients(self, targets: Any, logits: Any, tape: list[Any]) -> tuple[float, list[Any]]:
        """The mean loss, and its gradients: embedding, each layer's three, output kernel, output bias."""
        previous, top, tapes = tape
        loss, d_logits = loss_and_gradient(logits, targets)
        d_output_kernel = np.einsum("nth,ntv->hv", top, d_logits)
        d_x, by_layer = d_logits @ self.output_kernel.T, []
        for layer, layer_tape in zip(reversed(self.layers), reversed(tapes), strict=True):
            d_x, *d_layer = layer.backward(d_x, layer_tape)
            by_layer.insert(0, d_layer)
        d_embedding = np.zeros_like(self.embedding)
        np.add.at(d_embedding, previous, d_x)
        flat = [gradient for d_layer in by_layer for gradient in d_layer]
        return loss, [d_embedding, *flat, d_output_kernel, d_logits.sum(axis=(0, 1))]


@dataclass
class VanillaRnn:
    """One tanh layer over one-hot characters, as the post's 112-line example has it, with its own training loop."""

    input: Any  # [V, H]
    recurrent: Any  # [H, H]
    bias: Any  # [H]
    output: Any  # [H, V]
    output_bias: Any  # [V]

    @classmethod
    def random(cls, symbols: int, units: int, generator: np.random.Generator) -> "VanillaRnn":
        def small(*shape: int) -> Any:
            return generator.standard_normal(shape) * 0.1

        return cls(
            small(symbols, units), small(units, units), np.zeros(units), small(units, symbols), np.zeros(symbols)
        )

    @property
    def weights(self) -> list[Any]:
        return [self.input, self.recurrent, self.bias, self.output, self.output_bias]

    def forward(self, ids: Any, h: Any) -> tuple[Any, Any]:
        """ids [T], h [H] -> logits [T, V], h of every step [T, H]."""
        hs = []
        for id_ in ids:
            h = np.tanh(self.input[id_] + h @ self.recurrent + self.bias)
            hs.append(h)
        return np.stack(hs) @ self.output + self.output_bias, np.stack(hs)

    def gradients(self, ids: Any, targets: Any, h: Any) -> tuple[float, list[Any], Any]:
        """The mean loss, its gradients in the order of `weights`, and the last h."""
        logits, hs = self.forward(ids, h)
        loss, d_logits = loss_and_gradient(logits, targets)
        befores = np.concatenate([h[None], hs[:-1]])
        d_input, d_recurrent, d_bias = (np.zeros_like(w) for w in (self.input, self.recurrent, self.bias))
        d_h = np.zeros_like(h)
        for t in reversed(range(len(ids))):
            d_sum = (d_h + d_logits[t] @ self.output.T) * (1 - hs[t] ** 2)
            d_input[ids[t]] += d_sum
            d_recurrent += np.outer(befores[t], d_sum)
            d_bias += d_sum
            d_h = d_sum @ self.recurrent.T
        return loss, [d_input, d_recurrent, d_bias, hs.T @ d_logits, d_logits.sum(axis=0)], hs[-1]


def numerical_gradient(loss: Any, weights: Any, step: float = 1e-3) -> Any:
    """Five-point differences of loss() by every number of `weights`, which `loss` reads and which end as they were."""
    gradient = np.zeros_like(weights)
    for index in np.ndindex(weights.shape):
        saved = weights[index]
        values = []
        for steps in (-2, -1, 1, 2):
            weights[index] = saved + steps * step
            values.append(loss())
        weights[index] = saved
        gradient[index] = (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / (12 * step)
    return gradient


def sample_rule(logits: Any, uniform: float, temperature: float, top_k: int, top_p: float) -> int:
    """The artifact's sampling rule for one row, from its words in models/README.md; id 0 is never sampled."""
    logits = np.array(logits, np.float64)
    logits[0] = -np.inf
    if temperature == 0:
        return int(np.argmax(logits))
    probabilities = np.exp(log_softmax(logits / temperature))
    likeliest_first = sorted(range(len(logits)), key=lambda id_: (-probabilities[id_], id_))
    if top_k:
        likeliest_first = likeliest_first[:top_k]
    kept, reached = [], 0.0
    for id_ in likeliest_first:
        kept.append(id_)
        reached += probabilities[id_]
        if top_p < 1 and reached >= top_p:
            break
    total = sum(probabilities[id_] for id_ in sorted(kept))
    cumulative = 0.0
    for id_ in sorted(kept):
        cumulative += probabilities[id_]
        if cumulative > uniform * total:
            return id_
    raise AssertionError("uniform must be below 1")

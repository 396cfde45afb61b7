"""The reference network for tests: plain NumPy, forward and backward, written from the equations.

Shapes: N streams, T steps, S state tensors, H units, V symbols. Imports no TensorFlow.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.oracle_cells import LAYERS, Layer, Lstm


def log_softmax(logits: Any) -> Any:
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def loss_and_gradient(logits: Any, targets: Any) -> tuple[float, Any]:
    """Mean cross-entropy in nats over targets, ids [...] or probabilities [..., V], and its gradient by logits."""
    logprobs = log_softmax(logits)
    wanted = targets if targets.ndim == logits.ndim else np.eye(logits.shape[-1])[targets]
    size = wanted[..., 0].size
    return -(wanted * logprobs).sum() / size, (np.exp(logprobs) - wanted) / size


@dataclass
class Network:
    """The network of `training.network.network`, without dropout: symbols, recurrent layers, linear layer to logits."""

    embedding: Any  # [V, E]; None: symbols are one-hot
    layers: list[Layer]  # bottom first, all of one cell
    output_kernel: Any  # [H, V]
    output_bias: Any  # [V]

    @classmethod
    def of(cls, weights: Any) -> "Network":
        """From a `NetworkWeights`, copied to float64."""
        make, embedding = LAYERS[weights.cell], weights.embedding
        return cls(
            None if embedding is None else np.array(embedding, np.float64),
            [make(*(np.array(array, np.float64) for array in layer.arrays)) for layer in weights.layers],
            np.array(weights.output_kernel, np.float64),
            np.array(weights.output_bias, np.float64),
        )

    @property
    def weights(self) -> list[Any]:
        """The arrays themselves, bottom to top."""
        layers = [array for layer in self.layers for array in layer.weights]
        return [*([] if self.embedding is None else [self.embedding]), *layers, self.output_kernel, self.output_bias]

    def forward(self, previous: Any, state: Any) -> tuple[Any, Any, list[Any]]:
        """previous [N, T], state [S, N, H] -> logits [N, T, V], state, and the tape that `gradients` needs."""
        states = 2 if isinstance(self.layers[0], Lstm) else 1
        inputs = np.eye(len(self.output_bias)) if self.embedding is None else self.embedding
        x, new_state, tapes = inputs[previous], [], []
        for number, layer in enumerate(self.layers):
            x, after, tape = layer.forward(x, tuple(state[number * states : (number + 1) * states]))
            new_state += after
            tapes.append(tape)
        return x @ self.output_kernel + self.output_bias, np.stack(new_state), [previous, x, tapes]

    def gradients(self, targets: Any, logits: Any, tape: list[Any]) -> tuple[float, list[Any]]:
        """The mean loss, and its gradients in the order of `weights`."""
        previous, top, tapes = tape
        loss, d_logits = loss_and_gradient(logits, targets)
        found = [np.einsum("nth,ntv->hv", top, d_logits), d_logits.sum(axis=(0, 1))]
        d_x = d_logits @ self.output_kernel.T
        for layer, layer_tape in zip(reversed(self.layers), reversed(tapes), strict=True):
            d_x, by_weights = layer.backward(d_x, layer_tape)
            found = by_weights + found
        if self.embedding is None:
            return loss, found
        d_embedding = np.zeros_like(self.embedding)
        np.add.at(d_embedding, previous, d_x)
        return loss, [d_embedding, *found]

    def loss(self, previous: Any, targets: Any, state: Any) -> float:
        """The mean loss in nats."""
        return float(loss_and_gradient(self.forward(previous, state)[0], targets)[0])

    def loss_and_gradients(self, previous: Any, targets: Any, state: Any) -> tuple[float, list[Any], Any]:
        """The mean loss, its gradients in the order of `weights`, and the state after."""
        logits, after, tape = self.forward(previous, state)
        loss, gradients = self.gradients(targets, logits, tape)
        return loss, gradients, after


def numerical_gradient(loss: Any, weights: Any, step: float = 1e-3) -> Any:
    """Five-point differences of loss() by every number of `weights`, which are restored at the end."""
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
    """The artifact's sampling rule for one row, as models/README.md describes it; id 0 is never sampled."""
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

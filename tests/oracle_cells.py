"""The reference cells for tests: plain NumPy, one step forward and one step back, written from the equations.

Shapes: N streams, T steps, H units. The gates are blocks of H columns. Imports no TensorFlow.
"""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


class Layer:
    """The loop over time that all cells share. A state is a tuple of arrays [N, H], h first."""

    def forward(self, x: Any, state: Any) -> tuple[Any, Any, list[Any]]:
        """x [N, T, inputs] -> h of every step [N, T, H], the last state, and the tape that `backward` needs."""
        hs, tape = [], []
        for t in range(x.shape[1]):
            before = state
            state, kept = self.step(x[:, t], *before)
            hs.append(state[0])
            tape.append((x[:, t], before, kept))
        return np.stack(hs, axis=1), state, tape

    def backward(self, d_hs: Any, tape: list[Any]) -> tuple[Any, list[Any]]:
        """Gradients by x and by each of `weights`, from those by the h of every step."""
        d_x, totals = [], [np.zeros_like(array) for array in self.weights]
        d_state = tuple(np.zeros_like(array) for array in tape[0][1])
        for t in reversed(range(len(tape))):
            d_x_t, d_state, gradients = self.step_back(*tape[t], (d_state[0] + d_hs[:, t], *d_state[1:]))
            d_x.append(d_x_t)
            for total, gradient in zip(totals, gradients, strict=True):
                total += gradient
        return np.stack(d_x[::-1], axis=1), totals

    @property
    def weights(self) -> list[Any]:
        """The arrays themselves, in the order of the fields."""
        return [getattr(self, field.name) for field in fields(self)]


@dataclass
class Lstm(Layer):
    """Hochreiter and Schmidhuber 1997 with forget gates (Gers et al. 2000); gates: input, forget, output, candidate."""

    kernel: Any  # [inputs, 4H]
    recurrent: Any  # [H, 4H]
    bias: Any  # [4H]

    def step(self, x: Any, h: Any, c: Any) -> tuple[Any, Any]:
        i, f, o, g = np.split(x @ self.kernel + h @ self.recurrent + self.bias, 4, axis=1)
        i, f, o, g = sigmoid(i), sigmoid(f), sigmoid(o), np.tanh(g)
        c = f * c + i * g
        return (o * np.tanh(c), c), (i, f, o, g, c)

    def step_back(self, x: Any, before: Any, kept: Any, d_state: Any) -> tuple[Any, Any, list[Any]]:
        (h_before, c_before), (i, f, o, g, c), (d_h, d_c) = before, kept, d_state
        d_c = d_c + d_h * o * (1 - np.tanh(c) ** 2)
        d_i, d_f, d_o, d_g = d_c * g, d_c * c_before, d_h * np.tanh(c), d_c * i
        d_sum = np.concatenate([d_i * i * (1 - i), d_f * f * (1 - f), d_o * o * (1 - o), d_g * (1 - g**2)], axis=1)
        gradients = [x.T @ d_sum, h_before.T @ d_sum, d_sum.sum(axis=0)]
        return d_sum @ self.kernel.T, (d_sum @ self.recurrent.T, d_c * f), gradients


@dataclass
class Gru(Layer):
    """Cho et al. 2014, the reset gate after the product; gates: update, reset, candidate."""

    kernel: Any  # [inputs, 3H]
    recurrent: Any  # [H, 3H]
    bias: Any  # [3H]
    candidate_bias: Any  # [H], inside the reset

    def step(self, x: Any, h: Any) -> tuple[Any, Any]:
        x_u, x_r, x_g = np.split(x @ self.kernel + self.bias, 3, axis=1)
        h_u, h_r, h_g = np.split(h @ self.recurrent, 3, axis=1)
        u, r, recalled = sigmoid(x_u + h_u), sigmoid(x_r + h_r), h_g + self.candidate_bias
        g = np.tanh(x_g + r * recalled)
        return (u * h + (1 - u) * g,), (u, r, recalled, g)

    def step_back(self, x: Any, before: Any, kept: Any, d_state: Any) -> tuple[Any, Any, list[Any]]:
        (h,), (u, r, recalled, g), (d_h,) = before, kept, d_state
        d_g = d_h * (1 - u) * (1 - g**2)
        d_u, d_r, d_recalled = d_h * (h - g) * u * (1 - u), d_g * recalled * r * (1 - r), d_g * r
        d_from_x = np.concatenate([d_u, d_r, d_g], axis=1)
        d_from_h = np.concatenate([d_u, d_r, d_recalled], axis=1)
        gradients = [x.T @ d_from_x, h.T @ d_from_h, d_from_x.sum(axis=0), d_recalled.sum(axis=0)]
        return d_from_x @ self.kernel.T, (d_h * u + d_from_h @ self.recurrent.T,), gradients


@dataclass
class Rnn(Layer):
    """The vanilla RNN (Elman 1990)."""

    kernel: Any  # [inputs, H]
    recurrent: Any  # [H, H]
    bias: Any  # [H]

    def step(self, x: Any, h: Any) -> tuple[Any, Any]:
        h = np.tanh(x @ self.kernel + h @ self.recurrent + self.bias)
        return (h,), (h,)

    def step_back(self, x: Any, before: Any, kept: Any, d_state: Any) -> tuple[Any, Any, list[Any]]:
        (h_before,), (h,), (d_h,) = before, kept, d_state
        d_sum = d_h * (1 - h**2)
        return d_sum @ self.kernel.T, (d_sum @ self.recurrent.T,), [x.T @ d_sum, h_before.T @ d_sum, d_sum.sum(axis=0)]


LAYERS = {"lstm": Lstm, "gru": Gru, "rnn": Rnn}

"""One step of each exported cell, against its NumPy equations."""

from typing import Any

import numpy as np
import pytest

from tests.oracle_cells import Gru, Lstm, Rnn
from training.release.cells import STEPS, gru_step, lstm_step, rnn_step

ROWS, UNITS = 3, 4


def random_step(gates: int, states: int) -> tuple[Any, list[Any], Any]:
    """The inputs of all gates [N, gates x H], a state, and a recurrent kernel [H, gates x H]."""
    generator = np.random.default_rng(6)
    inputs, kernel = (generator.normal(size=(rows, gates * UNITS)) for rows in (ROWS, UNITS))
    return inputs, [generator.normal(size=(ROWS, UNITS)) for _ in range(states)], kernel


def by_gate(array: Any, gates: int) -> list[Any]:
    return np.split(array, gates, axis=1)


def assert_states(found: Any, expected: Any) -> None:
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-13)


def test_lstm() -> None:
    inputs, state, kernel = random_step(4, 2)
    expected, _ = Lstm(np.eye(4 * UNITS), kernel, np.zeros(4 * UNITS)).step(inputs, *state)
    assert_states(lstm_step(by_gate(inputs, 4), tuple(state), by_gate(kernel, 4)), expected)


def test_gru() -> None:
    inputs, state, kernel = random_step(3, 1)
    bias = np.linspace(-1, 1, UNITS)
    expected, _ = Gru(np.eye(3 * UNITS), kernel, np.zeros(3 * UNITS), bias).step(inputs, *state)
    assert_states(gru_step(by_gate(inputs, 3), tuple(state), by_gate(kernel, 3), bias), expected)


def test_rnn() -> None:
    inputs, state, kernel = random_step(1, 1)
    expected, _ = Rnn(np.eye(UNITS), kernel, np.zeros(UNITS)).step(inputs, *state)
    assert_states(rnn_step([inputs], tuple(state), [kernel]), expected)


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_every_cell_has_a_step(cell: str) -> None:
    assert STEPS[cell].__name__ == f"{cell}_step"

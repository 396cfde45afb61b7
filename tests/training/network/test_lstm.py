"""The LSTM over a window, against its NumPy equations."""

import numpy as np

from tests.oracle_cells import Lstm
from tests.training.network.recurrences import assert_agrees, random_arrays
from training.network.lstm import lstm


def test_lstm_and_its_gradient_agree_with_numpy() -> None:
    inputs, state, kernel = random_arrays(gates=4, states=2)
    oracle = Lstm(np.eye(len(kernel) * 4), kernel, np.zeros(len(kernel) * 4))
    assert_agrees(lstm, oracle, inputs, state, [kernel])

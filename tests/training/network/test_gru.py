"""The GRU over a window, against its NumPy equations."""

import numpy as np

from tests.oracle_cells import Gru
from tests.training.network.recurrences import assert_agrees, random_arrays
from training.network.gru import gru


def test_gru_and_its_gradient_agree_with_numpy() -> None:
    inputs, state, kernel = random_arrays(gates=3, states=1)
    candidate_bias = np.linspace(-1, 1, len(kernel))
    oracle = Gru(np.eye(len(kernel) * 3), kernel, np.zeros(len(kernel) * 3), candidate_bias)
    assert_agrees(gru, oracle, inputs, state, [kernel, candidate_bias])

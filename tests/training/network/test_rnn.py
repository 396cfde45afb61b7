"""The vanilla RNN over a window, against its NumPy equations."""

import numpy as np

from tests.oracle_cells import Rnn
from tests.training.network.recurrences import assert_agrees, random_arrays
from training.network.rnn import rnn


def test_rnn_and_its_gradient_agree_with_numpy() -> None:
    inputs, state, kernel = random_arrays(gates=1, states=1)
    assert_agrees(rnn, Rnn(np.eye(len(kernel)), kernel, np.zeros(len(kernel))), inputs, state, [kernel])

"""Dropout whose zeros follow from a seed."""

import numpy as np
import pytest
import tensorflow as tf

from training.network.dropout import dropout


@pytest.mark.parametrize("compiled", [True, False], ids=["threefry", "philox"])
def test_dropout_keeps_the_share_and_the_sum(compiled: bool) -> None:
    @tf.function(jit_compile=compiled)
    def dropped(seed):
        return dropout(tf.ones((400, 500)), 0.3, seed, compiled=compiled)

    first, again, other = (dropped(tf.constant(seed, tf.int64)).numpy() for seed in ([1, 2], [1, 2], [1, 3]))
    assert set(np.unique(first)) == {0, np.float32(1) / np.float32(0.7)}
    # 200 000 draws: four standard deviations are 0.0041.
    assert abs((first == 0).mean() - 0.3) < 0.0041
    assert abs(first.mean() - 1) < 0.006
    np.testing.assert_array_equal(first, again)
    # Another seed is independent of it: both are zero in 0.09 of the numbers, not in 0.3.
    assert abs(((first == 0) & (other == 0)).mean() - 0.09) < 0.003

"""Training on several workers: the weights are those of one process with as many replicas."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.training.learning.workers import trained

CHANGES: dict[str, Any] = {"batch_size": 8, "dropout": 0.2, "weight_dropout": 0.2, "grad_clip": 0.5, "ema": 0.9}


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_two_workers_end_with_the_bits_of_one_process_with_two_replicas(tmp_path: Path, cell: str) -> None:
    changes = CHANGES | {"cell": cell}
    one = trained(tmp_path / "one", changes, processes=1, replicas=2)
    two = trained(tmp_path / "two", changes, processes=2, replicas=2)
    assert one.keys() == two.keys()
    for name, array in one.items():
        np.testing.assert_array_equal(two[name], array, err_msg=name)


def test_four_workers_end_close_to_one_process_with_four_replicas(tmp_path: Path) -> None:
    one = trained(tmp_path / "one", CHANGES, processes=1, replicas=4)
    four = trained(tmp_path / "four", CHANGES, processes=4, replicas=4)
    for name, array in one.items():
        np.testing.assert_allclose(four[name], array, rtol=0, atol=1e-6, err_msg=name)

"""Training on several workers: the weights are those of one process with as many replicas."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.training.data.encoded import encode_all
from tests.training.learning.runs import SETTING
from tests.training.learning.workers import trained
from training.config import TrainConfig
from training.data.join import join
from training.learning.folder import CORPUS

DROPS: dict[str, Any] = {"dropout": 0.2, "output_dropout": 0.2, "weight_dropout": 0.2}
# Large enough that the bits of a norm depend on the number of threads.
CHANGES: dict[str, Any] = {"units": 256, "batch_size": 8, "grad_clip": 0.5, "ema": 0.9} | DROPS


def assert_equal(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array, err_msg=name)


def assert_close(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, rtol=0, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("cell", ["lstm", *(pytest.param(cell, marks=pytest.mark.slow) for cell in ("gru", "rnn"))])
def test_two_workers_end_with_the_bits_of_one_process_with_two_replicas(tmp_path: Path, cell: str) -> None:
    changes = CHANGES | {"cell": cell}
    one = trained(tmp_path / "one", changes, processes=1, replicas=2)
    assert_equal(trained(tmp_path / "two", changes, processes=2, replicas=2), one)


@pytest.mark.slow
def test_two_workers_on_encoded_parts_end_with_the_bits_of_one_process_on_the_text(tmp_path: Path) -> None:
    one = trained(tmp_path / "one", CHANGES, processes=1, replicas=2)
    config = TrainConfig(**(SETTING | CHANGES))
    encode_all(str(tmp_path / "one/text.txt"), config, tmp_path / "parts", 3)
    join(str(tmp_path / "parts"), config, tmp_path / "two" / CORPUS)
    assert_equal(trained(tmp_path / "two", CHANGES, processes=2, replicas=2), one)


@pytest.mark.slow
def test_mixed_precision_has_the_same_bits_too(tmp_path: Path) -> None:
    changes = CHANGES | {"precision": "mixed_bfloat16"}
    one = trained(tmp_path / "one", changes, processes=1, replicas=2)
    assert_equal(trained(tmp_path / "two", changes, processes=2, replicas=2), one)


@pytest.mark.slow
@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn"])
def test_four_workers_end_close_to_one_process_with_four_replicas(tmp_path: Path, cell: str) -> None:
    changes = CHANGES | {"cell": cell}
    one = trained(tmp_path / "one", changes, processes=1, replicas=4)
    assert_close(trained(tmp_path / "four", changes, processes=4, replicas=4), one)


@pytest.mark.slow
def test_a_run_is_resumed_on_one_two_and_four_processes(tmp_path: Path) -> None:
    """Five streams on four replicas: shares of different sizes, and streams that change their process."""
    changes = CHANGES | {"batch_size": 5}
    one = trained(tmp_path / "one", changes, processes=1, replicas=4)
    folder = tmp_path / "moving"
    for steps, processes in ((5, 2), (10, 1), (15, 4), (20, 2)):
        moved = trained(folder, changes, processes=processes, replicas=4, steps=steps)
    assert_close(moved, one)


@pytest.mark.slow
def test_two_replicas_resumed_on_another_number_of_processes_keep_their_bits(tmp_path: Path) -> None:
    one = trained(tmp_path / "one", CHANGES, processes=1, replicas=2)
    for steps, processes in ((7, 2), (13, 1), (20, 2)):
        moved = trained(tmp_path / "moving", CHANGES, processes=processes, replicas=2, steps=steps)
    assert_equal(moved, one)

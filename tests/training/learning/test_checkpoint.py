"""Checkpoints: arrays and values in one file."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from training.errors import InputError
from training.learning.checkpoint import Checkpoint

VALUES = {"step": 3, "history": [{"loss": 0.1}]}


def saved_in(folder: Path) -> Path:
    arrays = {"network": [np.arange(6, dtype=np.float32).reshape(2, 3), np.array(7, np.int64)], "best": []}
    Checkpoint(arrays, VALUES).save(folder / "checkpoint.npz")
    return folder / "checkpoint.npz"


def test_arrays_and_values_come_back(tmp_path: Path) -> None:
    loaded = Checkpoint.load(saved_in(tmp_path))
    assert loaded.values == VALUES
    assert list(loaded.arrays) == ["network"]  # a group without arrays is absent
    first, second = loaded.arrays["network"]
    assert (first.dtype, first.tolist()) == (np.float32, [[0, 1, 2], [3, 4, 5]])
    assert (second.dtype, second.tolist()) == (np.int64, 7)


def test_more_than_ten_arrays_keep_their_order(tmp_path: Path) -> None:
    Checkpoint({"slots": (np.array(i) for i in range(12))}, {}).save(tmp_path / "c.npz")
    assert [int(array) for array in Checkpoint.load(tmp_path / "c.npz").arrays["slots"]] == list(range(12))


def test_values_are_read_alone(tmp_path: Path) -> None:
    assert Checkpoint.values_of(saved_in(tmp_path)) == VALUES


@pytest.mark.parametrize("damage", [lambda good: good[:-100], lambda good: b"", lambda good: b"x" * len(good)])
@pytest.mark.parametrize("read", [Checkpoint.load, Checkpoint.values_of])
def test_a_damaged_file_is_refused_with_its_name(
    tmp_path: Path, damage: Callable[[bytes], bytes], read: Callable[[Path], object]
) -> None:
    path = saved_in(tmp_path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match=r"checkpoint\.npz is damaged.*--restart"):
        read(path)

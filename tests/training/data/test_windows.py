"""Windows of parallel streams over a text."""

import json
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from training.data.windows import Windows
from training.errors import InputError


def windows(characters: int = 103, *, batch_size: int = 4, window: int = 5, cold_start: float = 0.0) -> Windows:
    ids = np.arange(1, characters + 1, dtype=np.int32)  # every id is its position
    return Windows(ids, batch_size=batch_size, window=window, cold_start=cold_start, seed=7)


def test_each_stream_continues_where_its_last_window_ended() -> None:
    reader = windows()
    before = reader.next()
    assert before.reset.all()
    assert (before.previous[:, 0] == 0).all()
    for _ in range(50):
        after = reader.next()
        carried = ~after.reset
        assert (after.targets[carried, 0] == before.targets[carried, -1] + 1).all()
        assert (after.previous[carried, 0] == before.targets[carried, -1]).all()
        assert (after.previous[:, 1:] == after.targets[:, :-1]).all()
        before = after


def test_state_is_reset_only_at_the_start_of_the_text() -> None:
    reader = windows()
    reader.next()
    for _ in range(100):
        window = reader.next()
        assert (window.reset == (window.targets[:, 0] == 1)).all()
        assert (window.previous[window.reset, 0] == 0).all()


def test_an_epoch_reads_every_stream_of_the_text() -> None:
    reader = windows(100)
    seen = {int(id_) for _ in range(reader.per_epoch) for id_ in reader.next().targets.ravel()}
    assert reader.per_epoch == 5
    assert seen == set(range(1, 101))


def test_a_remainder_of_one_pass_is_read_by_another_stream() -> None:
    reader = windows(103)
    seen = {int(id_) for _ in range(20 * reader.per_epoch) for id_ in reader.next().targets.ravel()}
    assert seen == set(range(1, 103))  # not the last one, at which no stream's window ends


def test_cold_starts_have_the_given_probability() -> None:
    reader = windows(10_000, batch_size=100, cold_start=0.2)
    reader.next()
    share = np.mean([reader.next().reset.mean() for _ in range(50)])
    assert 0.17 < share < 0.24  # 5000 draws: the standard deviation is 0.006


def test_a_position_in_json_resumes_the_sequence() -> None:
    reader, other = windows(cold_start=0.3), windows(cold_start=0.3)
    for _ in range(13):
        reader.next()
    other.seek(json.loads(json.dumps(reader.position())))
    for _ in range(40):
        expected, found = reader.next(), other.next()
        assert (expected.previous == found.previous).all()
        assert (expected.targets == found.targets).all()
        assert (expected.reset == found.reset).all()


def test_a_text_shorter_than_one_window_for_each_stream_is_refused() -> None:
    with pytest.raises(InputError, match=r"19 characters.*4 streams.*5-character.*20"):
        windows(19)
    windows(20)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_memory_mapped_ids_give_the_same_windows(tmp_path: Path, dtype: type) -> None:
    ids = np.random.Generator(np.random.PCG64(2)).integers(1, 200, 503).astype(dtype)
    ids.tofile(tmp_path / "ids.bin")
    mapped = np.memmap(tmp_path / "ids.bin", dtype, mode="r")
    settings = {"batch_size": 4, "window": 5, "cold_start": 0.1, "seed": 7}
    from_disk, from_memory = Windows(mapped, **settings), Windows(ids.astype(np.int32), **settings)
    for _ in range(60):
        found, expected = from_disk.next(), from_memory.next()
        assert type(found.targets) is np.ndarray  # a copy, because the file may be replaced
        assert found.targets.dtype == found.previous.dtype == np.int32
        assert (found.targets == expected.targets).all()
        assert (found.previous == expected.previous).all()


def test_memory_does_not_grow_with_the_text(tmp_path: Path) -> None:
    with (tmp_path / "ids.bin").open("wb") as file:
        file.truncate(1 << 28)  # sparse: it takes no disk space
    mapped = np.memmap(tmp_path / "ids.bin", np.uint8, mode="r")
    tracemalloc.start()
    reader = Windows(mapped, batch_size=4, window=5, cold_start=0.0, seed=7)
    for _ in range(10):
        reader.next()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20

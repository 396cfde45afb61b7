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


def test_state_is_reset_only_at_the_start_of_an_epoch_and_of_the_text() -> None:
    reader = windows()
    for step in range(100):
        window = reader.next()
        assert (window.reset == ((window.targets[:, 0] == 1) | (step % reader.per_epoch == 0))).all()
        assert (window.previous[window.reset, 0] == 0).all()


def epochs(reader: Windows, count: int) -> list[np.ndarray]:
    """The targets [N, windows x T] that the streams read in each epoch."""
    return [np.hstack([reader.next().targets for _ in range(reader.per_epoch)]) for _ in range(count)]


def test_each_epoch_starts_elsewhere_and_the_first_at_the_beginning() -> None:
    starts = [epoch[:, 0] for epoch in epochs(windows(10_007), 20)]
    assert starts[0].tolist() == [1 + stream * 10_007 // 4 for stream in range(4)]
    assert len({tuple(found) for found in starts}) == 20
    distances = {tuple(np.diff(np.sort(found))) for found in starts}
    assert len(distances) > 10  # other places share a batch


@pytest.mark.parametrize("characters", [100, 103, 119, 10_007])
def test_the_streams_of_an_epoch_read_the_text_once(characters: int) -> None:
    """But for the characters left over, and for the window that the end of the text cuts."""
    for number, epoch in enumerate(epochs(windows(characters), 30)):
        _, counts = np.unique(epoch, return_counts=True)
        assert counts.max() <= 2
        assert (counts == 2).sum() < 5  # a window has 5
        assert len(counts) > characters - 4 * 5 - 5
        if number == 0:
            assert counts.max() == 1


def test_a_stream_is_contiguous_within_an_epoch_but_for_the_end_of_the_text() -> None:
    for epoch in epochs(windows(10_007), 30):
        jumps = np.argwhere(np.diff(epoch, axis=1) != 1)
        assert len(jumps) <= 1
        assert [epoch[stream, at + 1] for stream, at in jumps] == [1] * len(jumps)


def test_offsets_follow_from_the_seed() -> None:
    def starts(seed: int) -> list[list[int]]:
        reader = Windows(np.arange(1, 1001), batch_size=4, window=5, cold_start=0.0, seed=seed)
        return [epoch[:, 0].tolist() for epoch in epochs(reader, 5)]

    assert starts(1) == starts(1)
    assert starts(1)[0] == starts(2)[0]
    assert starts(1)[1:] != starts(2)[1:]


def test_an_epoch_reads_every_stream_of_the_text() -> None:
    reader = windows(100)
    seen = {int(id_) for _ in range(reader.per_epoch) for id_ in reader.next().targets.ravel()}
    assert reader.per_epoch == 5
    assert seen == set(range(1, 101))


def test_the_remainder_of_an_epoch_is_read_in_later_ones() -> None:
    reader = windows(103)
    seen = {int(id_) for _ in range(20 * reader.per_epoch) for id_ in reader.next().targets.ravel()}
    assert seen == set(range(1, 104))


def test_cold_starts_have_the_given_probability() -> None:
    reader = windows(100_000, batch_size=100, cold_start=0.2)
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


def read_on_for_ever(characters: int, steps: int) -> list[tuple[list[int], list[bool]]]:
    """The first targets and the resets of each step, as Charloom read before epochs had offsets."""
    starts, generator = np.arange(4) * characters // 4, np.random.Generator(np.random.PCG64(7))
    found = []
    for step in range(steps):
        starts[starts + 5 > characters] = 0
        reset = (starts == 0) | (generator.random(4) < 0.3) | (step == 0)
        found.append(((starts + 1).tolist(), reset.tolist()))
        starts += 5
    return found


def test_a_run_of_an_older_charloom_reads_on_without_offsets() -> None:
    expected = read_on_for_ever(103, 60)
    generator = np.random.Generator(np.random.PCG64(7))
    generator.random(4 * 13)
    old = {
        "starts": [start - 1 for start in expected[13][0]],
        "begun": True,
        "generator": generator.bit_generator.state,
    }
    reader = windows(cold_start=0.3)
    reader.seek(old)
    for step in range(13, 60):
        if step == 33:  # saved and resumed by this Charloom
            position = json.loads(json.dumps(reader.position()))
            reader = windows(cold_start=0.3)
            reader.seek(position)
        window = reader.next()
        assert (window.targets[:, 0].tolist(), window.reset.tolist()) == expected[step]


def test_a_run_that_an_older_charloom_saved_before_its_first_step_has_offsets() -> None:
    position = windows().position()
    del position["taken"]
    reader, other = windows(), windows()
    reader.seek(position | {"begun": False})
    for _ in range(12):
        assert (reader.next().targets == other.next().targets).all()


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

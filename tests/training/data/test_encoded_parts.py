"""Windows over encoded parts, which are fetched by ranges, are those over the memory map."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.training.data.encoded import CountingFolder, count_read_bytes, encode_all
from tests.training.data.texts import config, write
from training.data import encoded_parts
from training.data.corpus import Corpus
from training.data.join import join
from training.data.prepare import prepare
from training.data.windows import Windows

SETTINGS: dict[str, Any] = {"batch_size": 8, "window": 10, "cold_start": 0.1, "seed": 7}
CHARACTERS = 60_000
BLOCK = 128  # a thirtieth of the text of a stream


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[CountingFolder]:
    """The folders of encoded parts that the test opens."""
    return count_read_bytes(monkeypatch)


@pytest.fixture
def corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, opened: list[CountingFolder]) -> tuple[Corpus, Corpus]:
    """The same text in five parts and memory-mapped."""
    generator = random.Random(1)
    lines = ["".join(generator.choices("abcdeé漢 ", k=generator.randrange(80))) for _ in range(2 * CHARACTERS // 80)]
    text = write(tmp_path / "texts", "\n".join(lines)[:CHARACTERS])
    encode_all(text, config(), tmp_path / "parts", 5)
    monkeypatch.setattr(encoded_parts, "BLOCK_SYMBOLS", BLOCK)
    return join(str(tmp_path / "parts"), config(), tmp_path / "joined"), prepare([text], config(), tmp_path / "mapped")


def assert_same_windows(found: Windows, expected: Windows, count: int) -> None:
    for _ in range(count):
        one, other = found.next(), expected.next()
        for name in ("previous", "targets", "reset"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))


def test_windows_are_those_of_the_memory_map_across_epochs_and_after_seek(corpus: tuple[Corpus, Corpus]) -> None:
    parts, mapped = corpus
    found, expected = Windows(parts.training, **SETTINGS), Windows(mapped.training, **SETTINGS)
    assert found.per_epoch == expected.per_epoch > 500
    assert_same_windows(found, expected, 2 * found.per_epoch + 40)
    resumed = Windows(parts.training, **SETTINGS)
    resumed.seek(expected.position())
    assert_same_windows(resumed, expected, 50)


def test_a_worker_fetches_its_share_of_the_text(
    corpus: tuple[Corpus, Corpus], opened: list[CountingFolder], tmp_path: Path
) -> None:
    _, mapped = corpus
    expected = Windows(mapped.training, **SETTINGS)
    workers = [Windows(Corpus.open(tmp_path / "joined").training, **SETTINGS) for _ in range(2)]
    folders = opened[1:]
    for worker, streams in zip(workers, (slice(0, 5), slice(5, 8)), strict=True):
        worker.streams = streams
    for epoch in range(3):
        before = [folder.read_bytes for folder in folders]
        for _ in range(expected.per_epoch):
            window = expected.next()
            for worker in workers:
                own, streams = worker.next(), worker.streams
                np.testing.assert_array_equal(own.previous[streams], window.previous[streams])
                np.testing.assert_array_equal(own.targets[streams], window.targets[streams])
                np.testing.assert_array_equal(own.reset, window.reset)
        read = [folder.read_bytes - bytes_ for folder, bytes_ in zip(folders, before, strict=True)]
        for bytes_, rows in zip(read, (5, 3), strict=True):
            assert bytes_ <= 1.05 * len(mapped.training) * rows / 8, epoch


def test_slices_fetch_nothing_until_they_are_used(corpus: tuple[Corpus, Corpus], opened: list[CountingFolder]) -> None:
    (parts, mapped), (storage,) = corpus, opened
    tail = parts.training[1000:][-500:]
    assert (len(tail), len(parts.validation), tail.dtype) == (500, len(mapped.validation), mapped.ids.dtype)
    assert storage.read_bytes == 0
    np.testing.assert_array_equal(np.asarray(tail), mapped.training[-500:])
    assert storage.read_bytes == 500
    np.testing.assert_array_equal(np.asarray(tail, np.int32) + tail, 2 * mapped.training[-500:].astype(np.int32))
    assert len(parts.training[10:5]) == 0
    positions = np.arange(len(parts.test)).reshape(-1, 2)[::3]
    np.testing.assert_array_equal(parts.test[positions], mapped.test[positions])
    assert parts.test[7] == mapped.test[7]


def test_blocks_that_are_not_used_any_more_are_not_kept(
    corpus: tuple[Corpus, Corpus], opened: list[CountingFolder]
) -> None:
    ids, (storage,) = corpus[0].ids, opened
    for positions, fetched in (([5], 1), ([BLOCK - 1, BLOCK], 2), ([BLOCK], 2), ([5 * BLOCK, BLOCK], 3), ([5], 4)):
        ids[np.array(positions)]
        assert storage.read_bytes == fetched * BLOCK

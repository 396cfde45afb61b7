"""First pass over a corpus: text -> provisional ids on disk, in order of first appearance, with their counts.

The vocabulary is only known once every symbol is counted; shuffle.py then maps provisional ids to final ones.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.config import TrainConfig
from training.data.normalize import Normalizer
from training.data.reader import Source, SourceReader
from training.data.vocabulary import MAX_SYMBOLS, code_points
from training.errors import InputError

BLOCK_SYMBOLS = 1 << 20
NEWLINE = ord("\n")

_UNSEEN = 0xFFFF  # also the number of ids below it, which fit into 16 bits


@dataclass(frozen=True)
class FirstPass:
    """The text as provisional ids. Id i is the code point or byte `points[i]`, which occurs `counts[i]` times."""

    path: Path  # uint16 [symbols]
    files: tuple[SourceReader, ...]
    ends: tuple[int, ...]  # [files] symbols up to the end of each file
    points: NDArray[np.uint32]
    counts: NDArray[np.int64]
    notes: tuple[str, ...]

    @property
    def symbols(self) -> int:
        """Length of the text."""
        return int(self.counts.sum())

    @property
    def ranges(self) -> list[tuple[int, int]]:
        """[files] Each file's symbols [start, stop)."""
        return list(zip((0, *self.ends), self.ends, strict=False))

    @property
    def occurrences(self) -> dict[int, int]:
        """Code point or byte -> how often it occurs, without those that do not."""
        return {int(point): int(n) for point, n in zip(self.points, self.counts, strict=True) if n}

    @property
    def lines(self) -> tuple[int, int]:
        """How many lines end in a newline, and how many (0 or 1) do not."""
        (last,) = next(self.blocks(self.symbols - 1))
        return self.occurrences.get(NEWLINE, 0), int(self.points[last] != NEWLINE)

    def blocks(self, start: int = 0, stop: int | None = None) -> Iterator[NDArray[np.uint16]]:
        """The provisional ids of a range, in blocks."""
        stop = self.symbols if stop is None else stop
        with self.path.open("rb") as file:
            file.seek(2 * start)
            for begin in range(start, stop, BLOCK_SYMBOLS):
                yield np.fromfile(file, np.uint16, min(BLOCK_SYMBOLS, stop - begin))


def read_sources(sources: Sequence[Source], config: TrainConfig, path: Path) -> FirstPass:
    """Write the provisional ids of all sources, one after another, into `path`.

    Raises:
        InputError: A source cannot be read or decoded, or the text has too many distinct symbols.
    """
    symbols = _Symbols(range(0x100 if config.unit == "byte" else 0))
    normalizer = Normalizer(config.normalization)
    readers = [SourceReader(source) for source in sources]
    ends, written = [], 0
    with path.open("wb") as file:
        for reader in readers:
            for points in _points(reader, normalizer, config, last=reader is readers[-1]):
                file.write(symbols.encode(points).data)
                written += len(points)
            ends.append(written)
    points, counts = np.array(symbols.points, np.uint32), symbols.counts[: len(symbols.points)]
    return FirstPass(path, tuple(readers), tuple(ends), points, counts, normalizer.notes())


def _points(reader: SourceReader, normalizer: Normalizer, config: TrainConfig, *, last: bool) -> Iterator[NDArray[Any]]:
    """A file's bytes or code points, in blocks."""
    if config.unit == "byte":
        for block in reader.blocks():
            yield np.frombuffer(block, np.uint8)
        return
    # Where files are cut or shuffled one by one, no accent may compose with the last letter of the file before.
    separate = last or config.split_by in ("file", "each-file")
    for text in normalizer.pieces(reader, config.encoding, separate=separate):
        try:
            yield code_points(text, "strict")
        except UnicodeEncodeError:
            raise InputError(
                f"--corpus {reader.source.display_path} holds half a surrogate pair, which is not a character: "
                f"correct --encoding {config.encoding}, or read bytes with --unit byte."
            ) from None


class _Symbols:
    """Gives code points or bytes ids in order of appearance, and counts them."""

    def __init__(self, points: Sequence[int]) -> None:
        self.points = list(points)
        self.counts = np.zeros(_UNSEEN, np.int64)
        self._ids = np.full(0x110000, _UNSEEN, np.uint16)
        self._ids[self.points] = range(len(self.points))

    def encode(self, points: NDArray[Any]) -> NDArray[np.uint16]:
        ids: NDArray[np.uint16] = self._ids[points]
        unseen = ids == _UNSEEN
        if unseen.any():
            self._add(np.unique(points[unseen]))
            ids = self._ids[points]
        known = len(self.points)
        self.counts[:known] += np.bincount(ids, minlength=known)
        return ids

    def _add(self, points: NDArray[Any]) -> None:
        known = len(self.points)
        if known + len(points) > _UNSEEN:
            raise InputError(
                f"The corpus has more than {_UNSEEN:,} distinct characters, {MAX_SYMBOLS:,} is the most: "
                f"if a file is binary or wrongly decoded, correct --encoding or read bytes with --unit byte."
            )
        self._ids[points] = np.arange(known, known + len(points))
        self.points += points.tolist()

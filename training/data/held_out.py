"""Finds the text that an earlier encoding of a corpus held out, by its content.

It stays held out in a file that grows, or is edited, renamed or joined to another. Knows no files.
"""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

PASSAGE = 32
"""Characters of a passage, a power of 2; shorter pieces of held-out text are not found again."""

Range = tuple[int, int]

_BASE = 0x9E3779B97F4A7C15
_BLOCK = 1 << 20


class HeldOut:
    """The passages of a text's validation and test parts that do not also occur in its training part."""

    def __init__(self, training: NDArray[Any], validation: NDArray[Any], test: NDArray[Any], points: NDArray[Any]):
        """The three parts of the text as ids; id i stands for the code point or byte `points[i]`."""
        self._known = []
        for ids in (validation, test):
            known = np.unique(np.concatenate([np.zeros(0, np.uint64), *_hashes(_blocks(ids, points))]))
            learned = np.zeros(len(known), np.bool_)
            for hashes in _hashes(_blocks(training, points)):
                learned[_indexes(known, hashes)[_are_in(known, hashes)]] = True
            self._known.append(known[~learned])

    def ranges(self, blocks: Iterable[NDArray[Any]]) -> tuple[list[Range], list[Range]]:
        """Ranges of the validation part's and of the test part's passages in a text, given in blocks of code points."""
        found: tuple[list[Range], list[Range]] = ([], [])
        start = 0
        for hashes in _hashes(blocks):
            for known, ranges in zip(self._known, found, strict=True):
                edges = np.flatnonzero(np.diff(_are_in(known, hashes), prepend=False, append=False))
                for begin, end in edges.reshape(-1, 2).tolist():
                    _add(ranges, start + begin, start + end - 1 + PASSAGE)
            start += len(hashes)
        return found


def _add(ranges: list[Range], start: int, stop: int) -> None:
    """Append a range; a gap shorter than a passage is an edit within held-out text, and is closed."""
    if ranges and start - ranges[-1][1] < PASSAGE:
        start, _ = ranges.pop()
    ranges.append((start, stop))


def _blocks(ids: NDArray[Any], points: NDArray[Any]) -> Iterator[NDArray[Any]]:
    for start in range(0, len(ids), _BLOCK):
        yield points[ids[start : start + _BLOCK]]


def _hashes(blocks: Iterable[NDArray[Any]]) -> Iterator[NDArray[np.uint64]]:
    """A hash of the passage that begins at each character of a text, one array for each block."""
    rest = np.zeros(0, np.uint64)
    for block in blocks:
        values = np.concatenate([rest, (block.astype(np.uint64) + np.uint64(1)) * np.uint64(_BASE)])
        hashes, width = values ^ (values >> np.uint64(29)), 1
        while width < PASSAGE:  # polynomial hashes: those of two neighbours give that of twice the width
            hashes = hashes[:-width] * np.uint64(pow(_BASE, width, 1 << 64)) + hashes[width:]
            width *= 2
        yield hashes
        rest = values[len(hashes) :]


def _indexes(known: NDArray[np.uint64], hashes: NDArray[np.uint64]) -> NDArray[np.intp]:
    """The index of each hash among `known`, if it is there."""
    return np.minimum(np.searchsorted(known, hashes), max(len(known) - 1, 0))


def _are_in(known: NDArray[np.uint64], hashes: NDArray[np.uint64]) -> NDArray[np.bool_]:
    return known[_indexes(known, hashes)] == hashes if len(known) else np.zeros(len(hashes), np.bool_)

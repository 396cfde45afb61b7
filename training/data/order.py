"""In which order a text is learned from, and where it is cut: as it stands, file by file, by shuffled lines or files.

Whatever the order, the parts are contiguous ranges of the ids on disk. Knows nothing of how they came to be.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from training.config import TrainConfig
from training.data.encode import Reading, rewrite, rewrite_lines
from training.errors import InputError

_SHUFFLE_STREAM = 1  # beside the seed: no other generator of a run draws the same numbers


@dataclass(frozen=True)
class Split:
    """Contiguous parts of a text, as ranges of symbols [start, stop)."""

    train: tuple[int, int]
    validation: tuple[int, int]
    test: tuple[int, int]

    @classmethod
    def at(cls, train_stop: int, test_start: int, stop: int) -> "Split":
        """The parts between these cuts."""
        return cls((0, train_stop), (train_stop, test_start), (test_start, stop))

    @classmethod
    def contiguous(cls, length: int, fractions: tuple[float, float, float]) -> "Split":
        """Cut so many symbols, or lines, by the fractions of training, validation and test."""
        test_start = length if fractions[2] == 0 else int(length * (fractions[0] + fractions[1]))
        return cls.at(int(length * fractions[0]), test_start, length)


def _by_char(reading: Reading, final: NDArray[Any], config: TrainConfig, file: BinaryIO) -> Split:
    kind = "characters" if config.unit == "char" else "bytes"
    split = _with_validation(Split.contiguous(reading.symbols, config.split), reading.symbols, kind)
    rewrite(reading, final, [(0, reading.symbols)], file)
    return split


def _by_each_file(reading: Reading, final: NDArray[Any], config: TrainConfig, file: BinaryIO) -> Split:
    """Every file is cut: what a file ends with is never learned from, whatever files come or go beside it."""
    order: list[list[tuple[int, int]]] = [[], [], []]
    for start, stop in zip((0, *reading.ends), reading.ends, strict=False):
        cut = Split.contiguous(stop - start, config.split)
        for ranges, part in zip(order, (cut.train, cut.validation, cut.test), strict=True):
            ranges.append((start + part[0], start + part[1]))
    train, validation, _ = (sum(stop - start for start, stop in ranges) for ranges in order)
    split = Split.at(train, train + validation, reading.symbols)
    kind = "characters" if config.unit == "char" else "bytes"
    split = _with_validation(split, reading.symbols, kind)
    rewrite(reading, final, list(chain(*order)), file)
    return split


def _by_line(reading: Reading, final: NDArray[Any], config: TrainConfig, file: BinaryIO) -> Split:
    terminated, rest = reading.lines
    order = np.arange(terminated + rest, dtype=np.uint32)
    # A last line without a newline stays last: elsewhere it would run into the line after it.
    _generator(config).shuffle(order[:terminated])
    parts = _with_validation(Split.contiguous(len(order), config.split), len(order), "lines")
    lengths = rewrite_lines(reading, final, order, file)
    cuts = [int(lengths[order[:stop]].sum(dtype=np.int64)) for _, stop in (parts.train, parts.validation)]
    return Split.at(cuts[0], cuts[1], reading.symbols)


def _by_file(reading: Reading, final: NDArray[Any], config: TrainConfig, file: BinaryIO) -> Split:
    ranges = list(zip((0, *reading.ends), reading.ends, strict=False))
    order = [ranges[number] for number in _generator(config).permutation(len(ranges))]
    order = [(start, stop) for start, stop in order if start < stop]
    parts = [part for part in config.split if part > 0]
    if len(order) < len(parts):
        raise InputError(
            f"--split-by file needs at least one file for each of the {len(parts)} parts of --split, "
            f"and the corpus has {len(order)} with text in it."
        )
    rewrite(reading, final, order, file)
    cuts = _file_cuts([stop - start for start, stop in order], parts)
    return Split.at(cuts[0], cuts[1], reading.symbols)


ARRANGEMENTS = {"char": _by_char, "each-file": _by_each_file, "line": _by_line, "file": _by_file}


def _file_cuts(sizes: Sequence[int], parts: Sequence[float]) -> list[int]:
    """Where each part ends, in symbols: at the file with which its share is reached, and never without a file."""
    ends = np.cumsum(sizes)
    cuts, files = [], 0
    for number, goal in enumerate(np.cumsum(parts[:-1]) * ends[-1], start=1):
        reached = int(np.searchsorted(ends, goal)) + 1
        files = min(max(reached, files + 1), len(sizes) - (len(parts) - number))
        cuts.append(int(ends[files - 1]))
    return [*cuts, int(ends[-1])]


def _with_validation(split: Split, count: int, kind: str) -> Split:
    if split.validation[0] == split.validation[1]:
        raise InputError(f"The validation part of {count:,} {kind} is empty: use a longer corpus.")
    return split


def _generator(config: TrainConfig) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64([config.seed, _SHUFFLE_STREAM]))

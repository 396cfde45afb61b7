"""In which order a text is learned from, and where it is cut: as it stands, file by file, by shuffled lines or files.

Whatever the order, the parts are contiguous ranges of the ids on disk. Knows nothing of how they came to be.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from training.config import TrainConfig
from training.data.encode import FirstPass, rewrite, rewrite_lines
from training.data.held_out import PASSAGE, HeldOut, Range
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


@dataclass(frozen=True)
class Arrangement:
    """Where a text was cut."""

    split: Split
    validation: tuple[int, ...] = ()  # symbols of each file in that part, where every file is cut


def _by_char(first_pass: FirstPass, final: NDArray[Any], config: TrainConfig, file: BinaryIO) -> Split:
    kind = "characters" if config.unit == "char" else "bytes"
    split = _with_validation(Split.contiguous(first_pass.symbols, config.split), first_pass.symbols, kind)
    rewrite(first_pass, final, [(0, first_pass.symbols)], file)
    return split


def _by_each_file(
    first_pass: FirstPass, final: NDArray[Any], config: TrainConfig, file: BinaryIO, earlier: HeldOut | None
) -> Arrangement:
    """Every file is cut: what a file ends with is never learned from, whatever files come or go beside it."""
    order: tuple[list[Range], list[Range], list[Range]] = ([], [], [])
    validation = []
    for start, stop in zip((0, *first_pass.ends), first_pass.ends, strict=False):
        kept = earlier.ranges(first_pass.points[ids] for ids in first_pass.blocks(start, stop)) if earlier else ([], [])
        parts = _parts_of_file(stop - start, kept, config.split)
        for ranges, part in zip(order, parts, strict=True):
            ranges += [(start + first, start + last) for first, last in part]
        validation.append(_length(parts[1]))
    train, held_out = _length(order[0]), sum(validation)
    split = Split.at(train, train + held_out, first_pass.symbols)
    kind = "characters" if config.unit == "char" else "bytes"
    split = _with_validation(split, first_pass.symbols, kind)
    rewrite(first_pass, final, list(chain(*order)), file)
    return Arrangement(split, tuple(validation))


def _parts_of_file(
    length: int, kept: tuple[list[Range], list[Range]], fractions: tuple[float, float, float]
) -> tuple[list[Range], list[Range], list[Range]]:
    """Training, validation and test of a file of which the ranges `kept` were validation and test before.

    They stay what they were. What the held-out share lacks is taken from the end of the text behind them: from what
    the file has grown by.
    """
    cut = Split.contiguous(length, fractions)
    if not any(kept):
        return [cut.train], [cut.validation], [cut.test]
    parts = np.zeros(length, np.uint8)
    for part in (2, 1):
        for start, stop in kept[part - 1]:
            parts[start:stop] = part
    lacking = length - cut.train[1] - int(np.count_nonzero(parts))
    behind: int = max(stop for _, stop in chain(*kept))
    grown = min(lacking, length - behind)
    if grown >= PASSAGE:  # less would not be found again
        tested = int(grown * fractions[2] / (fractions[1] + fractions[2]))
        parts[length - grown :] = 1
        parts[length - (tested if PASSAGE <= tested <= grown - PASSAGE else 0) :] = 2
    edges = np.flatnonzero(np.diff(parts, prepend=3, append=3)).tolist()
    ranges = list(pairwise(edges))
    train, validation, test = ([r for r in ranges if parts[r[0]] == part] for part in (0, 1, 2))
    return train, validation, test


def _length(ranges: Sequence[Range]) -> int:
    return sum(stop - start for start, stop in ranges)


def _by_line(first_pass: FirstPass, final: NDArray[Any], config: TrainConfig, file: BinaryIO) -> Split:
    terminated, rest = first_pass.lines
    order = np.arange(terminated + rest, dtype=np.uint32)
    # A last line without a newline stays last: elsewhere it would run into the line after it.
    _generator(config).shuffle(order[:terminated])
    advice = "use a corpus of more lines, or --split-by char, which cuts a text anywhere"
    parts = _with_validation(Split.contiguous(len(order), config.split), len(order), "lines", advice)
    lengths = rewrite_lines(first_pass, final, order, file)
    cuts = [int(lengths[order[:stop]].sum(dtype=np.int64)) for _, stop in (parts.train, parts.validation)]
    return Split.at(cuts[0], cuts[1], first_pass.symbols)


def _by_file(first_pass: FirstPass, final: NDArray[Any], config: TrainConfig, file: BinaryIO) -> Split:
    ranges = list(zip((0, *first_pass.ends), first_pass.ends, strict=False))
    order = [ranges[number] for number in _generator(config).permutation(len(ranges))]
    order = [(start, stop) for start, stop in order if start < stop]
    parts = [part for part in config.split if part > 0]
    if len(order) < len(parts):
        raise InputError(
            f"--split-by file needs at least one file for each of the {len(parts)} parts of --split, "
            f"and the corpus has {len(order)} with text in it."
        )
    rewrite(first_pass, final, order, file)
    cuts = _file_cuts([stop - start for start, stop in order], parts)
    return Split.at(cuts[0], cuts[1], first_pass.symbols)


_ARRANGEMENTS = {"char": _by_char, "line": _by_line, "file": _by_file}


def arrange(
    first_pass: FirstPass, final: NDArray[Any], config: TrainConfig, file: BinaryIO, earlier: HeldOut | None
) -> Arrangement:
    """Write the ids in the order in which they are learned from; `final[i]` is what the provisional id i becomes.

    Where every file is cut, what `earlier` held out stays held out.

    Raises:
        InputError: the text cannot be split as asked.
    """
    if config.split_by == "each-file":
        return _by_each_file(first_pass, final, config, file, earlier)
    return Arrangement(_ARRANGEMENTS[config.split_by](first_pass, final, config, file))


def _file_cuts(sizes: Sequence[int], parts: Sequence[float]) -> list[int]:
    """Where each part ends, in symbols: at the file with which its share is reached, and never without a file."""
    ends = np.cumsum(sizes)
    cuts, files = [], 0
    for number, goal in enumerate(np.cumsum(parts[:-1]) * ends[-1], start=1):
        reached = int(np.searchsorted(ends, goal)) + 1
        files = min(max(reached, files + 1), len(sizes) - (len(parts) - number))
        cuts.append(int(ends[files - 1]))
    return [*cuts, int(ends[-1])]


def _with_validation(split: Split, count: int, kind: str, advice: str = "use a longer corpus") -> Split:
    if split.validation[0] == split.validation[1]:
        raise InputError(f"The validation part of {count:,} {kind} is empty: {advice}.")
    return split


def _generator(config: TrainConfig) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64([config.seed, _SHUFFLE_STREAM]))

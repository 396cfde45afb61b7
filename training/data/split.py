"""Cuts of a text into training, validation and test. Counts symbols, lines or files; reads and writes none."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, chain, pairwise

import numpy as np

from training.data.held_out import PASSAGE, Range
from training.errors import InputError


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
        """Cut `length` symbols, or lines, by the fractions of training, validation and test."""
        test_start = length if fractions[2] == 0 else int(_goal(length, fractions[0] + fractions[1]))
        return cls.at(int(_goal(length, fractions[0])), test_start, length)

    def require_validation(self, count: int, noun: str, advice: str = "use a longer corpus") -> "Split":
        """Return this split of `count` symbols or lines, after a check; `noun` names them in the message.

        Raises:
            InputError: Its validation part is empty.
        """
        if self.validation[0] == self.validation[1]:
            raise InputError(f"The validation part of {count:,} {noun} is empty: {advice}.")
        return self


def parts_of_file(
    length: int, held_out: tuple[list[Range], list[Range]], fractions: tuple[float, float, float]
) -> tuple[list[Range], list[Range], list[Range]]:
    """Training, validation and test ranges of one file of `length` symbols.

    Args:
        length: Symbols of the file.
        held_out: Ranges that were validation and test text before; they stay so. If these are less than the held-out
            share, the text behind them, by which the file has grown, provides the rest from its end.
        fractions: Of training, validation and test.
    """
    cut = Split.contiguous(length, fractions)
    if not any(held_out):
        return [cut.train], [cut.validation], [cut.test]
    parts = np.zeros(length, np.uint8)  # 0 training, 1 validation, 2 test
    for part in (2, 1):
        for start, stop in held_out[part - 1]:
            parts[start:stop] = part
    missing = length - cut.train[1] - int(np.count_nonzero(parts))
    grown: int = length - max(stop for _, stop in chain(*held_out))
    added = min(missing, grown)
    if added >= PASSAGE:  # a shorter piece would not be found again
        tested = int(added * fractions[2] / (fractions[1] + fractions[2]))
        parts[length - added :] = 1
        parts[length - (tested if PASSAGE <= tested <= added - PASSAGE else 0) :] = 2
    edges = np.flatnonzero(np.diff(parts, prepend=3, append=3)).tolist()
    ranges = list(pairwise(edges))
    train, validation, test = ([r for r in ranges if parts[r[0]] == part] for part in (0, 1, 2))
    return train, validation, test


def file_cuts(sizes: Sequence[int], fractions: Sequence[float]) -> list[int]:
    """The end of each part, in symbols, if it is made of complete files of these sizes.

    A part ends with the file that reaches its share, and has at least one file.
    """
    ends = np.cumsum(sizes)
    cuts, files = [], 0
    for number, share in enumerate(accumulate(fractions[:-1]), start=1):
        reached = int(np.searchsorted(ends, _goal(ends[-1], share))) + 1
        files = min(max(reached, files + 1), len(sizes) - (len(fractions) - number))
        cuts.append(int(ends[files - 1]))
    return [*cuts, int(ends[-1])]


def _goal(length: int, share: float) -> float:
    """The share of a length, without the rounding errors of sums such as 0.7 + 0.1 < 0.8 and 0.9 + 0.05 > 0.95."""
    return round(float(length * share), 3)

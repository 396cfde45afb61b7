"""Second pass over a corpus: provisional ids -> final ids, in the order in which training reads them.

The text is kept in its order, shuffled by lines or files, or cut file by file. Each part is then one range of the ids.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from training.config import TrainConfig
from training.data.encode import BLOCK_SYMBOLS, NEWLINE, FirstPass
from training.data.held_out import HeldOut, Range
from training.data.split import Split, file_cuts, parts_of_file
from training.errors import InputError

BUCKET_SYMBOLS = 1 << 22

_MAX_BUCKETS = 256  # limits open files, and a bucket's number is stored in one byte
_SHUFFLE_STREAM = 1  # added to the seed, so that no other generator of a run draws the same numbers
_LONGER_FILES = "use longer files, or --split-by file, which cuts none"
_MORE_LINES = "use a corpus of more lines, or --split-by char, which cuts a text anywhere"


@dataclass(frozen=True)
class Arrangement:
    """The cuts of the arranged text."""

    split: Split
    validation: tuple[int, ...] = ()  # [files] symbols in the validation part, if every file is cut


def arrange(
    first_pass: FirstPass, final: NDArray[Any], file: BinaryIO, config: TrainConfig, earlier: HeldOut | None
) -> Arrangement:
    """Write the final ids into `file` in the order in which training reads them.

    Args:
        first_pass: The text.
        final: [provisional ids] The final id of each.
        file: Gets the ids, in the type of `final`.
        config: split_by: char keeps the order, line and file shuffle, each-file cuts every file into the parts.
        earlier: Text that stays held out if every file is cut.

    Raises:
        InputError: The text is too short, or has too few lines or files, for the parts.
    """
    if config.split_by == "each-file":
        return _by_each_file(first_pass, final, file, config, earlier)
    by = {"char": _by_char, "line": _by_line, "file": _by_file}[config.split_by]
    return Arrangement(by(first_pass, final, file, config))


def _by_char(first_pass: FirstPass, final: NDArray[Any], file: BinaryIO, config: TrainConfig) -> Split:
    split = Split.contiguous(first_pass.symbols, config.split)
    split.require_validation(first_pass.symbols, _noun(config))
    _write_ranges(first_pass, final, [(0, first_pass.symbols)], file)
    return split


def _by_each_file(
    first_pass: FirstPass, final: NDArray[Any], file: BinaryIO, config: TrainConfig, earlier: HeldOut | None
) -> Arrangement:
    """Cut every file, so that held-out text stays held out while files are added, removed or changed beside it."""
    order: tuple[list[Range], list[Range], list[Range]] = ([], [], [])
    validation = []
    for start, stop in first_pass.ranges:
        blocks = (first_pass.points[ids] for ids in first_pass.blocks(start, stop))
        parts = parts_of_file(stop - start, earlier.ranges(blocks) if earlier else ([], []), config.split)
        for ranges, part in zip(order, parts, strict=True):
            ranges += [(start + first, start + last) for first, last in part]
        validation.append(_length(parts[1]))
    train = _length(order[0])
    split = Split.at(train, train + sum(validation), first_pass.symbols)
    split.require_validation(first_pass.symbols, _noun(config), _LONGER_FILES)
    _write_ranges(first_pass, final, list(chain(*order)), file)
    return Arrangement(split, tuple(validation))


def _by_line(first_pass: FirstPass, final: NDArray[Any], file: BinaryIO, config: TrainConfig) -> Split:
    terminated, rest = first_pass.lines
    order = np.arange(terminated + rest, dtype=np.uint32)
    # A last line without a newline stays last: elsewhere the next line would continue it.
    _generator(config).shuffle(order[:terminated])
    parts = Split.contiguous(len(order), config.split).require_validation(len(order), "lines", _MORE_LINES)
    lengths = _write_lines(first_pass, final, order, file)
    cuts = [int(lengths[order[:stop]].sum(dtype=np.int64)) for _, stop in (parts.train, parts.validation)]
    return Split.at(cuts[0], cuts[1], first_pass.symbols)


def _by_file(first_pass: FirstPass, final: NDArray[Any], file: BinaryIO, config: TrainConfig) -> Split:
    ranges = first_pass.ranges
    order = [ranges[number] for number in _generator(config).permutation(len(ranges))]
    order = [(start, stop) for start, stop in order if start < stop]
    fractions = [fraction for fraction in config.split if fraction > 0]
    if len(order) < len(fractions):
        raise InputError(
            f"--split-by file needs at least one file for each of the {len(fractions)} parts of --split, "
            f"and the corpus has {len(order)} with text in it."
        )
    _write_ranges(first_pass, final, order, file)
    cuts = file_cuts([stop - start for start, stop in order], fractions)
    return Split.at(cuts[0], cuts[1], first_pass.symbols)


def _write_ranges(first_pass: FirstPass, final: NDArray[Any], ranges: Sequence[Range], file: BinaryIO) -> None:
    for start, stop in ranges:
        for ids in first_pass.blocks(start, stop):
            file.write(final[ids].data)


def _write_lines(
    first_pass: FirstPass, final: NDArray[Any], order: NDArray[np.uint32], file: BinaryIO
) -> NDArray[np.uint32]:
    """Write the lines in `order` [lines]; returns each line's length, in the order of the text.

    A distribution sort: every line goes to the bucket of its later neighbours, and each bucket, which fits into
    memory, is then sorted. All files are read and written sequentially.
    """
    buckets = min(_MAX_BUCKETS, -(-first_pass.symbols // BUCKET_SYMBOLS))
    share = -(-len(order) // buckets)
    bucket_of = np.empty(len(order), np.uint8)
    bucket_of[order] = np.repeat(np.arange(buckets, dtype=np.uint8), share)[: len(order)]
    paths = [first_pass.path.with_name(f"bucket-{number}") for number in range(buckets)]
    lengths = _distribute(first_pass, final, bucket_of, paths)
    for number, path in enumerate(paths):
        lines = order[number * share : (number + 1) * share]
        for ids in _sorted_bucket(np.fromfile(path, final.dtype), lines, lengths[lines]):
            file.write(ids.data)
        path.unlink()
    return lengths


def _distribute(
    first_pass: FirstPass, final: NDArray[Any], bucket_of: NDArray[np.uint8], paths: Sequence[Path]
) -> NDArray[np.uint32]:
    """Write each line into the file of its bucket, in the order of the text; returns each line's length."""
    lengths = np.zeros(len(bucket_of), np.uint32)
    is_newline = first_pass.points == NEWLINE
    line = 0
    with ExitStack() as stack:
        files = [stack.enter_context(path.open("wb")) for path in paths]
        for ids in first_pass.blocks():
            stops = np.flatnonzero(is_newline[ids]) + 1
            starts = np.concatenate([[0], stops])
            sizes = np.diff(starts, append=len(ids))  # of the lines' pieces in this block; the last may be empty
            pieces = len(sizes) if sizes[-1] else len(stops)
            lengths[line : line + pieces] += sizes[:pieces].astype(np.uint32)
            buckets = bucket_of[line : line + pieces]
            by_bucket = np.argsort(buckets, kind="stable")
            cuts = np.cumsum(np.bincount(buckets, sizes[:pieces], len(files)))[:-1].astype(np.int64)
            sorted_ids = final[_gathered(ids, starts[by_bucket], sizes[by_bucket])]
            for file, part in zip(files, np.split(sorted_ids, cuts), strict=True):
                file.write(part.data)
            line += len(stops)
    return lengths


def _sorted_bucket(ids: NDArray[Any], lines: NDArray[np.uint32], lengths: NDArray[np.uint32]) -> Iterator[NDArray[Any]]:
    """The ids of a bucket, which holds lines of these lengths by ascending number, in the order of `lines`."""
    ranks = np.argsort(lines)
    starts = np.empty(len(lines), np.int64)
    starts[ranks] = np.cumsum(lengths[ranks], dtype=np.int64) - lengths[ranks]
    stops = np.cumsum(lengths, dtype=np.int64)

    cuts = np.searchsorted(stops, np.arange(BLOCK_SYMBOLS, len(ids), BLOCK_SYMBOLS))
    for begins, sizes in zip(np.split(starts, cuts), np.split(lengths, cuts), strict=True):
        yield _gathered(ids, begins, sizes)


def _gathered(ids: NDArray[Any], starts: NDArray[np.int64], sizes: NDArray[Any]) -> NDArray[Any]:
    """The pieces of `ids` that begin at `starts`, one after another."""
    stops = np.cumsum(sizes, dtype=np.int64)
    total = int(stops[-1]) if len(stops) else 0
    return ids[np.repeat(starts - (stops - sizes), sizes) + np.arange(total)]


def _length(ranges: Sequence[Range]) -> int:
    return sum(stop - start for start, stop in ranges)


def _noun(config: TrainConfig) -> str:
    return "characters" if config.unit == "char" else "bytes"


def _generator(config: TrainConfig) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64([config.seed, _SHUFFLE_STREAM]))

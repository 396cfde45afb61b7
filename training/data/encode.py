"""Blocks of bytes -> normalised text -> provisional ids on disk -> final ids, block by block.

The first pass gives ids in order of first appearance and counts them, because only at its end is it known which symbols
there are. The second puts the final ids in their place. Knows no vocabulary, no parts of a split.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from training.config import TrainConfig
from training.data.encodings import with_end
from training.data.reader import Source, SourceReader
from training.data.vocabulary import MAX_SYMBOLS, code_points
from training.errors import InputError

BLOCK_SYMBOLS = 1 << 20
BUCKET_SYMBOLS = 1 << 22
NEWLINE = ord("\n")

_MAX_BUCKETS = 256  # open files; and a bucket's number is one byte

_UNSEEN = 0xFFFF  # also the number of symbols that fit beside it into 16 bits


@dataclass(frozen=True)
class FirstPass:
    """What the first pass found. Provisional id i stands for `points[i]`, which occurs `counts[i]` times."""

    path: Path  # of the provisional ids, uint16
    files: tuple[SourceReader, ...]
    ends: tuple[int, ...]  # symbols up to the end of each file
    points: NDArray[np.uint32]
    counts: NDArray[np.int64]
    notes: tuple[str, ...]

    @property
    def symbols(self) -> int:
        """Length of the text."""
        return int(self.counts.sum())

    @property
    def occurrences(self) -> dict[int, int]:
        """How often each point occurs that does."""
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


def read(sources: Sequence[Source], config: TrainConfig, path: Path) -> FirstPass:
    """Write the provisional ids of all sources into `path`.

    Raises:
        InputError: a source cannot be read or decoded, or has more kinds of symbols than any text.
    """
    table = _Symbols(range(0x100 if config.unit == "byte" else 0))
    text = _Text(config)
    readers = [SourceReader(source) for source in sources]
    ends, written = [], 0
    with path.open("wb") as file:
        for reader in readers:
            for points in _points_of(reader, text, config, last=reader is readers[-1]):
                file.write(table.encode(points).data)
                written += len(points)
            ends.append(written)
    points, counts = np.array(table.points, np.uint32), table.counts[: len(table.points)]
    return FirstPass(path, tuple(readers), tuple(ends), points, counts, text.notes())


def _points_of(reader: SourceReader, text: "_Text", config: TrainConfig, *, last: bool) -> Iterator[NDArray[Any]]:
    if config.unit == "byte":
        for block in reader.blocks():
            yield np.frombuffer(block, np.uint8)
        return
    # Files that will be shuffled are texts of their own; else an accent may join the last letter of the file before.
    for piece in text.of(reader, whole=last or config.split_by in ("file", "each-file")):
        try:
            yield code_points(piece, "strict")
        except UnicodeEncodeError:
            raise InputError(
                f"--corpus {reader.source.display_path} holds half a surrogate pair, which is no character: "
                f"correct --encoding {config.encoding}, or read bytes with --unit byte."
            ) from None


def rewrite(first_pass: FirstPass, final: NDArray[Any], ranges: Sequence[tuple[int, int]], file: BinaryIO) -> None:
    """Write the ids of `ranges` of the text; `final[i]` is what the provisional id i becomes."""
    for start, stop in ranges:
        for ids in first_pass.blocks(start, stop):
            file.write(final[ids].data)


def rewrite_lines(
    first_pass: FirstPass, final: NDArray[Any], order: NDArray[np.uint32], file: BinaryIO
) -> NDArray[np.uint32]:
    """Write the ids line after line in `order` [lines]; returns each line's length, in the order of the text.

    A distribution sort: lines are dealt out to buckets of lines that will be neighbours, in the order of the text, and
    each bucket, which fits into memory, is put in order. Nothing is read or written in leaps.
    """
    buckets = min(_MAX_BUCKETS, -(-first_pass.symbols // BUCKET_SYMBOLS))
    share = -(-len(order) // buckets)
    bucket_of = np.empty(len(order), np.uint8)
    bucket_of[order] = np.repeat(np.arange(buckets, dtype=np.uint8), share)[: len(order)]
    paths = [first_pass.path.with_name(f"bucket-{number}") for number in range(buckets)]
    lengths = _deal(first_pass, final, bucket_of, paths)
    for number, path in enumerate(paths):
        members = order[number * share : (number + 1) * share]
        for ids in _in_order(np.fromfile(path, final.dtype), members, lengths[members]):
            file.write(ids.data)
        path.unlink()
    return lengths


def _deal(
    first_pass: FirstPass, final: NDArray[Any], bucket_of: NDArray[np.uint8], paths: Sequence[Path]
) -> NDArray[np.uint32]:
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
            homes = bucket_of[line : line + pieces]
            turns = np.argsort(homes, kind="stable")
            cuts = np.cumsum(np.bincount(homes, sizes[:pieces], len(files)))[:-1].astype(np.int64)
            dealt = final[_gathered(ids, starts[turns], sizes[turns])]
            for file, part in zip(files, np.split(dealt, cuts), strict=True):
                file.write(part.data)
            line += len(stops)
    return lengths


def _in_order(ids: NDArray[Any], members: NDArray[np.uint32], lengths: NDArray[np.uint32]) -> Iterator[NDArray[Any]]:
    """The ids of a bucket, whose lines lie in the order of their numbers, in the order of `members`."""
    ranks = np.argsort(members)
    starts = np.empty(len(members), np.int64)
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


class _Symbols:
    """Gives points ids in order of appearance, and counts them."""

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


class _Text:
    """Normalises one file after another; remembers, for the person, what it changed."""

    def __init__(self, config: TrainConfig) -> None:
        self._encoding = config.encoding
        self._composer = _Composer(config.normalization)
        self._marked: list[str] = []  # names of files that began with a byte order mark
        self._ends: Counter[str] = Counter()
        self._nuls: Counter[str] = Counter()

    def of(self, reader: SourceReader, *, whole: bool) -> Iterator[str]:
        """The text of a file in pieces; its end may come with the next file unless it is a `whole` text."""
        for text in self._unified(reader.text(self._encoding)):
            if nuls := text.count("\0"):
                self._nuls[reader.source.name] += nuls
            yield self._composer.compose(text)
        if reader.marked:
            self._marked.append(reader.source.name)
        if whole:
            yield self._composer.rest()

    def notes(self) -> tuple[str, ...]:
        """A sentence for each thing that was changed or is remarkable."""
        notes = [
            f"{name} holds {count:,} NUL characters and looks like a binary file (read it with --unit byte) "
            f"or like UTF-16 (--encoding utf-16)."
            for name, count in self._nuls.items()
        ]
        if self._marked:
            notes.append(f"The byte order mark at the start of {_listed(self._marked)} was dropped.")
        if self._ends:
            kinds = " and ".join(f"{count:,} {kind}" for kind, count in sorted(self._ends.items()))
            notes.append(f"Line ends became LF: {kinds}.")
        if self._composer.changed:
            notes.append("Characters were composed to Unicode's normal form NFC (--normalization none keeps them).")
        return tuple(notes)

    def _unified(self, texts: Iterator[str]) -> Iterator[str]:
        """Every CR LF and lone CR as LF. A CR at the end of a piece waits for what comes after it."""
        waiting = ""
        for text, final in with_end(texts, ""):
            text = waiting + text
            waiting = "\r" if text.endswith("\r") and not final else ""
            text = text.removesuffix(waiting)
            if "\r" in text:
                pairs = text.count("\r\n")
                self._ends += Counter({"CR LF": pairs, "CR": text.count("\r") - pairs})
                text = text.replace("\r\n", "\n").replace("\r", "\n")
            yield text


class _Composer:
    """Unicode's NFC of a text that comes in pieces, cut where nothing can join over the cut."""

    def __init__(self, normalization: str) -> None:
        self._active = normalization == "NFC"
        self._waiting: list[str] = []
        self.changed = False

    def compose(self, text: str) -> str:
        """The normal form of what waited and of `text`, up to its last safe cut."""
        if not self._active:
            return text
        cut = next((index for index in range(len(text) - 1, -1, -1) if _is_alone(text[index])), None)
        if cut is None:
            self._waiting.append(text)
            return ""
        before = "".join([*self._waiting, text[:cut]])
        self._waiting = [text[cut:]]
        return self._normal(before)

    def rest(self) -> str:
        """The normal form of what still waits, as the end of a text."""
        text, self._waiting = "".join(self._waiting), []
        return self._normal(text) if self._active else text

    def _normal(self, text: str) -> str:
        if unicodedata.is_normalized("NFC", text):
            return text
        self.changed = True
        return unicodedata.normalize("NFC", text)


def _is_alone(character: str) -> bool:
    """Whether it never joins with what stands before: all below U+0300, CJK ideographs, Hangul syllables."""
    return character < "\u0300" or "\u3400" <= character <= "\u9fff" or "\uac00" <= character <= "\ud7a3"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{len(names):,} files ({names[0]} is the first)"

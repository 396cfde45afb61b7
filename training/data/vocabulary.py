"""Symbols <-> ids. A symbol is a Unicode code point (unit `char`) or a byte (unit `byte`). Knows no files.

Id 0 is reserved: it stands for the start of a text and for symbols outside the vocabulary.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.errors import InputError

RESERVED = 0
MAX_SYMBOLS = 20_000
REPLACEMENT = "\ufffd"  # the text of id 0, and of bytes that are not valid UTF-8

_LIMITS = {"char": 0x110000, "byte": 0x100}
_INVALID_BYTE = 0xFF  # never occurs in UTF-8
_WORTH_KEEPING = 0.99  # advise to leave out rare symbols only if this share of the text is left


@dataclass(frozen=True)
class Vocabulary:
    """The symbols that a model knows, in id order: `points[i]`, a code point or a byte value, has id i + 1."""

    unit: str
    points: tuple[int, ...]

    @classmethod
    def from_json(cls, symbols: Sequence[str | int | None], unit: str = "char") -> "Vocabulary":
        """The vocabulary of the manifest's list, whose item 0 is null.

        Raises:
            InputError: The list is not a vocabulary of this unit.
        """
        if unit not in _LIMITS:
            raise InputError(f"The vocabulary's unit must be char or byte, not {unit}.")
        if not symbols or symbols[0] is not None:
            raise InputError("The vocabulary must begin with null, the symbol of the reserved id 0.")
        points = tuple(_point(symbol, unit) for symbol in symbols[1:])
        if len(set(points)) < len(points):
            raise InputError("The vocabulary names a symbol twice.")
        return cls(unit, points)

    def to_json(self) -> list[str | int | None]:
        """The manifest's list: the index is the id."""
        return [None, *(map(chr, self.points) if self.unit == "char" else self.points)]

    def __len__(self) -> int:
        """V, the reserved id included."""
        return len(self.points) + 1

    def encode(self, text: str) -> NDArray[np.int32]:
        """Ids of a text's characters, or of its UTF-8 bytes; a symbol outside the vocabulary becomes `RESERVED`."""
        if self.unit == "byte":
            return self.encode_points(np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8))
        return self.encode_points(code_points(text))

    def encode_points(self, points: NDArray[Any]) -> NDArray[np.int32]:
        """Ids of code points or bytes, given as unsigned integers; an unknown one becomes `RESERVED`."""
        # Points beyond the table are clipped to its last entry, which is RESERVED.
        return np.take(self._ids, points, mode="clip")

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids; U+FFFD for `RESERVED` and for bytes that are not valid UTF-8."""
        array = ids if isinstance(ids, np.ndarray) else np.fromiter(ids, np.int64)
        points = self._points[array]
        if self.unit == "byte":
            return points.astype(np.uint8).tobytes().decode("utf-8", "replace")
        return points.tobytes().decode("utf-32-le", "surrogatepass")

    def ids_in(self, other: "Vocabulary") -> NDArray[np.int32]:
        """[V] For each id, the id of its symbol in `other`, or `RESERVED`."""
        return np.concatenate([[RESERVED], other.encode_points(np.array(self.points, np.uint32))], dtype=np.int32)

    def extended(self, points: Iterable[int]) -> "Vocabulary":
        """This vocabulary with `points` added: known symbols keep their ids, new ones follow in code point order."""
        return Vocabulary(self.unit, self.points + tuple(sorted(set(points) - set(self.points))))

    @property
    def dtype(self) -> np.dtype[Any]:
        """The smallest type for ids."""
        return np.dtype(np.uint8 if len(self) <= 0x100 else np.uint16)

    @cached_property
    def _ids(self) -> NDArray[np.int32]:
        ids = np.zeros(max(self.points, default=0) + 2, np.int32)
        ids[list(self.points)] = np.arange(1, len(self))
        return ids

    @cached_property
    def _points(self) -> NDArray[np.uint32]:
        reserved = _INVALID_BYTE if self.unit == "byte" else ord(REPLACEMENT)
        return np.array([reserved, *self.points], "<u4")


def vocabulary_of(
    unit: str, counts: Mapping[int, int], *, min_count: int = 1, known: Vocabulary | None = None
) -> Vocabulary:
    """The vocabulary of a text: the `known` symbols, then in code point order those that occur `min_count` times.

    Args:
        unit: char or byte.
        counts: Code point or byte -> how often it occurs in the text.
        min_count: Rarer symbols are left out.
        known: Symbols that keep their ids.

    Raises:
        InputError: Too few or too many symbols are left; names the flag to change.
    """
    frequent = [point for point, count in counts.items() if count >= min_count]
    vocabulary = (known or Vocabulary(unit, ())).extended(frequent)
    if known is None and len(frequent) < 2:
        raise InputError(_too_few(unit, counts, min_count, frequent))
    if len(vocabulary.points) > MAX_SYMBOLS:
        raise InputError(_too_many(counts, len(vocabulary.points), min_count))
    return vocabulary


def code_points(text: str, errors: str = "surrogatepass") -> NDArray[np.unsignedinteger[Any]]:
    """The text's code points [characters], uint8 for ASCII, which is the common case, else uint32.

    Raises:
        UnicodeEncodeError: With `errors` "strict", for an unpaired surrogate.
    """
    if text.isascii():
        return np.frombuffer(text.encode("ascii"), np.uint8)
    return np.frombuffer(text.encode("utf-32-le", errors), "<u4")


def _point(symbol: str | int | None, unit: str) -> int:
    if unit == "char" and isinstance(symbol, str) and len(symbol) == 1:
        return ord(symbol)
    if unit == "byte" and isinstance(symbol, int) and 0 <= symbol < _LIMITS[unit]:
        return symbol
    raise InputError(f"The vocabulary's symbol {symbol!r} is not a {unit}.")


def _too_few(unit: str, counts: Mapping[int, int], min_count: int, frequent: Sequence[int]) -> str:
    kind = "character" if unit == "char" else "byte"
    if len(counts) == 1:
        (point,) = counts
        return (
            f"The corpus has one distinct {kind} ({_shown(unit, point)}): a model needs at least 2 to choose between."
        )
    most = max(counts, key=lambda point: counts[point])
    return (
        f"--min-count {min_count} leaves {len(frequent)} of {len(counts):,} symbols, and a model needs at least 2: "
        f"the most frequent, {_shown(unit, most)}, occurs {counts[most]:,} times."
    )


def _too_many(counts: Mapping[int, int], symbols: int, min_count: int) -> str:
    ranked = sorted(counts.values(), reverse=True)
    enough = max(min_count, 1 + ranked[MAX_SYMBOLS]) if len(ranked) > MAX_SYMBOLS else min_count
    kept = [count for count in ranked if count >= enough]
    rarer = ""
    if enough > min_count and sum(kept) >= _WORTH_KEEPING * sum(ranked):
        rarer = f", or leave out rare symbols: --min-count {enough} keeps {len(kept):,}"
    return (
        f"The corpus has {symbols:,} distinct characters, {MAX_SYMBOLS:,} is the most: if a file is binary or wrongly "
        f"decoded, correct --encoding or read bytes with --unit byte{rarer}."
    )


def _shown(unit: str, point: int) -> str:
    return repr(chr(point)) if unit == "char" else f"0x{point:02x}"

"""Symbols <-> ids. Id 0 is reserved: nothing came before, or a symbol outside the vocabulary."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from training.errors import InputError

RESERVED = 0


@dataclass(frozen=True)
class Vocabulary:
    """The characters that a model knows, in id order; `characters[0]` has id 1."""

    characters: str

    @classmethod
    def of(cls, text: str) -> "Vocabulary":
        """Every distinct character of `text`, in code point order.

        Raises:
            InputError: the text has fewer than two distinct characters, so there is nothing to predict.
        """
        characters = "".join(map(chr, np.unique(_code_points(text))))
        if len(characters) < 2:
            raise InputError(
                f"The corpus has one distinct character ({characters!r}): a model needs at least 2 to choose between."
            )
        return cls(characters)

    @classmethod
    def from_json(cls, symbols: Sequence[str | None]) -> "Vocabulary":
        """From the manifest's list, whose item 0 is null."""
        return cls("".join(symbol for symbol in symbols if symbol is not None))

    def to_json(self) -> list[str | None]:
        """The manifest's list: the index is the id."""
        return [None, *self.characters]

    def __len__(self) -> int:
        """V, the reserved id included."""
        return len(self.characters) + 1

    def encode(self, text: str) -> NDArray[np.int32]:
        """Ids of a text's characters; a character outside the vocabulary becomes `RESERVED`."""
        points = _code_points(text)
        nearest = np.minimum(np.searchsorted(self._sorted_points, points), len(self.characters) - 1)
        known = self._sorted_points[nearest] == points
        return np.where(known, self._ids_by_point[nearest], RESERVED).astype(np.int32)

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids, none of them reserved."""
        return "".join(self.characters[id_ - 1] for id_ in ids)

    @cached_property
    def _sorted_points(self) -> NDArray[np.uint32]:
        return np.sort(_code_points(self.characters))

    @cached_property
    def _ids_by_point(self) -> NDArray[np.int64]:
        return np.argsort(_code_points(self.characters)) + 1


def _code_points(text: str) -> NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le"), dtype="<u4")

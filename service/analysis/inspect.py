"""The predictions and activations of the network while it reads a text. Knows no HTTP.

The model is called in the request's thread. Such a call competes with the engines' calls for the cores, so it is short,
and at most one runs at a time.
"""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.model.model import Inspected, Model

CHARS_PER_CALL = 32

Unit = tuple[int, int]
"""A layer, counted from the bottom, and the index of a unit in it."""

_calling = threading.Lock()


@dataclass(frozen=True)
class ReadCall:
    """One call of the model: the characters that it read, and its outputs for the symbols of these."""

    first: int  # index of the first character
    starts: NDArray[np.int64]  # [characters], of each character in the symbols of the call
    ends: NDArray[np.int64]  # [characters], after its last symbol
    found: Inspected

    @property
    def activations(self) -> NDArray[np.float32]:
        """The activations of all units after each character [characters, L, H]."""
        activations: NDArray[np.float32] = self.found.activations[0, self.ends - 1]
        return activations


@dataclass(frozen=True)
class InspectedCharacters:
    """Consecutive characters of a text as the network read them.

    In a byte model the guesses are those of the first byte of a character, and the activations those after its last.
    """

    text: str
    logprobs: NDArray[np.float32]  # [characters]
    guesses: list[list[str]]  # [characters, 5]: the most likely symbols before each character, fewer where V < 5
    guess_logprobs: NDArray[np.float32]  # [characters, 5]
    activations: NDArray[np.float32]  # [characters, units], after each character


def read(model: Model, text: str) -> Iterator[ReadCall]:
    """Read a normalised text from the initial state, a few characters in each call of the model.

    Raises:
        MissingFunction: the version was published without `inspect`.
    """
    ids, ends = model.text.encode(text), model.text.char_ends(text)
    state, start = model.initial_state(1), 0
    for first in range(0, len(text), CHARS_PER_CALL):
        stops = ends[first : first + CHARS_PER_CALL].astype(np.int64) - start
        with _calling:
            found = model.inspect(ids[None, start : start + stops[-1]], state)
        yield ReadCall(first, np.append(0, stops[:-1]), stops, found)
        state, start = found.state, start + int(stops[-1])


def inspect(model: Model, text: str, units: Sequence[Unit]) -> Iterator[InspectedCharacters]:
    """The predictions for each character of a text, and the activations after it.

    Args:
        model: the model.
        text: the text, of any length.
        units: the units whose activations are wanted; they must exist.

    Raises:
        MissingFunction: the version was published without `inspect`.
    """
    codec = model.text
    text = codec.normalize(text)
    layer, unit = np.array(units, np.int64).reshape(-1, 2).T
    for call in read(model, text):
        found = call.found
        yield InspectedCharacters(
            text=text[call.first : call.first + len(call.ends)],
            logprobs=np.add.reduceat(found.logprobs[0], call.starts),
            guesses=[[codec.symbol_text(id_) for id_ in top] for top in found.top_symbols[0, call.starts].tolist()],
            guess_logprobs=found.top_logprobs[0, call.starts],
            activations=call.activations[:, layer, unit],
        )

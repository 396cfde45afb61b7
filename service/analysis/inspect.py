"""The predictions and activations of the network while it reads a text. Knows no HTTP.

The model is called in the request's thread. Such a call competes with the engines' calls for the cores, so it is short,
and at most one runs at a time.
"""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from service.model.model import Model

CHARS_PER_CALL = 32

Unit = tuple[int, int]
"""A layer, counted from the bottom, and the index of a unit in it."""

_calling = threading.Lock()


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


def inspect(model: Model, text: str, units: Sequence[Unit]) -> Iterator[InspectedCharacters]:
    """Read a text from the initial state, a few characters in each call of the model.

    Args:
        model: the model.
        text: the text, of any length.
        units: the units whose activations are wanted; they must exist.

    Raises:
        MissingFunction: the version was published without `inspect`.
    """
    codec = model.text
    text = codec.normalize(text)
    ids, ends = codec.encode(text), codec.char_ends(text)
    layer, unit = np.array(units, np.int64).reshape(-1, 2).T
    state, start = model.initial_state(1), 0
    for first in range(0, len(text), CHARS_PER_CALL):
        stops = ends[first : first + CHARS_PER_CALL] - start  # of the characters, in symbols of this call
        with _calling:
            found = model.inspect(ids[None, start : start + stops[-1]], state)
        starts = np.append(0, stops[:-1])
        yield InspectedCharacters(
            text=text[first : first + CHARS_PER_CALL],
            logprobs=np.add.reduceat(found.logprobs[0], starts),
            guesses=[[codec.symbol_text(id_) for id_ in top] for top in found.top_symbols[0, starts].tolist()],
            guess_logprobs=found.top_logprobs[0, starts],
            activations=found.activations[0, stops - 1][:, layer, unit],
        )
        state, start = found.state, start + int(stops[-1])

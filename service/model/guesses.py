"""The most likely symbols before each symbol of a text, as arrays. Knows no text and no model."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

MAX_GUESSES = 5  # of the artifact's `advance_top`
GUESS = np.dtype([("symbol", np.int32), ("logprob", np.float32)])

Guesses = NDArray[np.void]
"""An array of `GUESS` [symbols, guesses], the most likely guess first."""
NO_GUESSES: Guesses = np.zeros((0, 0), GUESS)  # of any number of symbols, where none were requested


def joined(parts: Sequence[Guesses]) -> Guesses:
    """Consecutive guesses as one array. Without guesses it costs nothing: NumPy takes 5 µs to join even empty ones."""
    return np.concatenate(parts) if parts[0].size else NO_GUESSES


def guesses_of(symbols: NDArray[np.int32], logprobs: NDArray[np.float32]) -> Guesses:
    """A copy of guesses whose symbols and logprobs are two arrays [symbols, guesses]."""
    guesses = np.empty(symbols.shape, GUESS)
    guesses["symbol"], guesses["logprob"] = symbols, logprobs
    return guesses

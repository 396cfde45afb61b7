"""Stop strings: a buffer of characters that may not be sent yet. Knows nothing of where the characters come from."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from service.model.codec import Decoded
from service.model.guesses import NO_GUESSES, Guesses, joined


class StopBuffer:
    """Holds characters back for as long as they may be the beginning of a stop string."""

    def __init__(self, stop_strings: Sequence[str]) -> None:
        self.has_stopped = False
        self._stop_strings = stop_strings
        self._text = ""
        self._logprobs = np.zeros(0, np.float32)
        self._guesses = NO_GUESSES

    def push(self, text: str, logprobs: NDArray[np.float32], guesses: Guesses = NO_GUESSES) -> None:
        """Add characters, with their logprobs and the guesses before them.

        The text ends before the first stop string that is complete; of several that are complete at the same
        character, the longest counts.
        """
        if self._text:
            logprobs = np.concatenate([self._logprobs, logprobs])
            guesses = joined([self._guesses, guesses])
        self._text += text
        self._logprobs, self._guesses = logprobs, guesses
        found = [
            (start + len(string), start) for string in self._stop_strings if (start := self._text.find(string)) >= 0
        ]
        if found:
            _, start = min(found)
            self.has_stopped = True
            self._text, self._logprobs, self._guesses = self._first(start)

    def release(self, *, everything: bool) -> Decoded:
        """Take out the characters that are not part of a stop string in any case, or at the end `everything`."""
        overlaps = (_overlap(self._text, string) for string in self._stop_strings)
        split = len(self._text) - (0 if everything else max(overlaps, default=0))
        released = self._first(split)
        self._text, self._logprobs, self._guesses = self._text[split:], self._logprobs[split:], self._guesses[split:]
        return released

    def _first(self, characters: int) -> Decoded:
        return Decoded(self._text[:characters], self._logprobs[:characters], self._guesses[:characters])


def _overlap(text: str, string: str) -> int:
    """The length of the longest end of `text` that is a beginning of `string`, shorter than all of it."""
    longest = min(len(text), len(string) - 1)
    return next(size for size in range(longest, -1, -1) if text.endswith(string[:size]))

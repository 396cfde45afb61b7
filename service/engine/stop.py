"""Stop strings: what has been sampled and may not be sent yet. Knows characters; nothing of where they come from."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


class Held:
    """Characters with their logprobs that may yet become one of some strings, which is never let through."""

    def __init__(self, strings: Sequence[str]) -> None:
        self.has_stopped = False
        self._strings = strings
        self._text = ""
        self._logprobs = np.zeros(0, np.float32)

    def take(self, text: str, logprobs: NDArray[np.float32]) -> None:
        """Add what was sampled; the string that is complete first, the longest of several, ends the text before it."""
        self._text += text
        self._logprobs = np.concatenate([self._logprobs, logprobs]) if len(self._logprobs) else logprobs
        found = [(start + len(string), start) for string in self._strings if (start := self._text.find(string)) >= 0]
        if found:
            _, start = min(found)
            self.has_stopped = True
            self._text, self._logprobs = self._text[:start], self._logprobs[:start]

    def release(self, *, everything: bool) -> tuple[str, NDArray[np.float32]]:
        """What can no longer be part of a stop string; at the end, everything."""
        kept = 0 if everything else max((_overlap(self._text, string) for string in self._strings), default=0)
        split = len(self._text) - kept
        released = self._text[:split], self._logprobs[:split]
        self._text, self._logprobs = self._text[split:], self._logprobs[split:]
        return released


def _overlap(text: str, string: str) -> int:
    """The length of the longest end of `text` that `string` begins with."""
    longest = min(len(text), len(string) - 1)
    return next(size for size in range(longest, -1, -1) if text.endswith(string[:size]))

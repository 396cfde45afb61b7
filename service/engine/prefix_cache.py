"""States after prompts, by model and prompt: a prompt that begins with a known one costs only what is new in it.

The least recently used go first when their bytes pass the limit. Knows arrays and ids; nothing of rows or text.

A lookup takes one sum over the prompt, however many prefixes are kept: the fingerprint of a prefix is a weighted sum of
its symbols, so that one cumulative sum gives the fingerprints of all prefixes of a prompt. The weights are random and
secret, so that a client cannot choose prompts with equal fingerprints; a digest confirms what a fingerprint found.
"""

import hashlib
import threading
from collections import OrderedDict
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from service import metrics
from service.model.model import Model

ENTRY_BYTES = 600  # of what surrounds an entry's arrays, about


@dataclass(frozen=True)
class Prefix:
    """What a row is after it has followed the first symbols of a prompt."""

    symbols: int
    previous: int  # the last of them
    state: NDArray[np.float32]  # [S, H]


class PrefixCache:
    """Prefixes in at most `max_bytes` of memory. Engines share it."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._prefixes: OrderedDict[int, tuple[Prefix, bytes]] = OrderedDict()  # by fingerprint; newest use last
        self._secret = np.random.default_rng()
        self._weights = np.zeros(0, np.uint64)
        self._models: WeakKeyDictionary[Model, np.uint64] = WeakKeyDictionary()  # what a model adds to fingerprints
        self._bytes = 0
        metrics.CACHE_BYTES.set_function(lambda: self._bytes)

    @property
    def is_on(self) -> bool:
        """Whether anything is kept."""
        return self._max_bytes > 0

    def longest(self, model: Model, prompt: NDArray[np.int32]) -> Prefix | None:
        """The longest known beginning of `prompt` (ids), which may be all of it."""
        fingerprints = self._fingerprints(model, prompt).tolist()
        with self._lock:
            for key in reversed(fingerprints):
                if key in self._prefixes:
                    prefix, digest = self._prefixes[key]
                    if _digest(prompt[: prefix.symbols]) == digest:
                        self._prefixes.move_to_end(key)
                        return prefix
        return None

    def keep(self, model: Model, prompt: NDArray[np.int32], state: NDArray[np.float32]) -> None:
        """Keep the state [S, H] after a whole prompt (ids)."""
        if not self.is_on or not len(prompt):
            return
        key = int(self._fingerprints(model, prompt)[-1])
        entry = Prefix(len(prompt), int(prompt[-1]), state.copy()), _digest(prompt)
        with self._lock:
            if key in self._prefixes:
                self._prefixes.move_to_end(key)
                return
            self._prefixes[key] = entry
            self._bytes += _bytes_of(entry[0])
            while self._bytes > self._max_bytes:
                _, (oldest, _) = self._prefixes.popitem(last=False)
                self._bytes -= _bytes_of(oldest)

    def _fingerprints(self, model: Model, prompt: NDArray[np.int32]) -> NDArray[np.uint64]:
        """Of every beginning of `prompt`, the shortest first. Sums modulo 2**64."""
        with self._lock:
            if model not in self._models:
                self._models[model] = self._secret.integers(0, 2**64, dtype=np.uint64)
            if missing := max(0, len(prompt) - len(self._weights)):
                more = self._secret.integers(0, 2**64, missing + len(self._weights), np.uint64)
                self._weights = np.concatenate([self._weights, more])
            start, weights = self._models[model], self._weights[: len(prompt)]
        return np.cumsum((prompt.astype(np.uint64) + np.uint64(1)) * weights) + start


def _digest(prompt: NDArray[np.int32]) -> bytes:
    return hashlib.blake2b(prompt.tobytes(), digest_size=16).digest()


def _bytes_of(prefix: Prefix) -> int:
    return prefix.state.nbytes + ENTRY_BYTES

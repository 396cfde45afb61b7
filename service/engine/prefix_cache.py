"""A cache of states by model and prompt: a prompt that begins with a cached one needs a prefill of its rest only.

The least recently used entries are evicted when their bytes exceed the limit. Knows arrays and ids, not rows or text.

A lookup takes one sum over the prompt, however many prefixes are cached. The fingerprint of a prefix is a weighted sum
of its symbols, so one cumulative sum gives the fingerprints of all prefixes of a prompt. The weights are random and
secret, so that a client cannot choose prompts with equal fingerprints; a digest confirms each match.
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

ENTRY_BYTES = 600  # approximate size of an entry without its state
MAX_SYMBOLS = 500_000  # of a cached prompt: more fingerprints would delay an engine's rows by over 10 ms


@dataclass(frozen=True)
class Prefix:
    """The inputs of a row that has followed the first symbols of a prompt."""

    symbols: int  # their number
    previous: int  # the last of them
    state: NDArray[np.float32]  # [S, H]


class PrefixCache:
    """Prefixes in at most `max_bytes` of memory. Any number of threads may share it."""

    def __init__(self, max_bytes: int, *, secret: np.random.Generator | None = None) -> None:
        """`secret` draws the weights of fingerprints; by default a generator with a random seed."""
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._prefixes: OrderedDict[int, tuple[Prefix, bytes]] = OrderedDict()  # by fingerprint; last used last
        self._secret = secret or np.random.default_rng()
        self._weights = np.zeros(0, np.uint64)
        self._offsets: WeakKeyDictionary[Model, np.uint64] = WeakKeyDictionary()  # of a model's fingerprints
        self._bytes = 0
        metrics.CACHE_BYTES.set_function(lambda: self._bytes)

    @property
    def is_on(self) -> bool:
        """Whether the limit allows any entry."""
        return self._max_bytes > 0

    def longest(self, model: Model, prompt: NDArray[np.int32]) -> Prefix | None:
        """The longest cached prefix of `prompt` (ids), which may be all of it."""
        prompt = prompt[:MAX_SYMBOLS]  # as no longer one is cached
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
        """Cache a copy of the state [S, H] after all of a prompt (ids), unless the prompt is too long."""
        if not self.is_on or not 0 < len(prompt) <= MAX_SYMBOLS:
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
        """The fingerprint of each prefix of `prompt`, the shortest first. Sums are modulo 2**64."""
        with self._lock:
            if model not in self._offsets:
                self._offsets[model] = self._secret.integers(0, 2**64, dtype=np.uint64)
            if missing := max(0, len(prompt) - len(self._weights)):
                more = self._secret.integers(0, 2**64, missing + len(self._weights), np.uint64)
                self._weights = np.concatenate([self._weights, more])
            offset, weights = self._offsets[model], self._weights[: len(prompt)]
        return np.cumsum((prompt.astype(np.uint64) + np.uint64(1)) * weights) + offset


def _digest(prompt: NDArray[np.int32]) -> bytes:
    return hashlib.blake2b(prompt.tobytes(), digest_size=16).digest()


def _bytes_of(prefix: Prefix) -> int:
    return prefix.state.nbytes + ENTRY_BYTES

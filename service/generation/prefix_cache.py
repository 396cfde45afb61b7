"""States after prompts, by model and prompt: a prompt that begins with a known one costs only what is new in it.

The least recently used go first when their bytes pass the limit. Knows arrays and ids; nothing of rows or text.
"""

import hashlib
import itertools
import threading
from collections import OrderedDict
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from service import metrics
from service.artifact.model import Model

ENTRY_BYTES = 600  # of what surrounds an entry's arrays, about


@dataclass(frozen=True)
class Prefix:
    """What a row is after it has followed the first symbols of a prompt."""

    symbols: int
    previous: int  # the last of them
    state: NDArray[np.float32]  # [S, H]


@dataclass(frozen=True)
class _Key:
    model: int  # of those that it has seen; a version's number may come to mean another model
    symbols: int
    digest: bytes


class PrefixCache:
    """Prefixes in at most `max_bytes` of memory. Engines share it."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._prefixes: OrderedDict[_Key, Prefix] = OrderedDict()  # the most recently used last
        self._lengths: dict[int, dict[int, int]] = {}  # of each model: prompt length -> entries
        self._models: WeakKeyDictionary[Model, int] = WeakKeyDictionary()
        self._seen = itertools.count()
        self._bytes = 0
        metrics.CACHE_BYTES.set_function(lambda: self._bytes)

    @property
    def is_on(self) -> bool:
        """Whether anything is kept."""
        return self._max_bytes > 0

    def longest(self, model: Model, prompt: NDArray[np.int32]) -> Prefix | None:
        """The longest known beginning of `prompt` (ids), which may be all of it."""
        with self._lock:
            number = self._number(model)
            lengths = sorted(length for length in self._lengths.get(number, ()) if length <= len(prompt))
        digests = zip(lengths, _digests(prompt, lengths), strict=True)
        keys = [_Key(number, length, digest) for length, digest in digests]
        with self._lock:
            for key in reversed(keys):
                if prefix := self._prefixes.get(key):
                    self._prefixes.move_to_end(key)
                    return prefix
        return None

    def keep(self, model: Model, prompt: NDArray[np.int32], state: NDArray[np.float32]) -> None:
        """Keep the state [S, H] after a whole prompt (ids)."""
        if not self.is_on or not len(prompt):
            return
        (digest,) = _digests(prompt, [len(prompt)])
        prefix = Prefix(len(prompt), int(prompt[-1]), state.copy())
        with self._lock:
            key = _Key(self._number(model), len(prompt), digest)
            if key in self._prefixes:
                self._prefixes.move_to_end(key)
                return
            self._prefixes[key] = prefix
            self._count(key, 1)
            while self._bytes > self._max_bytes:
                oldest, dropped = next(iter(self._prefixes.items()))
                self._count(oldest, -1)
                del self._prefixes[oldest], dropped

    def _number(self, model: Model) -> int:
        if model not in self._models:
            self._models[model] = next(self._seen)
        return self._models[model]

    def _count(self, key: _Key, change: int) -> None:
        """Note that an entry comes (1) or goes (-1)."""
        self._bytes += change * (self._prefixes[key].state.nbytes + ENTRY_BYTES)
        lengths = self._lengths.setdefault(key.model, {})
        lengths[key.symbols] = lengths.get(key.symbols, 0) + change
        if not lengths[key.symbols]:
            del lengths[key.symbols]
        if not lengths:
            del self._lengths[key.model]


def _digests(prompt: NDArray[np.int32], lengths: list[int]) -> list[bytes]:
    """A digest of each beginning of `prompt`; `lengths` rise."""
    hasher, done, digests = hashlib.blake2b(digest_size=16), 0, []
    for length in lengths:
        hasher.update(prompt[done:length].tobytes())
        digests.append(hasher.digest())
        done = length
    return digests

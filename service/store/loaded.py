"""Versions in memory: each is loaded and proven once, or refused with its reason. Does not know which one answers.

A load holds no lock but that version's own, so whoever asks for anything else does not wait for it.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakValueDictionary

from service import metrics
from service.model.files import Identity
from service.model.model import Model, ModelError
from service.store.folder import Folder, Key

TOLD_AFTER_RELEASE = 4  # versions: their last streams end, and the last scrape has seen them

log = logging.getLogger(__name__)


@dataclass(eq=False)
class Loaded:
    """A version in memory."""

    key: Key
    model: Model
    identity: Identity
    asked_s: float  # when it was loaded, or a request last named it by its number


@dataclass(frozen=True)
class Refusal:
    """Why what lay in a folder is not served."""

    identity: Identity
    reason: str


@dataclass(frozen=True)
class Version:
    """One version, as the catalogue shows it."""

    version: int
    loaded: bool
    refused: str | None


class Memory:
    """The versions of `folder` that were loaded or refused. Any number of threads may ask."""

    def __init__(self, folder: Folder, load: Callable[[Path], Model]) -> None:
        self._folder = folder
        self._load = load
        self._lock = threading.Lock()  # for the tables, never during a load
        self._loaded: dict[Key, Loaded] = {}
        self._released: deque[Key] = deque()  # whose metrics are still told, the latest last
        self._refused: dict[Key, Refusal] = {}
        self._loading: WeakValueDictionary[Key, threading.Lock] = WeakValueDictionary()

    def find(self, key: Key) -> Loaded | None:
        """The version, if it is in memory."""
        return self._loaded.get(key)

    def loaded(self) -> list[Loaded]:
        """Every version in memory."""
        with self._lock:
            return list(self._loaded.values())

    def reason(self, key: Key) -> str | None:
        """Why what lies in the version's folder is refused; None: it is not."""
        refusal = self._refused.get(key)
        return refusal.reason if refusal else None

    def refusals(self, names: Collection[str] | None = None) -> list[str]:
        """Each refusal of these models (None: of all) in a sentence, in the order of names and versions."""
        with self._lock:
            refused = sorted((key, refusal.reason) for key, refusal in self._refused.items())
        return [sentence(key, reason) for key, reason in refused if names is None or key[0] in names]

    def load(self, key: Key) -> Loaded | None:
        """The version as it lies in the folder now, loaded unless it is in memory already.

        Where that is refused or gone it is the version of this number from before, if that is still in memory.
        """
        with self._lock:
            turn = self._loading.setdefault(key, threading.Lock())
        with turn:
            identity, before, refusal = self._folder.identity(key), self.find(key), self._refused.get(key)
            is_judged = any(known and known.identity == identity for known in (before, refusal))
            if identity is None or is_judged:
                return before
            return self._try(key, identity) or before

    def release(self, key: Key) -> None:
        """Forget a version; Python frees it when the last stream that holds it ends."""
        with self._lock:
            if self._loaded.pop(key, None) is None:
                return
            metrics.LOADED.remove(*labels(key))
            self._released.append(key)
            if len(self._released) > TOLD_AFTER_RELEASE:
                metrics.forget(*labels(self._released.popleft()))
        log.info("Version %d of model %r is released.", key[1], key[0])

    def refused(self) -> list[Key]:
        """Every version that is refused."""
        with self._lock:
            return list(self._refused)

    def reconsider(self, key: Key) -> None:
        """Drop the refusal of a version whose folder is no longer what was refused."""
        refusal = self._refused.get(key)
        if refusal and self._folder.identity(key) != refusal.identity:
            with self._lock:
                self._refused.pop(key, None)

    def _try(self, key: Key, identity: Identity) -> Loaded | None:
        try:
            model = self._load(self._folder.path(key))
        except ModelError as error:
            self._refuse(key, Refusal(identity, _one_line(str(error))))
        except Exception as error:
            log.exception("Loading version %d of model %r met what nobody foresaw.", key[1], key[0])
            self._refuse(key, Refusal(identity, _one_line(f"{type(error).__name__}: {error}")))
        else:
            return self._keep(Loaded(key, model, identity, asked_s=time.monotonic()))
        return None

    def _keep(self, loaded: Loaded) -> Loaded:
        with self._lock:
            self._loaded[loaded.key] = loaded
            self._refused.pop(loaded.key, None)
            if loaded.key in self._released:
                self._released.remove(loaded.key)
            metrics.LOADS.labels(*labels(loaded.key)).inc()
            metrics.LOADED.labels(*labels(loaded.key)).set(1)
        return loaded

    def _refuse(self, key: Key, refusal: Refusal) -> None:
        if self._folder.identity(key) != refusal.identity:
            return  # it was taken away or is still being written: the next look will judge what is there then
        with self._lock:
            self._refused[key] = refusal
            metrics.REFUSALS.labels(*labels(key)).inc()
        log.error("%s", sentence(key, refusal.reason))


def labels(key: Key) -> tuple[str, str]:
    """The labels that metrics have for a version."""
    return key[0], str(key[1])


def sentence(key: Key, reason: str) -> str:
    """A refusal as the log and clients read it."""
    return f"{words(key)} is refused: {reason}."


def words(key: Key) -> str:
    """A version as the log and clients read it."""
    return f"Version {key[1]} of model {key[0]!r}"


def _one_line(reason: str) -> str:
    return " ".join(reason.split()).rstrip(".")

"""The versions in memory: each is loaded and verified once, or refused with its reason. Does not know which one serves.

A load holds the lock of its own version only, so requests for other versions do not wait for it.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakValueDictionary

from service import metrics
from service.model.files import Identity
from service.model.model import Model, ModelError
from service.model.version import ModelVersion
from service.store.errors import refused_because
from service.store.folder import Folder

METRICS_KEPT_AFTER_RELEASE = 4  # versions: their last streams end, and Prometheus scrapes them once more

log = logging.getLogger(__name__)


@dataclass(eq=False)
class LoadedVersion:
    """A version in memory."""

    version: ModelVersion
    model: Model
    identity: Identity
    requested_s: float  # monotonic time of its load or of the last request that named its number


@dataclass(frozen=True)
class Refusal:
    """The reason for which the content of a version's folder is not served."""

    identity: Identity
    reason: str


class LoadedVersions:
    """The versions of `folder` that were loaded or refused. Safe for any number of threads."""

    def __init__(self, folder: Folder, load: Callable[[Path], Model]) -> None:
        """`load` loads and verifies a version's folder, and raises ModelError if it is not valid."""
        self._folder = folder
        self._load = load
        self._lock = threading.Lock()  # for the tables, never held during a load
        self._loaded: dict[ModelVersion, LoadedVersion] = {}
        self._released: deque[ModelVersion] = deque()  # oldest first; their metrics are still exposed
        self._refused: dict[ModelVersion, Refusal] = {}
        self._loading: WeakValueDictionary[ModelVersion, threading.Lock] = WeakValueDictionary()

    def get(self, version: ModelVersion) -> LoadedVersion | None:
        """The version if it is in memory."""
        return self._loaded.get(version)

    def all(self) -> list[LoadedVersion]:
        """Every version in memory."""
        with self._lock:
            return list(self._loaded.values())

    def load(self, version: ModelVersion) -> LoadedVersion | None:
        """Load the version as its folder is now, unless this content is in memory or refused already.

        Returns:
            The version. If the folder is absent or its content refused: the version with this number that was loaded
            before, if it is still in memory.
        """
        with self._lock:
            lock = self._loading.setdefault(version, threading.Lock())
        with lock:
            identity = self._folder.identity(version)
            before, refusal = self.get(version), self._refused.get(version)
            is_known = any(known and known.identity == identity for known in (before, refusal))
            if identity is None or is_known:
                return before
            return self._try(version, identity) or before

    def load_newest(self, versions: Iterable[ModelVersion]) -> LoadedVersion | None:
        """Load the newest of these versions of a model that is valid; None if none is."""
        return next(filter(None, map(self.load, sorted(versions, reverse=True))), None)

    def release(self, version: ModelVersion) -> None:
        """Remove a version; Python frees its memory when the last stream that holds it ends."""
        with self._lock:
            if self._loaded.pop(version, None) is None:
                return
            metrics.LOADED.remove(*version.labels)
            self._released.append(version)
            if len(self._released) > METRICS_KEPT_AFTER_RELEASE:
                metrics.forget(*self._released.popleft().labels)
        log.info("Version %s is released.", version)

    def refusal_reason(self, version: ModelVersion) -> str | None:
        """The reason for which the version's folder is refused; None if it is not."""
        refusal = self._refused.get(version)
        return refusal.reason if refusal else None

    def refused(self) -> list[ModelVersion]:
        """Every version that is refused."""
        with self._lock:
            return list(self._refused)

    def refusals(self, names: Collection[str] | None = None) -> list[str]:
        """A sentence for each refused version of these models (None: of all), by name and number."""
        with self._lock:
            refused = sorted((version, refusal.reason) for version, refusal in self._refused.items())
        return [refused_because(*entry) for entry in refused if names is None or entry[0].name in names]

    def reconsider(self, version: ModelVersion) -> None:
        """Drop the refusal of a version whose folder has changed since."""
        refusal = self._refused.get(version)
        if refusal and self._folder.identity(version) != refusal.identity:
            with self._lock:
                self._refused.pop(version, None)

    def _try(self, version: ModelVersion, identity: Identity) -> LoadedVersion | None:
        try:
            model = self._load(self._folder.path(version))
        except ModelError as error:
            self._refuse(version, Refusal(identity, _one_line(str(error))))
        except Exception as error:
            log.exception("Unexpected error while version %s was loaded.", version)
            self._refuse(version, Refusal(identity, _one_line(f"{type(error).__name__}: {error}")))
        else:
            return self._keep(LoadedVersion(version, model, identity, requested_s=time.monotonic()))
        return None

    def _keep(self, loaded: LoadedVersion) -> LoadedVersion:
        version = loaded.version
        with self._lock:
            self._loaded[version] = loaded
            self._refused.pop(version, None)
            if version in self._released:
                self._released.remove(version)
            metrics.LOADS.labels(*version.labels).inc()
            metrics.LOADED.labels(*version.labels).set(1)
        return loaded

    def _refuse(self, version: ModelVersion, refusal: Refusal) -> None:
        if self._folder.identity(version) != refusal.identity:
            return  # removed, or still being written: the next poll judges the new content
        with self._lock:
            self._refused[version] = refusal
            metrics.REFUSALS.labels(*version.labels).inc()
        log.error("%s", refused_because(version, refusal.reason))


def _one_line(reason: str) -> str:
    return " ".join(reason.split()).rstrip(".")

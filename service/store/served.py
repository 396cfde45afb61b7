"""The version of each model that serves, and which model is the default. Loads nothing."""

import logging
import math
import threading

from service import metrics
from service.store.loaded import LoadedVersion

log = logging.getLogger(__name__)


class ServedVersions:
    """One loaded version for each model that has been requested. Safe for any number of threads."""

    def __init__(self) -> None:
        self.default_name: str | None = None
        """The model that answers requests that name none."""
        self._lock = threading.Lock()
        self._served: dict[str, LoadedVersion] = {}

    def get(self, name: str | None) -> LoadedVersion | None:
        """The version of a model that serves, if one does."""
        return self._served.get(name) if name else None

    def names(self) -> list[str]:
        """Every model of which a version serves."""
        with self._lock:
            return list(self._served)

    def default(self) -> LoadedVersion | None:
        """The version of the default model that serves, if one does."""
        return self.get(self.default_name)

    def serve(self, loaded: LoadedVersion, *, unless_served: bool = False) -> LoadedVersion:
        """Let a version serve in place of its model's present one.

        Args:
            loaded: the version.
            unless_served: keep the present one, if there is one.

        Returns:
            The version that now serves.
        """
        version = loaded.version
        with self._lock:
            before = self._served.get(version.name)
            if before and (before is loaded or unless_served):
                return before
            self._served[version.name] = loaded
            loaded.requested_s = -math.inf  # once another version serves, it is released at once
            metrics.SERVED.labels(*version.labels).set(1)
            if before and before.version != version:
                metrics.SERVED.remove(*before.version.labels)
        log.info("Version %s now serves.", version)
        return loaded

    def withdraw(self, name: str) -> None:
        """Let no version of a model serve."""
        with self._lock:
            served = self._served.pop(name, None)
            if served is None:
                return
            metrics.SERVED.remove(*served.version.labels)
        log.info("Model %r is gone.", name)

"""Brings the loaded and served versions up to date with the folder. Knows nothing of requests or threads."""

import time

from service.store.failures import Failures
from service.store.folder import Folder
from service.store.loaded import LoadedVersions
from service.store.served import ServedVersions


class Updater:
    """Loads new versions, lets the newest valid one of each model serve, and releases those that are not needed.

    A failure concerns one model or version, which stays as it is until the next update.
    """

    def __init__(
        self,
        folder: Folder,
        loaded: LoadedVersions,
        served: ServedVersions,
        *,
        configured_default: str | None,
        idle_seconds: float,
    ) -> None:
        self._folder, self._loaded, self._served = folder, loaded, served
        self._configured_default = configured_default
        self._idle_s = idle_seconds
        self._failures = Failures()

    def update(self) -> None:
        """Read the folder once and apply the differences."""
        with self._failures.caught("The store"):
            names = self._folder.names()
            self._reconsider_refused()
            self._update_default(names)
            for name in self._served.names():
                if name != self._served.default_name:
                    self._update_model(name)
            self._release_idle()

    def _reconsider_refused(self) -> None:
        for version in self._loaded.refused():
            with self._failures.caught(f"Version {version}"):
                self._loaded.reconsider(version)

    def _update_default(self, names: list[str]) -> None:
        """Keep the default model while it has a valid version; else choose another one of `names`."""
        if default := self._served.default_name:
            self._update_model(default)
            if self._configured_default or self._served.get(default):
                return
        for name in self._folder.oldest_first(names):
            self._update_model(name)
            if self._served.get(name):
                self._served.default_name = name
                return
        self._served.default_name = None

    def _update_model(self, name: str) -> None:
        """Let the newest valid version of a model serve; none if the model has no versions."""
        with self._failures.caught(f"Model {name!r}"):
            versions = self._folder.versions(name)
            if not versions:
                self._served.withdraw(name)
            elif newest := self._loaded.load_newest(versions):
                self._served.serve(newest)

    def _release_idle(self) -> None:
        """Release versions that neither serve nor were requested lately; reload the others if their folder changed."""
        for loaded in self._loaded.all():
            version = loaded.version
            if self._served.get(version.name) is loaded:
                continue
            with self._failures.caught(f"Version {version}"):
                is_idle = time.monotonic() - loaded.requested_s >= self._idle_s
                if is_idle or version not in self._folder.versions(version.name):
                    self._loaded.release(version)
                else:
                    self._loaded.load(version)

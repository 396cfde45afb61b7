"""Answers requests for models: by default with the newest valid version, swapped while the service runs.

Does not know how versions are stored (`folder.py`), loaded (`loaded.py`) or swapped (`updater.py`).
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.model.files import FileError
from service.model.manifest import Manifest
from service.model.model import Model
from service.model.version import ModelVersion
from service.store.errors import NoModel, NotFound, reading, refused_because
from service.store.folder import Folder
from service.store.loaded import LoadedVersion, LoadedVersions
from service.store.mirror import Mirror
from service.store.poller import Poller
from service.store.served import ServedVersions
from service.store.updater import Updater

__all__ = ["NoModel", "NotFound", "Store", "VersionStatus"]

IDLE_SECONDS = 60.0


@dataclass(frozen=True)
class VersionStatus:
    """One version in the list of a model's versions."""

    version: int
    loaded: bool
    refused: str | None


class Store:
    """Models by name and version, for any number of request threads and one that polls."""

    def __init__(
        self,
        folder: Path,
        default: str | None,
        load: Callable[[Path], Model],
        *,
        idle_seconds: float = IDLE_SECONDS,
        mirror: Mirror | None = None,
    ) -> None:
        """Load nothing yet.

        Args:
            folder: the folder of the models.
            default: the model that answers requests that name none; None: the model whose oldest version was created
                first, for as long as it has a valid version.
            load: loads and verifies a version's folder.
            idle_seconds: time after its last request at which a version that does not serve is released.
            mirror: copies a bucket into the folder at each poll.
        """
        self._folder = Folder(folder)
        self._mirror = mirror
        self._loaded = LoadedVersions(self._folder, load)
        self._configured_default = default
        self._served = ServedVersions()
        self._served.default_name = default
        self._updater = Updater(
            self._folder, self._loaded, self._served, configured_default=default, idle_seconds=idle_seconds
        )
        self._polling = threading.Lock()
        self._poller: Poller | None = None

    def names(self) -> list[str]:
        """Every model that has a version, in alphabetical order.

        Raises:
            NoModel: the store cannot be read.
        """
        with reading(self._folder.root):
            return self._folder.names()

    def default_name(self) -> str:
        """The model that answers requests that name none, or would if it had a valid version.

        Raises:
            NoModel: the store is empty or cannot be read.
        """
        return self._served.default_name or self._candidates()[0]

    def get(self, name: str | None = None, version: int | None = None) -> Model:
        """The model for a request: by default the default model, in the version that serves.

        A version in memory is returned at once. Another one is loaded; only requests for the same version wait for it.

        Raises:
            NoModel: the request names nothing and no model has a valid version, or the store cannot be read.
            NotFound: the named model or version is absent or refused.
        """
        if version is not None:
            return self._numbered(ModelVersion(self.default_name() if name is None else name, version))
        if name is None:
            return self._default_model()
        if loaded := self._newest(name):
            return loaded.model
        raise self._model_not_found(name)

    def ready(self) -> Model:
        """The model that answers requests that name none. Does not load it and does not wait for it.

        Raises:
            NoModel: it is not in memory; the message says why.
        """
        if loaded := self._served.default():
            return loaded.model
        raise self._no_default()

    def served(self, name: str) -> int | None:
        """The version of a model that serves, or would if it were requested; None: no version is valid.

        Raises:
            NoModel, NotFound: as `versions`.
        """
        if loaded := self._served.get(name):
            return loaded.version.number
        return next((row.version for row in reversed(self.versions(name)) if not row.refused), None)

    def versions(self, name: str) -> list[VersionStatus]:
        """The versions of a model, oldest first, including one whose folder is gone while it still serves.

        Raises:
            NoModel: the store cannot be read.
            NotFound: there is no such model.
        """
        in_memory = {loaded.version for loaded in self._loaded.all() if loaded.version.name == name}
        with reading(self._folder.root):
            versions = sorted(in_memory.union(self._folder.versions(name)))
        if not versions:
            raise self._model_not_found(name)
        return [
            VersionStatus(version.number, version in in_memory, self._loaded.refusal_reason(version))
            for version in versions
        ]

    def manifest(self, name: str, version: int) -> dict[str, Any]:
        """All fields of a version's manifest. Loads no model.

        Raises:
            NoModel, NotFound: as `get`.
        """
        wanted = ModelVersion(name, version)
        if loaded := self._loaded.get(wanted):
            return loaded.model.manifest.fields
        with reading(self._folder.root):
            exists = wanted in self._folder.versions(name)
        if not exists or self._loaded.refusal_reason(wanted):
            raise self._version_not_found(wanted)
        try:
            return Manifest.read(self._folder.path(wanted)).fields
        except FileError as error:
            raise NotFound(refused_because(wanted, str(error)), "version") from error

    def history(self, name: str, version: int) -> tuple[list[dict[str, Any]], str | None]:
        """The evaluations during a version's training (see `Folder.history`)."""
        return self._folder.history(ModelVersion(name, version))

    def refusals(self) -> list[str]:
        """A sentence for each refused version, with the reason."""
        damaged = self._mirror.refusals() if self._mirror else []
        return [*damaged, *self._loaded.refusals()]

    def start_polling(self, seconds: float) -> None:
        """Call `poll` every `seconds` in a thread of its own until `close`."""
        self._poller = Poller(self.poll, seconds)

    def close(self) -> None:
        """Stop polling; returns when a poll that is running has ended."""
        if self._mirror:
            self._mirror.close()
        if self._poller:
            self._poller.close()
            self._poller = None

    def faults(self) -> list[str]:
        """A sentence if the polling thread has ended or is stuck; none before `start_polling` and after `close`."""
        fault = self._poller.fault() if self._poller else None
        return [fault] if fault else []

    def poll(self) -> None:
        """Load and serve new versions, and release those that are not needed. Raises nothing."""
        with self._polling:
            if self._mirror:
                self._mirror.update()
            self._updater.update()

    def _default_model(self) -> Model:
        if loaded := self._served.default():
            return loaded.model
        for name in self._candidates():
            if loaded := self._newest(name):
                self._served.default_name = self._served.default_name or name
                return loaded.model
        raise self._no_default()

    def _candidates(self) -> list[str]:
        """The models that may be the default, in order of preference."""
        if self._configured_default:
            return [self._configured_default]
        if names := self.names():
            return self._folder.oldest_first(names)
        if self._mirror and self._mirror.fault:
            raise NoModel(self._mirror.fault)
        raise NoModel(f"There is no model in {self._folder.root} yet: train one, and it will be served.")

    def _newest(self, name: str) -> LoadedVersion | None:
        """The version of a model that serves; its newest valid one is loaded if none does."""
        if loaded := self._served.get(name):
            return loaded
        with reading(self._folder.root):
            newest = self._loaded.load_newest(self._folder.versions(name))
        # A poll may have loaded a newer one meanwhile.
        return newest and self._served.serve(newest, unless_served=True)

    def _numbered(self, version: ModelVersion) -> Model:
        loaded = self._loaded.get(version)
        if loaded is None:
            with reading(self._folder.root):
                loaded = self._loaded.load(version) if version in self._folder.versions(version.name) else None
        if loaded is None:
            raise self._version_not_found(version)
        loaded.requested_s = time.monotonic()
        return loaded.model

    def _no_default(self) -> NoModel:
        """The reason for which no default model answers, with every refusal that contributes to it."""
        name, *others = self._candidates()
        with reading(self._folder.root):
            versions = self._folder.versions(name)
        all_refused = all(self._loaded.refusal_reason(version) for version in versions)
        problem = f"has no valid version in {self._folder.root}" if all_refused else "is not loaded yet"
        return NoModel(" ".join([f"The default model {name!r} {problem}.", *self._loaded.refusals([name, *others])]))

    def _model_not_found(self, name: str) -> NotFound:
        if refusals := self._loaded.refusals([name]):
            return NotFound(f"Model {name!r} has no valid version. {refusals[-1]}", "model")
        return NotFound(f"There is no model {name!r}.", "model")

    def _version_not_found(self, version: ModelVersion) -> NotFound:
        if reason := self._loaded.refusal_reason(version):
            return NotFound(refused_because(version, reason), "version")
        return NotFound(f"Model {version.name!r} has no version {version.number}.", "version")

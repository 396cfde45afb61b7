"""Which version of which model answers: the newest whole one of each model that is asked for, swapped while it serves.

Knows neither files (`folder.py`) nor how a version is loaded or refused (`memory.py`).
"""

import logging
import math
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from service import metrics
from service.model.files import FileError
from service.model.manifest import Manifest
from service.model.model import Model
from service.store.errors import NoModel, NotFound, reading
from service.store.folder import Folder, Key
from service.store.loaded import Loaded, Memory, Version, labels, sentence, words
from service.store.poller import Troubles, Watch

__all__ = ["NoModel", "NotFound", "Store", "Version"]

log = logging.getLogger(__name__)

IDLE_SECONDS = 60.0


class Store:
    """Models by name and version, for any number of request threads and one that polls."""

    def __init__(
        self, folder: Path, default: str | None, load: Callable[[Path], Model], *, idle_seconds: float = IDLE_SECONDS
    ) -> None:
        """Load nothing yet.

        Args:
            folder: where the models lie.
            default: the model that answers where a request names none; None: the one whose oldest version was created
                first, for as long as it has a valid version.
            load: loads and proves a version folder.
            idle_seconds: how long a version that does not serve stays after the last request that named it.
        """
        self._folder = Folder(folder)
        self._memory = Memory(self._folder, load)
        self._configured = default
        self._default = default
        self._idle_s = idle_seconds
        self._lock = threading.Lock()  # for the two tables of who answers, never during a load
        self._served: dict[str, Loaded] = {}
        self._polling = threading.Lock()
        self._troubles = Troubles()
        self._watch: Watch | None = None

    def names(self) -> list[str]:
        """Every model that has a version, in alphabetical order.

        Raises:
            NoModel: the store cannot be read.
        """
        with reading(self._folder.root):
            return self._folder.names()

    def default_name(self) -> str:
        """The model that answers where a request names none, or would if it had a valid version.

        Raises:
            NoModel: the store is empty, or cannot be read.
        """
        return self._default or self._candidates()[0]

    def get(self, name: str | None = None, version: int | None = None) -> Model:
        """The model to answer with: by default the default model, and of a model the version that serves.

        What is in memory comes at once. What is not is loaded, and only who asks for the same version waits for it.

        Raises:
            NoModel: nothing was named and the store has nothing whole, or it cannot be read.
            NotFound: what was named is not there, or was refused.
        """
        if version is not None:
            return self._numbered((self.default_name() if name is None else name, version))
        if name is None:
            return self._default_model()
        if loaded := self._answering(name):
            return loaded.model
        raise self._no_model(name)

    def ready(self) -> Model:
        """The model that answers where a request names none; loads nothing and waits for nothing.

        Raises:
            NoModel: it is not in memory; the message says why.
        """
        if self._default and (loaded := self._served.get(self._default)):
            return loaded.model
        raise self._no_default()

    def served(self, name: str) -> int | None:
        """The version of a model that answers, or would if the model were asked for; None: none is whole."""
        if loaded := self._served.get(name):
            return loaded.key[1]
        return next((row.version for row in reversed(self.versions(name)) if not row.refused), None)

    def versions(self, name: str) -> list[Version]:
        """The versions of a model, oldest first; one whose folder is gone is among them as long as it serves.

        Raises:
            NoModel: the store cannot be read.
            NotFound: there is no such model.
        """
        in_memory = {loaded.key[1] for loaded in self._memory.loaded() if loaded.key[0] == name}
        with reading(self._folder.root):
            numbers = sorted(in_memory.union(self._folder.versions(name)))
        if not numbers:
            raise self._no_model(name)
        return [Version(number, number in in_memory, self._memory.reason((name, number))) for number in numbers]

    def manifest(self, name: str, version: int) -> dict[str, Any]:
        """All that a version's manifest says. Loads no model.

        Raises:
            NoModel, NotFound: as `get`.
        """
        key = name, version
        if loaded := self._memory.find(key):
            return loaded.model.manifest.fields
        with reading(self._folder.root):
            is_there = version in self._folder.versions(name)
        if not is_there or self._memory.reason(key):
            raise self._not_found(key)
        try:
            return Manifest.read(self._folder.path(key)).fields
        except FileError as error:
            raise NotFound(sentence(key, str(error)), "version") from error

    def history(self, name: str, version: int) -> tuple[list[dict[str, Any]], str | None]:
        """The evaluations during a version's training, oldest first, and why some or all of them are missing."""
        return self._folder.history((name, version))

    def refusals(self) -> list[str]:
        """Why each refused version is not served."""
        return self._memory.refusals()

    def watch(self, poll_seconds: float) -> None:
        """Poll in a thread of its own until `close`."""
        self._watch = Watch(self.poll, poll_seconds)

    def close(self) -> None:
        """Stop polling, after the look that may be under way."""
        if self._watch:
            self._watch.close()
            self._watch = None

    def faults(self) -> list[str]:
        """What is wrong with the thread that polls, in a sentence; nothing before `watch` and after `close`."""
        fault = self._watch.fault() if self._watch else None
        return [fault] if fault else []

    def poll(self) -> None:
        """One look into the folder: what is new is loaded and then serves, what no longer serves is released.

        Nothing that goes wrong here gets out: what it concerns stays as it is until the next look.
        """
        with self._polling, self._troubles.surviving("The store"):
            names = self._folder.names()
            self._reconsider()
            self._follow_default(names)
            for name in list(self._served):
                if name != self._default:
                    self._follow(name)
            self._release()

    def _follow_default(self, names: list[str]) -> None:
        """Keep the default model as long as it has a valid version; else choose another of these."""
        if self._default:
            self._follow(self._default)
            if self._configured or self._default in self._served:
                return
        for name in self._folder.oldest_first(names):
            self._follow(name)
            if name in self._served:
                self._default = name
                return
        self._default = None

    def _follow(self, name: str) -> None:
        """Let the newest whole version of a model serve; none lies there: the model is gone."""
        with self._troubles.surviving(f"Model {name!r}"):
            numbers = self._folder.versions(name)
            if not numbers:
                self._withdraw(name)
            elif newest := self._newest_whole(name, numbers):
                self._serve(newest)

    def _newest_whole(self, name: str, numbers: list[int]) -> Loaded | None:
        return next(filter(None, (self._memory.load((name, number)) for number in reversed(numbers))), None)

    def _reconsider(self) -> None:
        for key in self._memory.refused():
            with self._troubles.surviving(words(key)):
                self._memory.reconsider(key)

    def _release(self) -> None:
        """Let go of what does not serve and nobody names; what is named follows its folder."""
        for loaded in self._memory.loaded():
            name, version = loaded.key
            if self._served.get(name) is loaded:
                continue
            with self._troubles.surviving(words(loaded.key)):
                is_idle = time.monotonic() - loaded.asked_s >= self._idle_s
                if is_idle or version not in self._folder.versions(name):
                    self._memory.release(loaded.key)
                else:
                    self._memory.load(loaded.key)

    def _default_model(self) -> Model:
        if self._default and (loaded := self._served.get(self._default)):
            return loaded.model
        for name in self._candidates():
            if loaded := self._answering(name):
                self._default = self._default or name
                return loaded.model
        raise self._no_default()

    def _candidates(self) -> list[str]:
        """The models that may be the default one, the first choice first."""
        if self._configured:
            return [self._configured]
        if names := self.names():
            return self._folder.oldest_first(names)
        raise NoModel(f"There is no model in {self._folder.root} yet: train one, and it will be served.")

    def _answering(self, name: str) -> Loaded | None:
        if loaded := self._served.get(name):
            return loaded
        with reading(self._folder.root):
            newest = self._newest_whole(name, self._folder.versions(name))
        return newest and self._serve(newest, unless_served=True)

    def _numbered(self, key: Key) -> Model:
        name, version = key
        loaded = self._memory.find(key)
        if loaded is None:
            with reading(self._folder.root):
                loaded = self._memory.load(key) if version in self._folder.versions(name) else None
        if loaded is None:
            raise self._not_found(key)
        loaded.asked_s = time.monotonic()
        return loaded.model

    def _no_default(self) -> NoModel:
        """Why no default model answers, with every refusal that is a reason for it."""
        name, *others = self._candidates()
        with reading(self._folder.root):
            numbers = self._folder.versions(name)
        is_refused = all(self._memory.reason((name, number)) for number in numbers)
        problem = f"has no valid version in {self._folder.root}" if is_refused else "is not loaded yet"
        return NoModel(" ".join([f"The default model {name!r} {problem}.", *self._memory.refusals([name, *others])]))

    def _no_model(self, name: str) -> NotFound:
        if refusals := self._memory.refusals([name]):
            return NotFound(f"Model {name!r} has no valid version. {refusals[-1]}", "model")
        return NotFound(f"There is no model {name!r} here.", "model")

    def _not_found(self, key: Key) -> NotFound:
        if reason := self._memory.reason(key):
            return NotFound(sentence(key, reason), "version")
        return NotFound(f"There is no version {key[1]} of model {key[0]!r} here.", "version")

    def _serve(self, loaded: Loaded, *, unless_served: bool = False) -> Loaded:
        """Let a version answer, and return the one that does: a request's first load gives way to the poller's."""
        name, version = loaded.key
        with self._lock:
            before = self._served.get(name)
            if before and (before is loaded or unless_served):
                return before
            self._served[name] = loaded
            loaded.asked_s = -math.inf  # it was loaded to serve: once it does not, nobody waits for it
            metrics.SERVED.labels(*labels(loaded.key)).set(1)
            if before and before.key != loaded.key:
                metrics.SERVED.remove(*labels(before.key))
        log.info("Version %d of model %r now serves.", version, name)
        return loaded

    def _withdraw(self, name: str) -> None:
        with self._lock:
            served = self._served.pop(name, None)
            if served is None:
                return
            metrics.SERVED.remove(*labels(served.key))
        log.info("Model %r is gone.", name)

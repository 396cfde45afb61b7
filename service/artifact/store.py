"""The folder of versions: which there are, which are whole, which one answers. Loads what is asked for, once."""

import json
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from service.artifact.manifest import NAME
from service.artifact.model import Model, ModelError

log = logging.getLogger(__name__)


class NoModel(Exception):
    """The store has nothing to serve yet."""


class NotFound(Exception):
    """No such model or version; `param` is the field that named it."""

    def __init__(self, message: str, param: str) -> None:
        super().__init__(message)
        self.param = param


@dataclass(frozen=True)
class Version:
    """One version folder, as the catalogue shows it."""

    version: int
    loaded: bool
    refused: str | None


class Store:
    """Models by name and version. A broken version is refused once, with its reason, and the one before it serves."""

    def __init__(self, folder: Path, default: str | None, load: Callable[[Path], Model]) -> None:
        self._folder = folder
        self._default = default
        self._load = load
        self._loading = threading.Lock()
        self._models: dict[tuple[str, int], Model] = {}
        self._refusals: dict[tuple[str, int], str] = {}

    def names(self) -> list[str]:
        """Every model that has a version, in alphabetical order."""
        children = (child.name for child in self._folder.iterdir() if NAME.fullmatch(child.name))
        return sorted(name for name in children if self._version_numbers(name))

    def default_name(self) -> str:
        """The model that answers where a request names none: as configured, else the first in the alphabet.

        Raises:
            NoModel: the store is empty.
        """
        if self._default:
            return self._default
        names = self.names()
        if not names:
            raise NoModel(f"There is no model in {self._folder} yet: train one, and it will be served.")
        return names[0]

    def get(self, name: str | None = None, version: int | None = None) -> Model:
        """The model to answer with: by default the default model, and of a model the newest whole version.

        Raises:
            NoModel: nothing was named and the store has nothing whole.
            NotFound: what was named is not there, or was refused.
        """
        wanted = self.default_name() if name is None else name
        if version is not None:
            return self._get(wanted, version)
        for number in reversed(self._version_numbers(wanted)):
            try:
                return self._get(wanted, number)
            except NotFound:
                continue  # refused, and said so in the log
        if name is None:
            raise NoModel(f"The default model {wanted!r} has no whole version in {self._folder}.")
        raise NotFound(f"There is no model {name!r} here.", "model")

    def versions(self, name: str) -> list[Version]:
        """The versions of a model, oldest first.

        Raises:
            NotFound: there is no such model.
        """
        numbers = self._version_numbers(name)
        if not numbers:
            raise NotFound(f"There is no model {name!r} here.", "model")
        return [
            Version(number, (name, number) in self._models, self._refusals.get((name, number))) for number in numbers
        ]

    def history(self, name: str, version: int) -> list[dict[str, Any]]:
        """The evaluations during a version's training, oldest first."""
        path = self._folder / name / str(version) / "assets.extra" / "history.jsonl"
        if not path.exists():
            return []
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]

    def refusals(self) -> list[str]:
        """Why each refused version is not served."""
        return [_refusal(*key, reason) for key, reason in sorted(self._refusals.items())]

    def _get(self, name: str, version: int) -> Model:
        key = (name, version)
        with self._loading:
            if key not in self._models and key not in self._refusals:
                self._try_to_load(name, version)
            if key in self._models:
                return self._models[key]
        if (reason := self._refusals.get(key)) is not None:
            raise NotFound(_refusal(name, version, reason), "version")
        raise NotFound(f"There is no version {version} of model {name!r} here.", "version")

    def _try_to_load(self, name: str, version: int) -> None:
        if version not in self._version_numbers(name):
            return
        try:
            self._models[name, version] = self._load(self._folder / name / str(version))
        except ModelError as error:
            self._refusals[name, version] = str(error)
            log.error("%s", _refusal(name, version, str(error)))

    def _version_numbers(self, name: str) -> list[int]:
        """Of a folder's children only positive integers are versions; the rest is somebody else's."""
        folder = self._folder / name
        if not NAME.fullmatch(name) or not folder.is_dir():
            return []
        names = (child.name for child in folder.iterdir() if child.is_dir())
        return sorted(int(name) for name in names if name.isascii() and name.isdigit() and not name.startswith("0"))


def _refusal(name: str, version: int, reason: str) -> str:
    return f"Version {version} of model {name!r} is refused: {reason}."

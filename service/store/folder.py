"""The store as it lies on disk: which models and versions there are, and whether one is still the one it was.

Loads nothing and remembers nothing.
"""

import math
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

from service.model import files
from service.model.files import FileError, Identity
from service.model.manifest import NAME, Manifest

HISTORY = "assets.extra/history.jsonl"
MAX_HISTORY_BYTES = 16 * 2**20  # an evaluation takes about one KB

Key = tuple[str, int]
"""A model's name and a version of it."""


class Folder:
    """The folder `<name>/<version>/`. What cannot be read raises OSError; what is not there is not in the lists."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, key: Key) -> Path:
        """Where a version lies, if it is there."""
        name, version = key
        return self.root / name / str(version)

    def names(self) -> list[str]:
        """Every model that has a version, in alphabetical order."""
        children = (child.name for child in self.root.iterdir() if NAME.fullmatch(child.name))
        return sorted(filter(self._may_have_versions, children))

    def versions(self, name: str) -> list[int]:
        """The versions of a model, oldest first: positive integers; everything else is somebody else's."""
        if not NAME.fullmatch(name):
            return []
        try:
            with os.scandir(self.root / name) as children:
                return sorted(int(child.name) for child in children if _is_number(child.name) and child.is_dir())
        except (FileNotFoundError, NotADirectoryError):
            os.stat(self.root)  # raises if it is the whole store that went away
            return []

    def identity(self, key: Key) -> Identity | None:
        """A value that differs for a version put in place of another; None where there is none."""
        path = self.path(key)
        return files.identity(path) if path.is_dir() else None

    def oldest_first(self, names: list[str]) -> list[str]:
        """These models by the time at which the oldest version that says it was created; those that say none last."""
        return sorted(names, key=lambda name: (self._created_s(name), name))

    def history(self, key: Key) -> tuple[list[dict[str, Any]], str | None]:
        """The evaluations during a version's training, oldest first, and why some or all of them are missing."""
        try:
            lines = files.read(self.path(key), HISTORY, MAX_HISTORY_BYTES).split(b"\n")
        except FileNotFoundError:
            return [], None
        except FileError as error:
            return [], f"Version {key[1]} of model {key[0]!r} has no history to show: {error}."
        evaluations = [_evaluation(line) for line in lines if line.strip()]
        readable = [evaluation for evaluation in evaluations if evaluation is not None]
        if damaged := len(evaluations) - len(readable):
            return readable, f"{damaged} of the {len(evaluations)} lines of {HISTORY} are damaged and left out."
        return readable, None

    def _created_s(self, name: str) -> float:
        try:
            keys = [(name, number) for number in self.versions(name)]
        except OSError:
            return math.inf
        times = (_created_s(self.path(key), self.identity(key)) for key in keys)
        return next((time_s for time_s in times if time_s is not None), math.inf)

    def _may_have_versions(self, name: str) -> bool:
        try:
            return bool(self.versions(name))
        except OSError:
            return True  # whoever looks for them is told why they cannot be seen


@lru_cache(maxsize=256)
def _created_s(version: Path, _: Identity | None) -> float | None:
    """When the version with this identity was created; read once, since a poll may ask for it each time."""
    try:
        return Manifest.read(version).created_s
    except FileError:
        return None


def _evaluation(line: bytes) -> dict[str, Any] | None:
    """None: the line is not a JSON object."""
    try:
        evaluation = files.parse(line)
    except ValueError:
        return None
    return evaluation if isinstance(evaluation, dict) else None


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdigit() and not name.startswith("0")

"""The store's folder on disk: its models and versions, and whether a version has changed.

Loads no model and remembers nothing.
"""

import math
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

from service.model import files
from service.model.files import FileError, Identity
from service.model.manifest import NAME, Manifest
from service.model.version import ModelVersion

HISTORY = "assets.extra/history.jsonl"
MAX_HISTORY_BYTES = 16 * 2**20  # an evaluation takes about one KB


class Folder:
    """The folder that holds `<name>/<version>/`.

    Methods raise OSError if a folder cannot be read. An absent model has no versions.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, version: ModelVersion) -> Path:
        """The folder of a version, whether it exists or not."""
        return self.root / version.name / str(version.number)

    def names(self) -> list[str]:
        """Every model that has a version, in alphabetical order."""
        children = (child.name for child in self.root.iterdir() if NAME.fullmatch(child.name))
        return sorted(filter(self._may_have_versions, children))

    def versions(self, name: str) -> list[ModelVersion]:
        """The versions of a model, oldest first. Folders whose name is not a positive integer are ignored."""
        if not NAME.fullmatch(name):
            return []
        try:
            with os.scandir(self.root / name) as children:
                numbers = [int(child.name) for child in children if _is_number(child.name) and child.is_dir()]
        except (FileNotFoundError, NotADirectoryError):
            os.stat(self.root)  # raises if the whole store is absent, not only this model
            return []
        return [ModelVersion(name, number) for number in sorted(numbers)]

    def identity(self, version: ModelVersion) -> Identity | None:
        """A value that changes when the version's files change or are replaced; None if it has no folder."""
        path = self.path(version)
        return files.identity(path) if path.is_dir() else None

    def oldest_first(self, names: list[str]) -> list[str]:
        """Sort models by the creation time of their oldest version; models without a creation time come last."""
        return sorted(names, key=lambda name: (self._created_s(name), name))

    def history(self, version: ModelVersion) -> tuple[list[dict[str, Any]], str | None]:
        """Read the evaluations during a version's training.

        Returns:
            The evaluations, oldest first, and a sentence that says why some or all are missing; None if none are.
        """
        try:
            lines = files.read(self.path(version), HISTORY, MAX_HISTORY_BYTES).split(b"\n")
        except FileNotFoundError:
            return [], None
        except FileError as error:
            return [], f"Version {version} has no history to show: {error}."
        evaluations = [_evaluation(line) for line in lines if line.strip()]
        valid = [evaluation for evaluation in evaluations if evaluation is not None]
        if damaged := len(evaluations) - len(valid):
            return valid, f"{damaged} of the {len(evaluations)} lines of {HISTORY} are damaged and left out."
        return valid, None

    def _created_s(self, name: str) -> float:
        try:
            versions = self.versions(name)
        except OSError:
            return math.inf
        times = (_created_s(self.path(version), self.identity(version)) for version in versions)
        return next((time_s for time_s in times if time_s is not None), math.inf)

    def _may_have_versions(self, name: str) -> bool:
        try:
            return bool(self.versions(name))
        except OSError:
            return True  # a request for the model then gets the reason


@lru_cache(maxsize=256)
def _created_s(path: Path, _: Identity | None) -> float | None:
    """The creation time in the manifest of `path`. Cached by identity, because every poll may ask for it."""
    try:
        return Manifest.read(path).created_s
    except FileError:
        return None


def _evaluation(line: bytes) -> dict[str, Any] | None:
    """Parse a line of the history; None if it is not a JSON object."""
    try:
        evaluation = files.parse(line)
    except ValueError:
        return None
    return evaluation if isinstance(evaluation, dict) else None


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdigit() and not name.startswith("0")

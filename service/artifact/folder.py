"""The store as it lies on disk: which models and versions there are, and whether one is still the one it was.

Loads nothing and remembers nothing.
"""

import json
import os
from pathlib import Path
from typing import Any

from service.artifact.manifest import NAME

MANIFEST = Path("assets.extra", "manifest.json")
HISTORY = Path("assets.extra", "history.jsonl")

Key = tuple[str, int]
"""A model's name and a version of it."""

Identity = tuple[tuple[str, int, int, int], ...]
"""Every file of a version, with the times and the size that change when somebody changes or replaces it."""


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
                names = [child.name for child in children if child.is_dir()]
        except (FileNotFoundError, NotADirectoryError):
            os.stat(self.root)  # raises if it is the whole store that went away
            return []
        return sorted(int(name) for name in names if name.isascii() and name.isdigit() and not name.startswith("0"))

    def identity(self, key: Key) -> Identity | None:
        """What tells a version from another one put in its place; None where there is none."""
        path = self.path(key)
        if not path.is_dir():
            return None
        return tuple(sorted(_stamp(os.path.join(parent, name)) for parent, _, names in os.walk(path) for name in names))

    def history(self, key: Key) -> list[dict[str, Any]]:
        """The evaluations during a version's training, oldest first."""
        path = self.path(key) / HISTORY
        if not path.exists():
            return []
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]

    def _may_have_versions(self, name: str) -> bool:
        try:
            return bool(self.versions(name))
        except OSError:
            return True  # whoever looks for them is told why they cannot be seen


def _stamp(path: str) -> tuple[str, int, int, int]:
    try:
        found = os.stat(path)
    except OSError:  # unreadable, or it went away since: in either case another version than one that is whole
        return path, 0, 0, -1
    # The time of the last change of any kind: a file that is made readable, or replaced by one as old, is another too.
    return path, found.st_ctime_ns, found.st_mtime_ns, found.st_size

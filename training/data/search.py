"""Searches folders for the files of a corpus: below a folder, behind links, or by a pattern.

Does not look into files. An unreadable folder is found with its error, to be listed with unreadable files.
"""

import errno
import glob
import os
import stat
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path

from training.data.selection import Selection


@dataclass(frozen=True)
class File:
    """A file, or a folder that could not be read, with the error."""

    path: Path
    within: str  # its path relative to the folder of the corpus, for a Selection
    error: OSError | None = None


@dataclass
class Found:
    """The files of an entry of --corpus."""

    files: list[File] = field(default_factory=list)
    broken_links: list[Path] = field(default_factory=list)
    repeated: int = 0  # links to files and folders that are already read


def is_pattern(path: str) -> bool:
    """Whether this is a glob pattern; the path of an existing file never is, even with an asterisk in it."""
    return glob.has_magic(path) and not os.path.lexists(path)


def in_folder(folder: Path, selection: Selection) -> Found:
    """Every file under `folder` once, in name order, except hidden ones; links are followed."""
    search = _Search(folder, selection)
    for parent, names in search.folders(folder):
        for name in names:
            if not name.startswith("."):
                search.add(parent / name)
    return search.result()


def by_pattern(pattern: str, selection: Selection) -> Found:
    """Every file that a glob pattern matches, with the same rules as `in_folder`."""
    parts = Path(pattern).parts
    fixed = next(number for number, part in enumerate(parts) if glob.has_magic(part))
    search = _Search(Path(*parts[:fixed]), selection)
    search.expand(search.root, parts[fixed:])
    return search.result()


class _Search:
    """A search below `root`, which collects a `Found`."""

    def __init__(self, root: Path, selection: Selection) -> None:
        self.root = root
        self._selection = selection
        self._found = Found()

    def folders(self, folder: Path) -> Iterator[tuple[Path, list[str]]]:
        """`folder` and every folder below it once, with the names in it.

        Folders behind links come last, so that a file is found by its own path first and a loop of links ends.
        """
        seen: set[tuple[int, int]] = set()
        waiting = deque([folder])
        while waiting:
            for parent, folders, names in os.walk(waiting.popleft(), onerror=self._add_error):
                if _identity(Path(parent)) in seen:
                    self._found.repeated += 1
                    folders.clear()
                    continue
                seen.add(_identity(Path(parent)))
                paths = [Path(parent, name) for name in sorted(folders) if not name.startswith(".")]
                paths = [path for path in paths if not self._excludes(path)]
                folders[:] = [path.name for path in paths if not path.is_symlink()]
                waiting.extend(path for path in paths if path.is_symlink())
                yield Path(parent), names

    def expand(self, base: Path, parts: Sequence[str]) -> None:
        """Add the paths under `base` that match these parts of a pattern."""
        if not parts:
            self.add(base)
        elif parts[0] == "**":
            for folder, _ in self.folders(base):
                self.expand(folder, parts[1:] or ["*"])
        elif not glob.has_magic(parts[0]):
            self.expand(base / parts[0], parts[1:])
        else:
            for name in self._names(base):
                is_visible = parts[0].startswith(".") or not name.startswith(".")
                if is_visible and fnmatchcase(name, parts[0]):
                    self.expand(base / name, parts[1:])

    def add(self, path: Path) -> None:
        """Add a file or a broken link; folders, pipes and sockets are ignored."""
        if self._excludes(path):
            return
        try:
            if stat.S_ISREG(path.stat().st_mode):
                self._found.files.append(File(path, self._within(path)))
        except (FileNotFoundError, NotADirectoryError):
            if path.is_symlink():
                self._found.broken_links.append(path)
        except OSError as error:
            if error.errno == errno.ELOOP:
                self._found.broken_links.append(path)
            else:
                self._add_error(error)

    def result(self) -> Found:
        """The result in name order, without links to files that are found by another path."""
        kept: dict[object, File] = {}
        for file in sorted(self._found.files, key=lambda file: (file.path.is_symlink(), file.path)):
            identity = file.path if file.error else _identity(file.path)
            if kept.setdefault(identity, file).path != file.path:
                self._found.repeated += 1
        files = sorted(kept.values(), key=lambda file: file.path)
        return Found(files, sorted({*self._found.broken_links}), self._found.repeated)

    def _names(self, folder: Path) -> list[str]:
        try:
            return os.listdir(folder)
        except OSError as error:
            self._add_error(error)
            return []

    def _add_error(self, error: OSError) -> None:
        """Add the error of a path that cannot be read. A missing folder only means that a pattern matches nothing."""
        if not isinstance(error, FileNotFoundError | NotADirectoryError):
            path = Path(error.filename)
            self._found.files.append(File(path, self._within(path), error))

    def _excludes(self, path: Path) -> bool:
        return self._selection.excludes(self._within(path))

    def _within(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino

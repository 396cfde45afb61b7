"""Finds the files that an entry of --corpus stands for, in folders, behind links and by patterns.

Knows nothing of a file's content. An unreadable folder is found as an error, so that it can be listed with the others.
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


@dataclass(frozen=True)
class Selection:
    """Which files of a corpus are read: --include, --exclude and --skip-unreadable.

    A pattern without a slash is compared with the name of the file and of each folder above it, one with a slash with
    the path within the folder, where `**` stands for any number of folders. What matches a folder takes all in it.
    """

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    skip_unreadable: bool = False

    def excludes(self, path: str) -> bool:
        """Whether an --exclude takes this path away."""
        return any(_matches(path, pattern) for pattern in self.exclude)

    def takes(self, path: str) -> bool:
        """Whether the file at this path within the folder is read."""
        is_included = not self.include or any(_matches(path, pattern) for pattern in self.include)
        return is_included and not self.excludes(path)


@dataclass(frozen=True)
class File:
    """A file that was found, or a folder that could not be read, with the reason."""

    path: Path
    within: str  # its path within the folder that was named: for a Selection
    error: OSError | None = None


@dataclass
class Found:
    """What an entry of --corpus stands for."""

    files: list[File] = field(default_factory=list)
    broken_links: list[Path] = field(default_factory=list)
    repeated: int = 0  # links to files and folders that are read already


def is_pattern(path: str) -> bool:
    """Whether this stands for files by a pattern: a path that exists never does, whatever characters are in it."""
    return glob.has_magic(path) and not os.path.lexists(path)


def in_folder(folder: Path, selection: Selection) -> Found:
    """Every file under `folder`, in name order, hidden ones left out; links are followed, each file is found once."""
    search = _Search(folder, selection)
    for parent, names in search.folders(folder):
        for name in names:
            if not name.startswith("."):
                search.take(parent / name)
    return search.once()


def by_pattern(pattern: str, selection: Selection) -> Found:
    """Every file that a glob pattern matches, as `in_folder` finds them."""
    parts = Path(pattern).parts
    fixed = next(number for number, part in enumerate(parts) if glob.has_magic(part))
    search = _Search(Path(*parts[:fixed]), selection)
    search.expand(search.root, parts[fixed:])
    return search.once()


class _Search:
    """Fills `Found` from what lies under `root`."""

    def __init__(self, root: Path, selection: Selection) -> None:
        self.root = root
        self._selection = selection
        self._found = Found()

    def folders(self, folder: Path) -> Iterator[tuple[Path, list[str]]]:
        """`folder` and all below it with the names in each, once: behind links last, so that a loop of links ends."""
        seen: set[tuple[int, int]] = set()
        waiting = deque([folder])
        while waiting:
            for parent, folders, names in os.walk(waiting.popleft(), onerror=self._refuse):
                if _identity(Path(parent)) in seen:
                    self._found.repeated += 1
                    folders.clear()
                    continue
                seen.add(_identity(Path(parent)))
                paths = [Path(parent, name) for name in sorted(folders) if not name.startswith(".")]
                paths = [path for path in paths if self._is_wanted(path)]
                folders[:] = [path.name for path in paths if not path.is_symlink()]
                waiting.extend(path for path in paths if path.is_symlink())
                yield Path(parent), names

    def expand(self, base: Path, parts: Sequence[str]) -> None:
        """Take the paths under `base` that match these parts of a pattern."""
        if not parts:
            self.take(base)
        elif parts[0] == "**":
            for folder, _ in self.folders(base):
                self.expand(folder, parts[1:] or ["*"])
        elif not glob.has_magic(parts[0]):
            self.expand(base / parts[0], parts[1:])
        else:
            for name in self._names(base):
                is_meant = parts[0].startswith(".") or not name.startswith(".")
                if is_meant and fnmatchcase(name, parts[0]):
                    self.expand(base / name, parts[1:])

    def take(self, path: Path) -> None:
        """Keep a file, or remember a broken link; folders, pipes and sockets are left."""
        if not self._is_wanted(path):
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
                self._refuse(error)

    def once(self) -> Found:
        """What was found, sorted, without links to files that are there themselves, or twice."""
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
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            self._refuse(error)
            return []

    def _refuse(self, error: OSError) -> None:
        path = Path(error.filename)
        self._found.files.append(File(path, self._within(path), error))

    def _is_wanted(self, path: Path) -> bool:
        return not self._selection.excludes(self._within(path))

    def _within(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _matches(path: str, pattern: str) -> bool:
    patterns = pattern.strip("/").split("/")
    anywhere = [] if "/" in pattern.rstrip("/") else ["**"]
    return _begins_with(path.split("/"), [*anywhere, *patterns])


def _begins_with(parts: Sequence[str], patterns: Sequence[str]) -> bool:
    """Whether a path, or a folder above it, matches these patterns, each of one name or `**`."""
    if not patterns:
        return True
    if patterns[0] == "**":
        return any(_begins_with(parts[count:], patterns[1:]) for count in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], patterns[0]) and _begins_with(parts[1:], patterns[1:])

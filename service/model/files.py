"""The files of one version. The only module of the service that opens them.

Reads only regular files of bounded size inside the version's own folder, so that no other content of the folder can
block the reader or fill the memory. Knows nothing of the files' content.
"""

import json
import math
import os
import stat
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

FOLDERS = ("assets", "assets.extra", "variables")
"""The folders of a SavedModel and of a manifest. All other folders of a version are ignored."""
MAX_FILES = 256  # files and folders of a version; a published one has about ten
MAX_GRAPH_BYTES = 256 * 2**20  # for each file outside FOLDERS: TensorFlow reads it into memory
MAX_LEVELS = 32  # nesting of lists and objects in a JSON document

Stamp = tuple[str, int, int, int]

Identity = tuple[Stamp, ...]
"""The files of a version, each with its times and size, which change when the file is changed or replaced."""


class FileError(Exception):
    """A file of a version must not or cannot be read. The message completes a sentence that names the version."""


def identity(version: Path) -> Identity:
    """A value that changes when a version is changed or replaced. Opens no file and does not recurse."""
    return tuple(sorted(_stamp(version, name) for name in _names(version)))


def check(version: Path) -> None:
    """Check every file that TensorFlow may read of a version.

    Raises:
        FileError: there are too many files, or one is too large, not a regular file or outside the version's folder.
    """
    names = _names(version)
    if len(names) > MAX_FILES:
        raise FileError(f"it has more than {MAX_FILES} files")
    for name in names:
        try:
            found = os.stat(_inside(version, name))
        except OSError as error:
            raise FileError(f"its {name} cannot be read: {error.strerror}") from None
        if not stat.S_ISDIR(found.st_mode):
            is_weights_or_asset = os.path.dirname(name) in FOLDERS
            _check_file(name, found, max_bytes=None if is_weights_or_asset else MAX_GRAPH_BYTES)


def read(version: Path, name: str, max_bytes: int) -> bytes:
    """Read a file of a version without blocking.

    Raises:
        FileNotFoundError: the file does not exist.
        FileError: it is too large, not a regular file, outside the version's folder, or cannot be read.
    """
    try:
        # Opening a FIFO without O_NONBLOCK waits for a writer.
        file = os.open(_inside(version, name), os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            found = os.fstat(file)
            _check_file(name, found, max_bytes)
            with os.fdopen(file, "rb", closefd=False) as content:
                return content.read(found.st_size)
        finally:
            os.close(file)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise FileError(f"its {name} cannot be read: {error.strerror}") from None


def parse(data: bytes) -> Any:
    """Parse JSON strictly: the value can always be written as JSON in UTF-8 again.

    Raises:
        ValueError: it is not JSON, holds a number that is not finite or half of a surrogate pair, or nests too deeply.
    """
    try:
        value = json.loads(data.decode())
    except RecursionError:
        raise ValueError(f"it nests deeper than {MAX_LEVELS} levels") from None
    _check_value(value, MAX_LEVELS)
    return value


def _names(version: Path) -> list[str]:
    """Relative paths of the files and folders of a version, at most `MAX_FILES` + 1 of them."""
    return list(islice(_children(version), MAX_FILES + 1))


def _children(version: Path) -> Iterator[str]:
    for folder in ("", *FOLDERS):
        path = os.path.join(version, folder)
        try:
            # Resolving a path is slow, and every poll comes here: only a link needs it.
            with os.scandir(_inside(version, folder) if folder and os.path.islink(path) else path) as children:
                yield from (os.path.join(folder, child.name) for child in children)
        except (OSError, FileError):
            continue  # absent or refused; its own stamp is among those of the version's folder


def _stamp(version: Path, name: str) -> Stamp:
    try:
        found = os.stat(os.path.join(version, name))
    except OSError:  # unreadable or absent: differs from every stamp of a readable file
        return name, 0, 0, -1
    # st_ctime also changes when a file becomes readable or is replaced by one with the same st_mtime.
    return name, found.st_ctime_ns, found.st_mtime_ns, found.st_size


def _inside(version: Path, name: str) -> str:
    """The real path of a file of a version; the version's folder may itself be a link."""
    folder, path = os.path.realpath(version), os.path.realpath(version / name)
    if path != folder and not path.startswith(os.path.join(folder, "")):
        raise FileError(f"its {name} is a link out of the version's folder")
    return path


def _check_file(name: str, found: os.stat_result, max_bytes: int | None) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise FileError(f"its {name} is not a regular file")
    if max_bytes is not None and found.st_size > max_bytes:
        raise FileError(f"its {name} has {found.st_size} bytes, and at most {max_bytes} are read")


def _check_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("it holds half of a surrogate pair") from None


def _check_value(value: Any, levels: int) -> None:
    match value:
        case str():
            _check_text(value)
        case float() if not math.isfinite(value):
            raise ValueError(f"it holds {value}, which is not a finite number")
        case dict() | list():
            if levels == 0:
                raise ValueError(f"it nests deeper than {MAX_LEVELS} levels")
            for child in [*value, *value.values()] if isinstance(value, dict) else value:
                _check_value(child, levels - 1)

"""The files of one version: which of them are looked at, and the one place where the service opens them.

Only regular files of bounded size inside the version's own folder are read. Nothing else that lies in it can block the
reader or fill the memory. Knows nothing of what the files say.
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
"""Of a SavedModel. Nothing in any other folder of a version is looked at."""
MAX_FILES = 256  # of a version, folders included; a published one has about ten
MAX_GRAPH_BYTES = 256 * 2**20  # of each file beside these folders, which TensorFlow reads as a whole
MAX_LEVELS = 32  # of lists and objects in a JSON document

Stamp = tuple[str, int, int, int]

Identity = tuple[Stamp, ...]
"""The files of a version, with the times and the size that change when a file is changed or replaced."""


class FileError(Exception):
    """A version with a file that must not be read; the message says why, to follow the version's name."""


def identity(version: Path) -> Identity:
    """A value that changes when a version is changed or replaced. Opens no file and walks no tree."""
    return tuple(sorted(_stamp(version, name) for name in _names(version)))


def check(version: Path) -> None:
    """Check every file that TensorFlow may read of a version.

    Raises:
        FileError: there are too many, one is too large, is not a regular file, or lies outside the version's folder.
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
    """Read a file of a version without ever waiting for it.

    Raises:
        FileNotFoundError: it is not there.
        FileError: it is too large, is not a regular file, lies outside the version's folder, or cannot be read.
    """
    try:
        # A FIFO that is opened without O_NONBLOCK waits for a writer.
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
    """Parse JSON strictly: the value can always be written as JSON in UTF-8 again, whatever calls for it.

    Raises:
        ValueError: it is not JSON, holds a number that is not finite or half a surrogate pair, or nests too deeply.
    """
    try:
        value = json.loads(data.decode())
    except RecursionError:
        raise ValueError(f"it nests deeper than {MAX_LEVELS} levels") from None
    _check_value(value, MAX_LEVELS)
    return value


def _names(version: Path) -> list[str]:
    """Paths within a version of all that is looked at: no more than one beyond `MAX_FILES`."""
    return list(islice(_children(version), MAX_FILES + 1))


def _children(version: Path) -> Iterator[str]:
    for folder in ("", *FOLDERS):
        path = os.path.join(version, folder)
        try:
            # A look is to cost little: only a link needs its real path.
            with os.scandir(_inside(version, folder) if folder and os.path.islink(path) else path) as children:
                yield from (os.path.join(folder, child.name) for child in children)
        except (OSError, FileError):
            continue  # it is not there or is refused; its own stamp is among those of the version's folder


def _stamp(version: Path, name: str) -> Stamp:
    try:
        found = os.stat(os.path.join(version, name))
    except OSError:  # unreadable or gone: a version that differs from the one whose file can be read
        return name, 0, 0, -1
    # st_ctime: also a file that becomes readable, or is replaced by one with the same st_mtime, makes another version.
    return name, found.st_ctime_ns, found.st_mtime_ns, found.st_size


def _inside(version: Path, name: str) -> str:
    """The real path of a file of a version, whose folder itself may be a link."""
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

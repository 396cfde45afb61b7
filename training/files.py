"""Atomic writes: after a crash or power failure a file or folder has its old content or its new, never a mixture.

Also checks, before a long job starts, that folders are writable and disks have enough space.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from training.errors import InputError


@contextmanager
def writing(path: Path) -> Iterator[BinaryIO]:
    """A file to write into; on exit it is flushed to disk and replaces `path`.

    Raises:
        OSError: For example a full disk; names `path`, which is unchanged. The new file is removed.
    """
    aside = path.with_name(f".{path.name}.partial")
    try:
        with aside.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from error
    flush_folder(path.parent)


def write_atomically(path: Path, content: bytes) -> None:
    """Replace the content of `path`, as `writing` does."""
    with writing(path) as file:
        file.write(content)


@contextmanager
def replacing(folder: Path, names: set[str]) -> Iterator[Path]:
    """A hidden folder beside `folder` to write into; on exit it replaces `folder`, on an error it is removed.

    Raises:
        InputError: `folder` contains other files than `names`.
        OSError: For example a full disk; names `folder`, which is unchanged.
    """
    if folder.exists() and not {path.name for path in folder.iterdir()} <= names:
        raise InputError(f"{folder} holds more than an encoded corpus, which would replace it: name another folder.")
    aside, old = (folder.with_name(f".{folder.name}.{state}") for state in ("partial", "old"))
    try:
        for leftover in (aside, old):
            if leftover.exists():
                shutil.rmtree(leftover)
        aside.mkdir(parents=True)
        yield aside
        flush_tree(aside)
        if folder.exists():
            folder.rename(old)
        aside.rename(folder)
        flush_folder(folder.parent)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(folder)) from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def require_writable(folder: Path, flag: str) -> None:
    """Check that `folder` can be created or written to; leaves nothing there.

    Raises:
        InputError: It cannot; names `flag`, whose value it is.
    """
    existing = _existing(folder)
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        verb = "written to" if existing == folder else "created"
        raise InputError(f"{flag}: {folder} cannot be {verb}: {error.strerror}.") from None


def require_space(needs: Mapping[Path, int], content: str) -> None:
    """Check that there is free disk space for `needs`.

    Args:
        needs: Folder, which may not exist yet -> bytes to be written there.
        content: The subject of the message.

    Raises:
        InputError: A disk has less; names the folders on it, the need and the free space.
    """
    disks: dict[int, list[Path]] = {}
    for folder in needs:
        disks.setdefault(_existing(folder).stat().st_dev, []).append(folder)
    for folders in disks.values():
        need, free = sum(needs[folder] for folder in folders), shutil.disk_usage(_existing(folders[0])).free
        if need > free:
            raise InputError(
                f"{content} needs about {_megabytes(need)} of disk space in {' and '.join(map(str, folders))}, "
                f"and {_megabytes(free)} are free."
            )


def sentence(error: OSError) -> str:
    """The error as one sentence, without its number."""
    if error.filename is None or error.strerror is None:
        return str(error)
    return f"{error.filename}: {error.strerror}."


def _existing(folder: Path) -> Path:
    """The folder itself or the nearest one above it that exists."""
    folder = folder.absolute()
    return next(path for path in (folder, *folder.parents) if path.exists())


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f} MB"


def flush_tree(folder: Path) -> None:
    """Flush every file and folder under `folder`, and the folder itself, to disk."""
    for parent, _, names in os.walk(folder):
        for name in names:
            with open(os.path.join(parent, name), "rb") as file:
                os.fsync(file.fileno())
        flush_folder(Path(parent))


def flush_folder(folder: Path) -> None:
    """Flush the folder's own entries: otherwise a rename may be lost in a power failure."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""A local folder with the methods of a bucket, for files that are in either. Knows nothing of their content."""

import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from training.errors import InputError
from training.files import flush_folder, require_writable
from training.object_storage import Bucket, DamagedError, Stored, is_url


class Folder:
    """The files in a folder; `path` is relative to it."""

    def __init__(self, folder: str) -> None:
        self.url = os.path.abspath(os.path.expanduser(folder))
        self._folder = Path(self.url)

    def listing(self, folder: str) -> list[Stored]:
        """Every file that is directly in a folder, which is "" for this one.

        Raises:
            InputError: the folder does not exist, or is a file.
        """
        inner = self._folder / folder
        if not inner.is_dir():
            raise InputError(f"{inner} is not a folder.")
        found = [(path.relative_to(self._folder), path.stat()) for path in inner.iterdir() if path.is_file()]
        return [Stored(str(path), datetime.fromtimestamp(stat.st_mtime, UTC), stat.st_size) for path, stat in found]

    def read(self, path: str, max_bytes: int) -> bytes:
        """The content of a small file.

        Raises:
            DamagedError: it is missing, or larger than `max_bytes`.
        """
        file = self._existing(path)
        if file.stat().st_size > max_bytes:
            raise DamagedError(f"{file} has {file.stat().st_size:,} bytes, more than {max_bytes:,}.")
        return file.read_bytes()

    def read_range(self, path: str, start: int, stop: int) -> bytes:
        """The bytes [start, stop) of a file.

        Raises:
            DamagedError: it is missing, or shorter.
        """
        with self._existing(path).open("rb") as file:
            file.seek(start)
            content = file.read(stop - start)
        if len(content) < stop - start:
            raise DamagedError(f"{self._folder / path} has fewer than {stop:,} bytes: it was changed or damaged.")
        return content

    def upload(self, path: str, file: Path) -> None:
        """Move a file of `scratch` into this folder: a reader sees all of it or none."""
        with file.open("rb") as opened:
            os.fsync(opened.fileno())
        file.replace(self._folder / path)
        flush_folder(self._folder)

    def delete(self, paths: Iterable[str]) -> None:
        """Delete files; those that are absent are ignored."""
        for path in paths:
            (self._folder / path).unlink(missing_ok=True)

    def _existing(self, path: str) -> Path:
        file = self._folder / path
        if not file.exists():
            raise DamagedError(f"{file} is missing.")
        return file


Storage = Folder | Bucket


def storage_of(location: str) -> Storage:
    """The bucket of a URL, or the folder of a path, which may not exist yet."""
    return Bucket(location) if is_url(location) else Folder(location)


@contextmanager
def scratch(storage: Storage) -> Iterator[Path]:
    """A temporary folder for files that are then uploaded to `storage`.

    Raises:
        InputError: `storage` is a folder that cannot be created or written to.
    """
    folder = None
    if isinstance(storage, Folder):
        folder = Path(storage.url)
        require_writable(folder, "--to")
        folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".part-") as temporary:
        yield Path(temporary)

"""Published models in a bucket: lists, places, withdraws, prunes and downloads versions. Imports no framework.

`working_copy` makes a local folder for a bucket, which commands use like any folder of models: `store` sends what it
changes to the bucket, and downloads a version where a command reads its files. docs/decisions/0007-object-storage.md
has the layout and its reasons.
"""

import hashlib
import os
import re
import shutil
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path

from training.object_storage import Bucket, DamagedError
from training.release.index import MAX_BYTES, VERSIONS, Index, files_folder, index_path, tombstone_path

MARKER = ".remote"  # in a working copy: the URL of its bucket
DOWNLOAD = ".download-"  # in the folder of a model: a version on its way to a working copy
CACHE = "CHARLOOM_MODELS_CACHE"
LISTED = re.compile(VERSIONS + r"/([a-z0-9][a-z0-9._-]{0,63})/([1-9][0-9]{0,17})\.(json|withdrawn)")
UPLOADED_WITHIN = timedelta(days=1)  # older files without an index are those of a publisher that was killed


@dataclass(frozen=True)
class _Listed:
    """The models and numbers that a listing shows."""

    indexes: set[tuple[str, int]]
    withdrawn: dict[tuple[str, int], datetime]  # the time of the tombstone

    @property
    def visible(self) -> set[tuple[str, int]]:
        return self.indexes - self.withdrawn.keys()

    @property
    def numbers(self) -> list[int]:
        """Every number that is taken, in ascending order."""
        return sorted(number for _, number in self.indexes | self.withdrawn.keys())


class Remote:
    """The versions in a bucket. Every method asks the bucket.

    Raises:
        StorageError: any method, where the bucket does not answer.
    """

    def __init__(self, url: str) -> None:
        self._bucket = Bucket(url)
        self.url = self._bucket.url

    def names(self) -> list[str]:
        """The models that have a version, in alphabetical order."""
        return sorted({name for name, _ in self._listed(VERSIONS).visible})

    def versions(self, name: str) -> list[int]:
        """The versions of a model, oldest first."""
        return sorted(version for _, version in self._listed(f"{VERSIONS}/{name}").visible)

    def read(self, name: str, version: int, path: str) -> bytes:
        """A small file of a version.

        Raises:
            DamagedError: it is missing or damaged.
        """
        index = self._index(name, version)
        facts = index.files.get(path)
        if facts is None:
            raise DamagedError(f"The index of {name} {version} in {self.url} names no {path}.")
        return self._bucket.read(f"{index.folder}/{path}", facts.bytes, facts.sha256)

    def fetch(self, name: str, version: int, folder: Path) -> None:
        """Make a local folder hold the files of a version. A complete copy is verified and kept.

        Raises:
            DamagedError: an object is missing, or differs from the index.
        """
        index = self._index(name, version)
        if index.matches(folder):
            return
        aside = folder.with_name(f"{DOWNLOAD}{uuid.uuid4().hex}")
        try:
            for path, facts in index.files.items():
                (aside / path).parent.mkdir(parents=True, exist_ok=True)
                self._bucket.download(f"{index.folder}/{path}", aside / path, facts)
            if not index.matches(folder):  # the copy of a bucket that was emptied since, or a damaged one
                shutil.rmtree(folder, ignore_errors=True)
            try:
                aside.rename(folder)
            except OSError:
                if not index.matches(folder):  # another process has downloaded it meanwhile
                    raise
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    def check_writing(self) -> None:
        """Write an object and delete it."""
        path = f"write-check-{uuid.uuid4().hex}"
        self._bucket.create(path, b"")
        self._bucket.delete([path])

    def place(self, aside: Path, name: str, seal: Callable[[int], None]) -> int:
        """Make the folder `aside` the next version, and return its number.

        The files come first and the index last, so a reader sees a complete version or none. Of several publishers,
        one creates the index of a number; the others take the next one.

        Args:
            aside: the folder of the version.
            name: its model.
            seal: writes a number into the manifest in `aside`; called once for each number that is tried.
        """
        publisher, published = uuid.uuid4().hex, datetime.now(UTC).isoformat(timespec="seconds")
        number = 0
        while True:
            number = max(number, self._highest(name)) + 1
            seal(number)
            index = Index.of(aside, name, number, publisher=publisher, published=published)
            for path in index.files:
                self._bucket.upload(f"{index.folder}/{path}", aside / path)
            # Listed again: the upload may have taken days, and the index of a deleted version is kept for one.
            if self._highest(name) < number and self._bucket.create(index_path(name, number), index.to_json()):
                return number
            # After a lost answer the client repeats its request, and then finds the index that it wrote itself.
            if self._is_by(publisher, name, number):
                return number

    def withdraw(self, name: str, version: int) -> None:
        """Hide a version from readers. Its index stays, so that its number is never used again."""
        self._bucket.create(tombstone_path(name, version), b"")

    def prune(self, name: str, *, keep: int, spare: int | None) -> list[int]:
        """Delete all versions except the `keep` highest and `spare`, and the files of withdrawn ones.

        Returns:
            The numbers of the deleted versions, without the withdrawn ones.
        """
        doomed = [version for version in self.versions(name)[:-keep] if version != spare]
        for version in doomed:
            self.withdraw(name, version)
        listed = self._listed(f"{VERSIONS}/{name}")
        dead = set()
        for _, version in listed.indexes & listed.withdrawn.keys():
            with suppress(DamagedError):  # the files of a damaged index are deleted once they are old
                dead.add(self._index(name, version).folder)
        stored = self._bucket.listing(files_folder(name))  # before the indexes: a version is placed after its files
        live = {self._index(name, version).folder for version in self.versions(name)}
        abandoned = datetime.now(UTC) - UPLOADED_WITHIN
        self._bucket.delete(
            each.path
            for each in stored
            if (folder := "/".join(each.path.split("/")[:3])) not in live
            and (folder in dead or each.modified < abandoned)
        )
        self._forget(listed, abandoned)
        return doomed

    def _forget(self, listed: "_Listed", before: datetime) -> None:
        """Delete the indexes of versions that were withdrawn before this time; the highest number stays taken.

        A publisher that began earlier might still try their numbers.
        """
        numbers = listed.numbers
        old = [key for key, withdrawn in listed.withdrawn.items() if withdrawn < before and key[1] < numbers[-1]]
        self._bucket.delete(index_path(*key) for key in old)
        self._bucket.delete(tombstone_path(*key) for key in old)

    def _highest(self, name: str) -> int:
        """The highest number that is taken; 0 if none is."""
        return max(self._listed(f"{VERSIONS}/{name}").numbers, default=0)

    def _is_by(self, publisher: str, name: str, version: int) -> bool:
        try:
            return self._index(name, version).publisher == publisher
        except DamagedError:
            return False

    def _listed(self, folder: str) -> "_Listed":
        found = _Listed(set(), {})
        for each in self._bucket.listing(folder):
            if parts := LISTED.fullmatch(each.path):
                key = parts[1], int(parts[2])
                if parts[3] == "json":
                    found.indexes.add(key)
                else:
                    found.withdrawn[key] = each.modified
        return found

    def _index(self, name: str, version: int) -> Index:
        return Index.parse(self._bucket.read(index_path(name, version), MAX_BYTES), name, version)


def working_copy(url: str) -> Path:
    """The local folder for a bucket, made at the first use.

    Raises:
        InputError: `url` is not one of a bucket.
        StorageError: the bucket does not answer.
    """
    remote = _opened(url)
    remote.names()
    digest = hashlib.sha256(remote.url.encode()).hexdigest()[:12]
    parent = Path(os.environ.get(CACHE) or os.path.expanduser("~/.cache/charloom"))
    folder = parent / f"training-{re.sub('[^a-z0-9]+', '-', remote.url.lower())[:80]}-{digest}"
    folder.mkdir(parents=True, exist_ok=True)
    _mark(folder, remote.url)
    return folder


def _mark(folder: Path, url: str) -> None:
    """Record the bucket of a working copy. Several commands may do so at once."""
    marker = folder / MARKER
    if not marker.is_file() or marker.read_text() != url:
        aside = folder / f"{MARKER}-{uuid.uuid4().hex}"
        aside.write_text(url)
        aside.replace(marker)


def remove_old_downloads(store: Path) -> None:
    """Remove the partial downloads of killed processes from the folder of a model."""
    before = (datetime.now(UTC) - UPLOADED_WITHIN).timestamp()
    for download in store.glob(f"{DOWNLOAD}*"):
        with suppress(FileNotFoundError):
            if download.stat().st_mtime < before:
                shutil.rmtree(download)


def remote_of(models: Path) -> Remote | None:
    """The bucket of a working copy; None for any other folder."""
    try:
        return _opened((models / MARKER).read_text())
    except (FileNotFoundError, NotADirectoryError):
        return None


def shown(path: Path) -> str:
    """A folder of models, or one of a model or version in it, for a message: its URL if it is in a bucket."""
    for models in (path, *path.parents[:2]):
        if remote := remote_of(models):
            return "/".join([remote.url, *path.relative_to(models).parts])
    return str(path)


@cache
def _opened(url: str) -> Remote:
    return Remote(url)

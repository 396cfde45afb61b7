"""Copies the versions in a bucket into a local folder, which the store then reads. Loads none of them.

A version appears in the folder under one rename, after the size and SHA-256 of each of its files are verified. While
the bucket cannot be read the folder stays as it is.
"""

import fcntl
import hashlib
import logging
import os
import re
import shutil
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from service import metrics
from service.health import report_progress
from service.model.version import ModelVersion
from service.object_storage import Bucket, DamagedError
from service.store.errors import refused_because
from service.store.folder import Folder
from service.store.index import MAX_BYTES, VERSIONS, Index, index_path, visible

PARTIAL, REMOVED = ".partial-", ".removed-"
RETRY_S = 60.0  # a damaged version is downloaded again, in case its files were repaired

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Damaged:
    """The reason for which a version of the bucket is not in the folder."""

    tag: str  # of the index that it is about
    reason: str
    retry_s: float  # monotonic time


class Mirror:
    """A bucket and the folder that holds its versions."""

    def __init__(self, bucket: Bucket, cache: Path) -> None:
        """Ask nothing of the bucket yet; `cache` is a folder for the folders of several buckets.

        Raises:
            OSError: the folder cannot be created.
        """
        digest = hashlib.sha256(bucket.url.encode()).hexdigest()[:12]
        self.folder = cache / f"service-{re.sub('[^a-z0-9]+', '-', bucket.url.lower())[:80]}-{digest}"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.fault: str | None = f"The versions of {bucket.url} are being copied to this machine."
        """A sentence that says why the last update failed, or that none has ended yet; None if it succeeded."""
        self._bucket = bucket
        self._is_down = False
        self._copied: dict[ModelVersion, str] = {}  # the tag of the index that each verified copy is of
        self._damaged: dict[ModelVersion, Damaged] = {}
        self._closed = threading.Event()
        self._is_first = True

    def start(self, wait_s: float) -> None:
        """Begin the first update in a thread of its own, and wait at most this long for its end."""
        first = threading.Thread(target=self.update, name="first-copy", daemon=True)
        first.start()
        first.join(wait_s)

    def update(self) -> None:
        """Make the folder hold the versions of the bucket. A failure is logged once, until an update succeeds.

        Does nothing while another thread or process updates the same folder.
        """
        try:
            with self._locked() as is_mine:
                if not is_mine:
                    return
                self._update()
        except OSError as error:
            metrics.OBJECT_STORAGE_FAILURES.inc()
            if not self._is_down:
                log.warning("%s. The versions on this machine stay.", error)
            self._is_down, self.fault = True, f"{error}."
        else:
            if self._is_down:
                log.info("%s is read again.", self._bucket.url)
            self._is_down, self.fault = False, None

    def refusals(self) -> list[str]:
        """A sentence for each version of the bucket whose files are damaged."""
        return [refused_because(version, damaged.reason) for version, damaged in sorted(self._damaged.copy().items())]

    def close(self) -> None:
        """Stop: a download in progress ends after its current chunk."""
        self._closed.set()

    @contextmanager
    def _locked(self) -> Iterator[bool]:
        """Lock the folder, which another service on this machine may use too; false if it is locked."""
        descriptor = os.open(self.folder, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            yield False
            return
        try:
            yield True
        finally:
            os.close(descriptor)

    def _update(self) -> None:
        if self._is_first:
            self._remove_leftovers()
            self._is_first = False
        objects = self._bucket.listing(VERSIONS)
        versions = visible(objects)
        self._remove_all_but(set(versions))
        errors = []
        for version in versions:
            try:
                self._copy_if_new(version, objects[index_path(version)])
            except OSError as error:  # others may be readable, or fit the disk
                errors.append(error)
            if self._closed.is_set():
                return
        self._remove_all_but(set(versions))
        if errors:
            raise errors[0]

    def _copy_if_new(self, version: ModelVersion, tag: str) -> None:
        damaged = self._damaged.get(version)
        if damaged and damaged.tag == tag and time.monotonic() < damaged.retry_s:
            return
        folder = self._folder_of(version)
        if self._copied.get(version) == tag and folder.is_dir():
            return
        try:
            self._copy(version, folder)
        except DamagedError as error:
            if self._closed.is_set() or version not in visible(self._bucket.listing(VERSIONS)):
                return  # stopped, or withdrawn and pruned meanwhile
            if damaged is None or damaged.reason != str(error):
                log.error("%s", refused_because(version, str(error)))
                metrics.REFUSALS.labels(*version.labels).inc()
            self._damaged[version] = Damaged(tag, str(error), time.monotonic() + RETRY_S)
        else:
            self._damaged.pop(version, None)
            self._copied[version] = tag

    def _copy(self, version: ModelVersion, folder: Path) -> None:
        index = Index.parse(self._bucket.read(index_path(version), MAX_BYTES), version)
        if index.matches(folder):
            return
        aside = folder.with_name(f"{PARTIAL}{uuid.uuid4().hex}")
        try:
            for path, facts in index.files.items():
                (aside / path).parent.mkdir(parents=True, exist_ok=True)
                source = f"{index.folder}/{path}"
                self._bucket.download(source, aside / path, facts, self._go_on)
            if folder.exists():
                _remove(folder)
            aside.rename(folder)
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    def _go_on(self) -> bool:
        """Called after each chunk of a download, which may take longer than any other task of its thread."""
        report_progress()
        return not self._closed.is_set()

    def _remove_all_but(self, versions: set[ModelVersion]) -> None:
        """Remove other versions, unless the folder has none of `versions` of their model: one must be copied first."""
        local = Folder(self.folder)
        for name in local.names():
            here, wanted = set(local.versions(name)), {version for version in versions if version.name == name}
            if not wanted or here & wanted:
                for version in here - wanted:
                    _remove(self._folder_of(version))
        for known in (self._copied, self._damaged):
            for version in known.keys() - versions:
                known.pop(version)

    def _remove_leftovers(self) -> None:
        """Remove the partial copies of killed processes; none is in use while the folder is locked."""
        for leftover in [*self.folder.glob(f"*/{PARTIAL}*"), *self.folder.glob(f"*/{REMOVED}*")]:
            shutil.rmtree(leftover)

    def _folder_of(self, version: ModelVersion) -> Path:
        return Folder(self.folder).path(version)


def _remove(folder: Path) -> None:
    """Remove a version in one step, and then its files."""
    aside = folder.with_name(f"{REMOVED}{uuid.uuid4().hex}")
    folder.rename(aside)
    shutil.rmtree(aside)

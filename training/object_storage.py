"""A bucket of object storage (S3, Google Cloud Storage, Azure) as a place for files. Knows nothing of models.

The package obstore is optional; it is imported only when a URL is given. Credentials come from the environment
variables of each provider's own tools. No message quotes an error of the storage, whose text may hold them.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from training.errors import InputError, ReportedError
from training.packages import require

if TYPE_CHECKING:
    from obstore.store import ObjectStore

URL = re.compile(r"(s3|gs|az)://([a-z0-9][a-z0-9._-]{1,62})((?:/[A-Za-z0-9_=-][A-Za-z0-9._=-]*)*)/?")
VARIABLES = {
    "s3": "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION and AWS_ENDPOINT_URL",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
    "az": "AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
}
STATUS = re.compile("status code: ([1-5][0-9]{2})")  # in the text of an error
REDIRECT = "Received redirect without LOCATION"  # in that of one from a bucket of another region
CONNECT_TIMEOUT, READ_TIMEOUT, TIMEOUT = "5s", "20s", "1h"  # the last one is for a whole object
MAX_RETRIES = 3  # in less than a second: a command with a wrong address fails soon
MAX_RETRIES_OF_RANGES = 1000  # more than fit into the time limit: a run that reads ranges for hours outlasts an outage
RETRY_TIMEOUT = timedelta(seconds=60)
CHUNK_BYTES = 2**20


class StorageError(ReportedError):
    """The bucket cannot be used, or refuses a request."""


class DamagedError(InputError):
    """An object is missing, or differs from its recorded size or hash."""


@dataclass(frozen=True)
class Facts:
    """The size and the SHA-256 of a file."""

    bytes: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> "Facts":
        """The size and hash of a local file."""
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return cls(path.stat().st_size, digest)


@dataclass(frozen=True)
class Stored:
    """An object in a listing."""

    path: str
    modified: datetime
    bytes: int = 0


class Bucket:
    """The objects under the URL of a bucket or of a prefix in one; `path` is relative to it.

    Raises:
        StorageError: any method, where the storage does not answer or refuses the request.
    """

    def __init__(self, url: str) -> None:
        """Open no connection.

        Raises:
            InputError: `url` is not one of a bucket.
            ModuleNotFoundError: obstore is not installed.
        """
        if not (parts := URL.fullmatch(url)):
            given = url.rpartition("@")[2].partition("?")[0][:60]  # without a key or a token
            raise InputError(f"{given!r} must be a folder or a URL like s3://bucket/prefix, gs:// or az://.")
        self.url = url.rstrip("/")
        self._scheme, bucket, prefix = parts.groups()
        require("obstore")
        with self._translating_errors():
            self._store = _open(self._scheme, bucket, prefix.strip("/"), MAX_RETRIES)
            self._store_of_ranges = _open(self._scheme, bucket, prefix.strip("/"), MAX_RETRIES_OF_RANGES)

    def listing(self, folder: str) -> list[Stored]:
        """Every object in a folder and those below it; the folder "" has all."""
        import obstore

        with self._translating_errors():
            found = [meta for page in obstore.list(self._store, folder or None) for meta in page]
        return [Stored(meta["path"], meta["last_modified"], meta["size"]) for meta in found]

    def read(self, path: str, max_bytes: int, sha256: str | None = None) -> bytes:
        """The content of a small object.

        Raises:
            DamagedError: it is missing, larger than `max_bytes`, or has another hash than `sha256`.
        """
        import obstore

        with self._translating_errors(), self._exists(path):
            found = obstore.get(self._store, path)
            if found.meta["size"] > max_bytes:
                raise DamagedError(f"{self.url}/{path} has {found.meta['size']:,} bytes, more than {max_bytes:,}.")
            content = bytes(found.bytes())
        if sha256 and hashlib.sha256(content).hexdigest() != sha256:
            raise DamagedError(f"{self.url}/{path} differs from its recorded SHA-256: it was changed or damaged.")
        return content

    def download(self, path: str, to: Path, facts: Facts) -> None:
        """Copy an object into a file.

        Raises:
            DamagedError: it is missing, or has another size or hash than `facts`.
            OSError: the file cannot be written.
        """
        found, digest = 0, hashlib.sha256()
        with to.open("xb") as file:
            for chunk in self.chunks(path):
                found += len(chunk)
                digest.update(chunk)
                file.write(chunk)
                if found > facts.bytes:
                    break
        if Facts(found, digest.hexdigest()) != facts:
            raise DamagedError(
                f"{self.url}/{path} differs from its recorded size or SHA-256: it was changed or damaged."
            )

    def size_of(self, path: str) -> int | None:
        """The bytes of an object; None where there is no object of this name."""
        import obstore

        with self._translating_errors():
            try:
                return obstore.head(self._store, path)["size"]
            except FileNotFoundError:
                return None

    def chunks(self, path: str, start: int = 0, stop: int | None = None) -> Iterator[bytes]:
        """The content of an object, or its bytes [start, stop), about 1 MiB at a time.

        Raises:
            DamagedError: it is missing.
        """
        import obstore

        with self._translating_errors(), self._exists(path):
            found = obstore.get(self._store, path, options=None if stop is None else {"range": (start, stop)})
            for chunk in found.stream(CHUNK_BYTES):
                yield bytes(chunk)

    def read_range(self, path: str, start: int, stop: int) -> bytes:
        """The bytes [start, stop) of an object, in one request, repeated for a minute during an outage.

        Raises:
            DamagedError: it is missing, or shorter.
        """
        import obstore

        with self._translating_errors(), self._exists(path):
            content = bytes(obstore.get_range(self._store_of_ranges, path, start=start, end=stop))
        if len(content) < stop - start:
            raise DamagedError(f"{self.url}/{path} has fewer than {stop:,} bytes: it was changed or damaged.")
        return content

    def upload(self, path: str, file: Path) -> None:
        """Copy a file into an object."""
        import obstore

        with self._translating_errors():
            obstore.put(self._store, path, file)

    def create(self, path: str, content: bytes) -> bool:
        """Write an object unless it exists, in one atomic step; returns whether this call wrote it."""
        import obstore
        from obstore.exceptions import AlreadyExistsError

        try:
            with self._translating_errors():
                obstore.put(self._store, path, content, mode="create", use_multipart=False)
        except AlreadyExistsError:
            return False
        return True

    def delete(self, paths: Iterable[str]) -> None:
        """Delete objects; those that are absent are ignored."""
        import obstore

        for path in paths:
            with self._translating_errors():
                try:
                    obstore.delete(self._store, path)
                except FileNotFoundError:
                    continue

    @contextmanager
    def _translating_errors(self) -> Iterator[None]:
        """Raise StorageError in place of the storage's own errors, without their text."""
        from obstore.exceptions import AlreadyExistsError, BaseError

        try:
            yield
        except AlreadyExistsError:
            raise
        except (BaseError, FileNotFoundError) as error:
            raise StorageError(f"{self.url} cannot be used: {self._reason(error)}.") from None

    @contextmanager
    def _exists(self, path: str) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise DamagedError(f"{self.url}/{path} is missing.") from None

    def _reason(self, error: Exception) -> str:
        found = STATUS.search(str(error))
        status = int(found[1]) if found else None
        if isinstance(error, FileNotFoundError) or status == 404:
            return "there is no such bucket"
        answer = f"it answers with status {status}" if status else "it does not answer"
        if status in (401, 403):
            answer = "access is denied"
        if REDIRECT in str(error):
            answer = "it is in another region"
        return f"{answer}; the variables for its address and keys are {VARIABLES[self._scheme]}"


def is_url(value: str) -> bool:
    """Whether the value is meant as a URL and not as a folder."""
    return "://" in value


def _open(scheme: str, bucket: str, prefix: str, max_retries: int) -> "ObjectStore":
    from obstore.store import AzureStore, GCSStore, S3Store

    kinds = {"s3": S3Store, "gs": GCSStore, "az": AzureStore}
    opened: ObjectStore = kinds[scheme](
        bucket,
        prefix=prefix or None,
        client_options={
            "connect_timeout": CONNECT_TIMEOUT,
            "read_timeout": READ_TIMEOUT,
            "timeout": TIMEOUT,
            "allow_http": True,  # for an address in the environment that begins with http://
        },
        retry_config={"max_retries": max_retries, "retry_timeout": RETRY_TIMEOUT},
    )
    return opened

"""A bucket of object storage (S3, Google Cloud Storage, Azure), read only. Knows nothing of models.

The package obstore is optional; it is imported only when a URL is configured. Credentials come from the environment
variables of each provider's own tools. No message quotes an error of the storage, whose text may hold them.
"""

import hashlib
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from obstore.store import ObjectStore

URL = re.compile(r"(s3|gs|az)://([a-z0-9][a-z0-9._-]{1,62})((?:/[A-Za-z0-9_=-][A-Za-z0-9._=-]*)*)/?")
STATUS = re.compile("status code: ([1-5][0-9]{2})")  # in the text of an error
REDIRECT = "Received redirect without LOCATION"  # in that of one from a bucket of another region
CONNECT_TIMEOUT, READ_TIMEOUT, TIMEOUT = "2s", "10s", "1h"  # the last one is for a whole object
MAX_RETRIES = 1  # the next poll asks again
RETRY_TIMEOUT = timedelta(seconds=10)
CHUNK_BYTES = 2**20


class StorageError(OSError):
    """The bucket does not answer or refuses the request."""


class DamagedError(Exception):
    """An object is missing, or differs from its recorded size or hash. The message completes a sentence."""


class BucketError(Exception):
    """The bucket of a URL cannot be opened. The message completes a sentence that names the setting."""


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


class Bucket:
    """The objects under the URL of a bucket or of a prefix in one; `path` is relative to it.

    Raises:
        StorageError: any method, where the storage does not answer or refuses the request.
    """

    def __init__(self, url: str) -> None:
        """Open no connection.

        Raises:
            BucketError: `url` is not one of a bucket, a variable of the environment is missing, or obstore is not
                installed.
        """
        parts = URL.fullmatch(url)
        if parts is None:
            given = url.rpartition("@")[2].partition("?")[0][:60]  # without a key or a token
            raise BucketError(f"must be a folder or a URL like 's3://bucket/prefix', gs:// or az://, not {given!r}")
        self.url = url.rstrip("/")
        self._store = _open(*parts.groups())

    def listing(self, folder: str) -> dict[str, str]:
        """Every object in a folder and those below it: its path and a tag that changes with its content."""
        import obstore

        with self._translating_errors():
            pages = obstore.list(self._store, folder)
            return {meta["path"]: meta["e_tag"] or str(meta["last_modified"]) for page in pages for meta in page}

    def read(self, path: str, max_bytes: int) -> bytes:
        """The content of a small object.

        Raises:
            DamagedError: it is missing, or larger than `max_bytes`.
        """
        import obstore

        with self._translating_errors(), _exists(path):
            found = obstore.get(self._store, path)
            if found.meta["size"] > max_bytes:
                raise DamagedError(f"{path} has {found.meta['size']} bytes, and at most {max_bytes} are read")
            return bytes(found.bytes())

    def download(self, path: str, to: Path, facts: Facts, go_on: Callable[[], bool]) -> None:
        """Copy an object into a new file, as long as `go_on` is true.

        Raises:
            DamagedError: it is missing, or has another size or hash than `facts`.
            OSError: the file cannot be written.
        """
        import obstore

        found, digest = 0, hashlib.sha256()
        with to.open("xb") as file, self._translating_errors(), _exists(path):
            for chunk in obstore.get(self._store, path).stream(CHUNK_BYTES):
                found += len(chunk)
                digest.update(chunk)
                file.write(chunk)
                if found > facts.bytes or not go_on():
                    break
        if Facts(found, digest.hexdigest()) != facts:
            raise DamagedError(f"{path} differs from its recorded size or SHA-256")

    @contextmanager
    def _translating_errors(self) -> Iterator[None]:
        """Raise StorageError in place of the storage's own errors, without their text."""
        from obstore.exceptions import BaseError

        try:
            yield
        except (BaseError, FileNotFoundError) as error:
            raise StorageError(f"{self.url} cannot be read: {_reason(error)}") from None


def is_url(value: str) -> bool:
    """Whether the value is meant as a URL and not as a folder."""
    return "://" in value


@contextmanager
def _exists(path: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise DamagedError(f"{path} is missing") from None


def _open(scheme: str, bucket: str, prefix: str) -> "ObjectStore":
    try:
        from obstore.exceptions import BaseError
        from obstore.store import AzureStore, GCSStore, S3Store
    except ImportError:
        raise BucketError("needs the Python package obstore: pip install -r requirements-objectstore.txt") from None
    kinds = {"s3": S3Store, "gs": GCSStore, "az": AzureStore}
    try:
        opened: ObjectStore = kinds[scheme](
            bucket,
            prefix=prefix.strip("/") or None,
            client_options={
                "connect_timeout": CONNECT_TIMEOUT,
                "read_timeout": READ_TIMEOUT,
                "timeout": TIMEOUT,
                "allow_http": True,  # for an address in the environment that begins with http://
            },
            retry_config={"max_retries": MAX_RETRIES, "retry_timeout": RETRY_TIMEOUT},
        )
    except BaseError:
        raise BucketError(f"needs the environment variables of {scheme}:// (docs/scaling.md)") from None
    return opened


def _reason(error: Exception) -> str:
    found = STATUS.search(str(error))
    status = int(found[1]) if found else None
    if isinstance(error, FileNotFoundError) or status == 404:
        return "there is no such bucket"
    if status in (401, 403):
        return "access is denied"
    if REDIRECT in str(error):
        return "it is in another region than that of the variable AWS_REGION"
    return f"it answers with status {status}" if status else "it does not answer"

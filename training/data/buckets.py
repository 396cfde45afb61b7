"""Objects in a bucket as sources. Compressed objects are decompressed; archives are refused, as from a pipe."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from training.data.pipes import unpacked
from training.data.reader import Source, Stream, on_one_line
from training.data.selection import Selection
from training.object_storage import Bucket


def in_bucket(url: str, selection: Selection) -> list[Source]:
    """The objects below a URL like s3://bucket/folder in name order, or the one of that name.

    As in a folder on disk, hidden files and folders are left out.

    Raises:
        InputError: the URL is not one of a bucket.
        StorageError: the bucket does not answer.
    """
    bucket = Bucket(url)
    paths = sorted(each.path for each in bucket.listing("") if each.path)
    chosen = [path for path in paths if not _is_hidden(path) and selection.takes(path)]
    if not paths and "/" in bucket.url.partition("://")[2]:
        parent, _, name = bucket.url.rpartition("/")
        bucket = Bucket(parent)
        chosen = [name] if selection.takes(name) and bucket.has(name) else []
    return [_source(bucket, path) for path in chosen]


def _source(bucket: Bucket, path: str) -> Source:
    name = on_one_line(path)
    display_path = f"{bucket.url}/{name}"
    return Source(name.rpartition("/")[2], display_path, True, partial(unpacked, partial(_open, bucket, path)))


@contextmanager
def _open(bucket: Bucket, path: str) -> Iterator[Stream]:
    yield _Chunks(bucket.chunks(path))


class _Chunks:
    """A stream over the chunks of an object."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._waiting = b""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end."""
        self._waiting = self._waiting or next(self._chunks, b"")
        block, self._waiting = self._waiting[:size], self._waiting[size:]
        return block


def _is_hidden(path: str) -> bool:
    return any(part.startswith(".") for part in path.split("/"))

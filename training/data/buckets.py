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
    found = sorted((each.path, each.bytes) for each in bucket.listing("") if each.path)
    chosen = [(path, size) for path, size in found if not _is_hidden(path) and selection.takes(path)]
    if not found and "/" in bucket.url.partition("://")[2]:
        parent, _, name = bucket.url.rpartition("/")
        bucket = Bucket(parent)
        of_name = bucket.size_of(name) if selection.takes(name) else None
        chosen = [] if of_name is None else [(name, of_name)]
    return [_source(bucket, path, size) for path, size in chosen]


def _source(bucket: Bucket, path: str, size: int) -> Source:
    name = on_one_line(path)
    return Source(
        name=name.rpartition("/")[2],
        display_path=f"{bucket.url}/{name}",
        repeatable=True,
        _open=partial(unpacked, partial(_open, bucket, path)),
        size=size,
        open_range=partial(_open, bucket, path),
    )


@contextmanager
def _open(bucket: Bucket, path: str, *range_: int) -> Iterator[Stream]:
    """An object, or its bytes [start, stop)."""
    start, stop = range_ or (0, None)
    yield _Chunks(bucket.chunks(path, start, stop))


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

"""Standard input and named pipes as sources. They can be read once and only forwards.

Compressed streams are decompressed. Archives are refused, because their members are read from files only.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from pathlib import Path

from training.data.archives import DECOMPRESSORS, ZIP
from training.data.kinds import HEAD_BYTES, is_tar
from training.data.reader import Opened, Source, Stream, open_file, shown


def stdin() -> Source:
    """Standard input."""
    return Source("stdin", "- (stdin)", False, partial(unpacked, _open_stdin))


def pipe(path: Path) -> Source:
    """A named pipe, or another path that is not a regular file."""
    return Source(shown(path.name), shown(path), False, partial(unpacked, partial(open_file, path)))


class Peeked:
    """A stream whose first bytes can be looked at before they are read."""

    def __init__(self, stream: Stream) -> None:
        """Reads up to `HEAD_BYTES` of `stream` into `head`."""
        self.head = b""
        while len(self.head) < HEAD_BYTES and (block := stream.read(HEAD_BYTES - len(self.head))):
            self.head += block
        self._stream = stream
        self._waiting = self.head

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end."""
        if self._waiting:
            block, self._waiting = self._waiting[:size], self._waiting[size:]
            return block
        return self._stream.read(size)


@contextmanager
def unpacked(open_stream: Callable[[], Opened]) -> Iterator[Stream]:
    """The content of a stream that cannot be read from any position, decompressed if its first bytes say so.

    Raises:
        OSError: it is an archive.
    """
    with ExitStack() as stack:
        stream = Peeked(stack.enter_context(open_stream()))
        decompressed = next((opener for magic, opener in DECOMPRESSORS.items() if stream.head.startswith(magic)), None)
        if decompressed:
            stream = Peeked(stack.enter_context(decompressed(stream)))
        if is_tar(stream.head) or stream.head.startswith(ZIP):
            format_ = "tar" if is_tar(stream.head) else "zip"
            raise OSError(f"it is a {format_} archive, which can only be read from a file: save it and name the file")
        yield stream


def _open_stdin() -> Opened:
    if sys.stdin is None:
        raise OSError("stdin is closed")
    return nullcontext(sys.stdin.buffer)

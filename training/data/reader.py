"""One file of a corpus, read in blocks of bytes or of decoded text.

Drops a byte order mark and changes no other character. Does not know how files are found or what symbols are.
"""

import codecs
import hashlib
import lzma
import os
import re
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Protocol

from training.data.encodings import MARKS, decoder_of, wide_encoding_of, with_end
from training.data.kinds import HEAD_BYTES
from training.errors import InputError

BLOCK_BYTES = 1 << 20

# zipfile raises RuntimeError for a member that is encrypted or compressed in an unknown way, and UnicodeError for a
# member's name that is not UTF-8 although its flag says so.
UNREADABLE = (
    *(OSError, EOFError, zlib.error, lzma.LZMAError),
    *(zipfile.BadZipFile, tarfile.TarError, RuntimeError, UnicodeError),
)

# Control characters, and all characters that some program takes for the end of a line.
_CONTROLS = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029]")

_BOM = "\ufeff"


class Stream(Protocol):
    """A stream of bytes, as a source opens it."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end."""


Opened = AbstractContextManager[Stream]


@dataclass(frozen=True)
class Source:
    """A file, a member of an archive, or a pipe."""

    name: str  # for the record: base name, or archive.zip/member
    display_path: str  # for messages: the complete path
    repeatable: bool  # can be read more than once; a pipe cannot
    _open: Callable[[], Opened] = field(repr=False)
    kind: str | None = None  # such as "a Word document", if it turned out not to be text when it was opened
    encoding: str | None = None  # overrides the encoding of the corpus
    size: int = 0  # bytes, in a compressed file the compressed ones; 0 for a pipe
    # Opens the bytes [start, stop). None for a pipe and for members of an archive; the bytes may be compressed.
    open_range: Callable[[int, int], Opened] | None = field(default=None, repr=False)
    start: int = 0  # of these bytes in their file, for a part of a file

    @classmethod
    def failing(cls, path: Path, error: Exception) -> "Source":
        """A source that raises `error` when it is read."""

        def fail() -> Opened:
            raise error

        return cls(shown(path.name), shown(path), True, fail)

    def between(self, start: int, stop: int) -> "Source":
        """The bytes [start, stop) as a source."""
        assert self.open_range is not None
        opened = partial(self.open_range, start, stop)
        return replace(self, _open=opened, size=stop - start, open_range=None, start=start)

    def blocks(self) -> Iterator[bytes]:
        """The content, decompressed, about 1 MiB at a time.

        Raises:
            InputError: The source cannot be read, or its archive is damaged.
        """
        try:
            with self._open() as stream:
                while block := stream.read(BLOCK_BYTES):
                    yield block
        except UNREADABLE as error:
            raise unreadable(self.display_path, error) from error


class SourceReader:
    """Reads one source once; counts its bytes and characters and computes its SHA-256 meanwhile."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.bytes = 0
        self.chars = 0  # 0 if only bytes are read
        self.head = b""  # the first `HEAD_BYTES` bytes
        self.marked = False  # whether the text began with a byte order mark, which is not part of the text
        self._digest = hashlib.sha256()

    def blocks(self) -> Iterator[bytes]:
        """The content in blocks; `bytes` and `sha256` cover those yielded so far."""
        for block in self.source.blocks():
            self.bytes += len(block)
            if len(self.head) < HEAD_BYTES:
                self.head = (self.head + block)[:HEAD_BYTES]
            self._digest.update(block)
            yield block

    def text(self, encoding: str) -> Iterator[str]:
        """The decoded content in blocks, without a byte order mark at the start.

        Raises:
            InputError: The encoding is unknown.
            WrongEncoding: The source is not written in it.
        """
        encoding = self.source.encoding or encoding
        decoder = decoder_of(encoding)
        hidden_marks = MARKS.get(codecs.lookup(encoding).name, ())
        head, at_start = b"", self.source.start == 0
        for block, final in with_end(self.blocks(), b""):
            text = self._decode(decoder, block, encoding, final)
            if at_start:
                head = (head + block)[:4]
                self.marked = text.startswith(_BOM) or (bool(text) and head.startswith(hidden_marks))
                text = text.removeprefix(_BOM)
                at_start = not text and not self.marked
            self.chars += len(text)
            yield text

    def consume(self) -> None:
        """Read all bytes, for `bytes` and `sha256`."""
        for _ in self.blocks():
            pass

    @property
    def sha256(self) -> str:
        """Of the decompressed content, in hexadecimal."""
        return self._digest.hexdigest()

    def _decode(self, decoder: codecs.IncrementalDecoder, block: bytes, encoding: str, final: bool) -> str:
        try:
            return decoder.decode(block, final)
        except UnicodeError as error:
            fault, other = str(error), "utf-16-le"  # of a codec that misses its byte order mark
            if isinstance(error, UnicodeDecodeError):
                # The decoder may have kept bytes of earlier blocks, but its last input ends at the current position.
                offset = self.source.start + self.bytes - len(error.object) + error.start
                fault = f"byte 0x{error.object[error.start]:02x} at offset {offset}"
                other = (wide_encoding_of(error.object) if offset == 0 else None) or "cp1252"
            raise WrongEncoding(
                f"--corpus {self.source.display_path} is not {encoding.upper()}: {fault}; name the encoding that it is "
                f"written in, for example --encoding {other}, or read its bytes with --unit byte.",
                fault,
            ) from None


class WrongEncoding(InputError):
    """A file is not written in the encoding that it was read in; `fault` names the first wrong byte."""

    def __init__(self, message: str, fault: str) -> None:
        super().__init__(message)
        self.fault = fault


def open_file(path: Path) -> Opened:
    """The bytes of a file without decompression."""
    return path.open("rb")


@contextmanager
def open_range(path: Path, start: int, stop: int) -> Iterator[Stream]:
    """The bytes [start, stop) of a file without decompression."""
    with path.open("rb") as file:
        file.seek(start)
        yield _Limited(file, stop - start)


class _Limited:
    """The next so many bytes of a stream."""

    def __init__(self, stream: Stream, size: int) -> None:
        self._stream = stream
        self._left = size

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end."""
        block = self._stream.read(min(size, self._left))
        self._left -= len(block)
        return block


def shown(path: str | Path) -> str:
    """A path as UTF-8 on one line, for a record or a message: a name on disk may be any bytes."""
    return on_one_line(os.fsencode(path).decode("utf-8", "replace"))


def on_one_line(name: str) -> str:
    """A text with its control characters escaped, so that it cannot break lines or control the terminal."""
    return _CONTROLS.sub(lambda match: match[0].encode("unicode_escape").decode(), name)


def unreadable(display_path: str, error: Exception) -> InputError:
    """The error for a file that could not be opened or read."""
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return InputError(f"--corpus {display_path} cannot be read: {reason.rstrip('.')}.")

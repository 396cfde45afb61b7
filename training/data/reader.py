"""One file of a corpus, read in blocks of bytes or of decoded text.

Changes no character but drops the byte order mark. Knows nothing of symbols, nor of how a file was found.
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
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from training.data.encodings import MARKS, UTF_16_MARKS, decoder_of, with_end
from training.data.kinds import HEAD_BYTES
from training.errors import InputError

BLOCK_BYTES = 1 << 20

# zipfile raises RuntimeError for a member that is encrypted or packed in a way that it does not know, UnicodeError
# for a member's name that is not the UTF-8 that its flag promises.
UNREADABLE = (
    *(OSError, EOFError, zlib.error, lzma.LZMAError),
    *(zipfile.BadZipFile, tarfile.TarError, RuntimeError, UnicodeError),
)

# Controls and all that a reader may take for the end of a line.
_CONTROLS = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029]")

_BOM = "\ufeff"


class Stream(Protocol):
    """What a source reads from."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end."""


Opened = AbstractContextManager[Stream]


@dataclass(frozen=True)
class Source:
    """One file to be read, wherever it lies."""

    name: str  # to record: base name, or archive.zip/member
    display_path: str  # to show in a message: the whole path
    repeatable: bool  # may be read more than once; a pipe may not
    _open: Callable[[], Opened] = field(repr=False)
    kind: str | None = None  # of a file that was found to be no text when it was opened
    encoding: str | None = None  # its own, where the files of a corpus differ

    @classmethod
    def failing(cls, path: Path, error: Exception) -> "Source":
        """A source that cannot be read, for the reason that `error` gives."""

        def fail() -> Opened:
            raise error

        return cls(shown(path.name), shown(path), True, fail)

    def blocks(self) -> Iterator[bytes]:
        """The content, decompressed, about 1 MiB at a time.

        Raises:
            InputError: it cannot be read, or the archive that it is or lies in is damaged.
        """
        try:
            with self._open() as stream:
                while block := stream.read(BLOCK_BYTES):
                    yield block
        except UNREADABLE as error:
            raise unreadable(self.display_path, error) from error


class SourceReader:
    """Passes the blocks of one source on and keeps their number of bytes and their SHA-256."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.bytes = 0
        self.head = b""  # the first bytes
        self.marked = False  # by a byte order mark at its start, which is no part of the text
        self._digest = hashlib.sha256()

    def blocks(self) -> Iterator[bytes]:
        """The blocks of the source; `bytes` and `sha256` speak of those passed on so far."""
        for block in self.source.blocks():
            self.bytes += len(block)
            if len(self.head) < HEAD_BYTES:
                self.head = (self.head + block)[:HEAD_BYTES]
            self._digest.update(block)
            yield block

    def text(self, encoding: str) -> Iterator[str]:
        """The blocks, decoded, without a byte order mark at the start.

        Raises:
            InputError: the encoding is unknown, or the source is not written in it.
        """
        encoding = self.source.encoding or encoding
        decoder = decoder_of(encoding)
        hidden_marks = MARKS.get(codecs.lookup(encoding).name, ())
        head, at_start = b"", True
        for block, final in with_end(self.blocks(), b""):
            text = self._decode(decoder, block, encoding, final)
            if at_start:
                head = (head + block)[:4]
                self.marked = text.startswith(_BOM) or (bool(text) and head.startswith(hidden_marks))
                text = text.removeprefix(_BOM)
                at_start = not text and not self.marked
            yield text

    def _decode(self, decoder: codecs.IncrementalDecoder, block: bytes, encoding: str, final: bool) -> str:
        try:
            return decoder.decode(block, final)
        except UnicodeError as error:
            fault, other = str(error), "utf-16-le"  # of a codec that misses its byte order mark
            if isinstance(error, UnicodeDecodeError):
                # The decoder may have kept bytes of earlier blocks, but what it was given last ends where we are.
                offset = self.bytes - len(error.object) + error.start
                fault = f"byte 0x{error.object[error.start]:02x} at offset {offset}"
                other = "utf-16" if offset == 0 and error.object.startswith(UTF_16_MARKS) else "cp1252"
            raise NotEncodedSo(
                f"--corpus {self.source.display_path} is not {encoding.upper()}: {fault}; name the encoding that it is "
                f"written in, for example --encoding {other}, or read its bytes with --unit byte.",
                fault,
            ) from None

    def exhausted(self) -> "SourceReader":
        """Read all of the source for its checksum alone; returns itself."""
        for _ in self.blocks():
            pass
        return self

    @property
    def sha256(self) -> str:
        """Of the decompressed content, in hexadecimal."""
        return self._digest.hexdigest()


class NotEncodedSo(InputError):
    """A file is not written in the encoding that it was read in."""

    def __init__(self, message: str, fault: str) -> None:
        super().__init__(message)
        self.fault = fault


def shown(path: str | Path) -> str:
    """A path for a record or a message. A name on disk may be any bytes, but these two are UTF-8."""
    return on_one_line(os.fsencode(path).decode("utf-8", "replace"))


def on_one_line(name: str) -> str:
    """A text without controls: it stays on one line, and cannot speak to the terminal."""
    return _CONTROLS.sub(lambda match: match[0].encode("unicode_escape").decode(), name)


def unreadable(display_path: str, error: Exception) -> InputError:
    """The sentence for a file that could not be opened or read."""
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return InputError(f"--corpus {display_path} cannot be read: {reason.rstrip('.')}.")

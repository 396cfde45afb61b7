"""Where a corpus comes from: files, folders, patterns, archives and stdin, read in blocks of bytes or of decoded text.

Decompresses what is compressed. Changes no character but drops the byte order mark. Knows nothing of symbols.
"""

import bz2
import codecs
import contextlib
import glob
import gzip
import hashlib
import lzma
import os
import re
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import AnyStr, Protocol

from training.errors import InputError

BLOCK_BYTES = 1 << 20
STDIN = "-"

# zipfile raises RuntimeError for a member that is encrypted or packed in a way that it does not know, UnicodeError
# for a member's name that is not the UTF-8 that its flag promises.
_UNREADABLE = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, RuntimeError, UnicodeError)

# Controls and all that a reader may take for the end of a line.
_CONTROLS = re.compile("[\0-\x1f\x7f-\x9f\u2028\u2029]")

_BOM = "\ufeff"
# Codecs that take the mark away before it can be seen in the text.
_MARKS = {
    "utf-8-sig": (codecs.BOM_UTF8,),
    "utf-16": (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE),
    "utf-32": (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE),
}


class _Stream(Protocol):
    def read(self, size: int, /) -> bytes: ...


_Opened = AbstractContextManager[_Stream]

_DECOMPRESSORS: dict[str, Callable[[Path], _Opened]] = {
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
}


@dataclass(frozen=True)
class Source:
    """One file to be read, wherever it lies."""

    name: str  # to record: base name, or archive.zip/member
    place: str  # to show in a message: the whole path
    repeatable: bool  # may be read more than once; a pipe may not
    _open: Callable[[], _Opened] = field(repr=False)

    def blocks(self) -> Iterator[bytes]:
        """The content, decompressed, about 1 MiB at a time.

        Raises:
            InputError: it cannot be read, or the archive that it is or lies in is damaged.
        """
        try:
            with self._open() as stream:
                while block := stream.read(BLOCK_BYTES):
                    yield block
        except _UNREADABLE as error:
            raise _unreadable(self.place, error) from error


class Tally:
    """Passes the blocks of one source on and keeps their number of bytes and their SHA-256."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.bytes = 0
        self.marked = False  # by a byte order mark at its start, which is no part of the text
        self._digest = hashlib.sha256()

    def blocks(self) -> Iterator[bytes]:
        """The blocks of the source; `bytes` and `sha256` speak of those passed on so far."""
        for block in self.source.blocks():
            self.bytes += len(block)
            self._digest.update(block)
            yield block

    def text(self, encoding: str) -> Iterator[str]:
        """The blocks, decoded, without a byte order mark at the start.

        Raises:
            InputError: the encoding is unknown, or the source is not written in it.
        """
        decoder = _decoder(encoding)
        hidden_marks = _MARKS.get(codecs.lookup(encoding).name, ())
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
                other = "utf-16" if offset == 0 and error.object.startswith(_MARKS["utf-16"]) else "latin-1"
            raise InputError(
                f"--corpus {self.source.place} is not {encoding.upper()}: {fault}; name the encoding that it is "
                f"written in, for example --encoding {other}, or read its bytes with --unit byte."
            ) from None

    def exhausted(self) -> "Tally":
        """Read all of the source for its checksum alone; returns itself."""
        for _ in self.blocks():
            pass
        return self

    @property
    def sha256(self) -> str:
        """Of the decompressed content, in hexadecimal."""
        return self._digest.hexdigest()


def sources(paths: Sequence[str]) -> list[Source]:
    """What the entries of --corpus stand for, in order: a file, a folder (all under it), a pattern, or "-" for stdin.

    Raises:
        InputError: a path is missing or unreadable, a folder or pattern has no file, an archive is damaged.
    """
    return [source for path in paths for source in _sources_of(os.path.expanduser(path))]


def with_end(pieces: Iterator[AnyStr], end: AnyStr) -> Iterator[tuple[AnyStr, bool]]:
    """Each piece with False, then `end` with True."""
    for piece in pieces:
        yield piece, False
    yield end, True


def _sources_of(path: str) -> Iterator[Source]:
    if path == STDIN:
        yield Source("stdin", "- (stdin)", False, _open_stdin)
        return
    if os.path.isdir(path):
        files = _files_under(Path(path))
    elif os.path.lexists(path):
        files = [Path(path)]
    elif glob.has_magic(path):
        files = sorted({Path(match) for match in glob.glob(path, recursive=True) if os.path.isfile(match)})
        if not files:
            raise InputError(f"--corpus {_shown(path)} matches no file.")
    else:
        raise InputError(f"--corpus {_shown(path)} does not exist.")
    for file in files:
        yield from _open_with(file)


def _files_under(folder: Path) -> list[Path]:
    def refuse(error: OSError) -> None:
        raise _unreadable(_shown(error.filename), error) from error

    found = []
    for parent, folders, names in os.walk(folder, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(parent, name) for name in names if not name.startswith(".")]
    files = sorted(path for path in found if path.is_file())
    if not files:
        raise InputError(f"--corpus {_shown(folder)} is a folder with no text file in it.")
    return files


def _open_with(path: Path) -> list[Source]:
    suffix = path.suffix.lower()
    if suffix == ".zip":
        return _members(path)
    opened = partial(_DECOMPRESSORS.get(suffix, _open_plain), path)
    return [Source(_shown(path.name), _shown(path), path.is_file(), opened)]


def _members(path: Path) -> list[Source]:
    archive = _Archive(path)
    try:
        members = archive.members()
    except _UNREADABLE as error:
        raise _unreadable(_shown(path), error) from error
    if not members:
        raise InputError(f"--corpus {_shown(path)} is a zip archive with no text file in it.")
    return [
        Source(
            name=f"{_shown(path.name)}/{_on_one_line(member.filename)}",
            place=f"{_shown(path)}/{_on_one_line(member.filename)}",
            repeatable=True,
            _open=partial(archive.open, member, last=member is members[-1]),
        )
        for member in members
    ]


class _Archive:
    """A zip file, open only while its members are read: a folder may hold more archives than a process may open."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._zip: zipfile.ZipFile | None = None

    def members(self) -> list[zipfile.ZipInfo]:
        with zipfile.ZipFile(self._path) as archive:
            found = [member for member in archive.infolist() if not member.is_dir() and not _is_hidden(member.filename)]
        return sorted(found, key=lambda member: member.filename)

    @contextlib.contextmanager
    def open(self, member: zipfile.ZipInfo, *, last: bool) -> Iterator[_Stream]:
        # Kept open from one member to the next: opening reads the list of all members.
        self._zip = self._zip or zipfile.ZipFile(self._path)
        try:
            with self._zip.open(member) as stream:
                yield stream
        finally:
            if last:
                self._zip.close()
                self._zip = None


def _is_hidden(member: str) -> bool:
    return any(part.startswith(".") or part == "__MACOSX" for part in member.split("/"))


def _shown(path: str | Path) -> str:
    # A name on disk may be any bytes, but a record and a message are UTF-8.
    return _on_one_line(os.fsencode(path).decode("utf-8", "replace"))


def _on_one_line(name: str) -> str:
    # A record and a message hold a name on one line, and no name may speak to the terminal.
    return _CONTROLS.sub(lambda match: match[0].encode("unicode_escape").decode(), name)


def _open_plain(path: Path) -> _Opened:
    return path.open("rb")


def _open_stdin() -> _Opened:
    if sys.stdin is None:
        raise OSError("stdin is closed")
    return contextlib.nullcontext(sys.stdin.buffer)


def _decoder(encoding: str) -> codecs.IncrementalDecoder:
    try:
        b"a".decode(encoding)  # refuses codecs from bytes to bytes, which the next line does not
    except LookupError:
        raise InputError(f"--encoding {encoding} is not an encoding that Python knows.") from None
    except UnicodeError:
        pass  # known, and one byte is not a text in it
    return codecs.getincrementaldecoder(encoding)()


def _unreadable(place: str, error: Exception) -> InputError:
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return InputError(f"--corpus {place} cannot be read: {reason.rstrip('.')}.")

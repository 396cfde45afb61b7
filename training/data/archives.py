"""A regular file as sources: compressed files are decompressed, an archive becomes one source for each member.

The first bytes decide, not the name. Nothing is written to disk, and only regular files of an archive are read.
"""

import bz2
import contextlib
import gzip
import lzma
import tarfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import IO, Any

from training.data.kinds import HEAD_BYTES, is_tar
from training.data.reader import UNREADABLE, Opened, Source, Stream, on_one_line, open_file, open_range, shown
from training.errors import InputError

MAX_MEMBERS = 200_000

DECOMPRESSORS: dict[bytes, Callable[[Any], Opened]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\0": lzma.open,
}
"""First bytes -> opens such a file, given as a path or as a stream."""

ZIP = (b"PK\3\4", b"PK\5\6")  # the second begins an empty archive

_FORMATS = {  # by a name's end
    ".gz": "gzip",
    ".tgz": "gzip",
    ".bz2": "bzip2",
    ".xz": "xz",
    ".zip": "zip",
    ".tar": "tar",
}
# A member of the zip archive -> the kind of document that the archive is.
_DOCUMENTS = {
    "word/document.xml": "a Word document (.docx): save it as plain text",
    "xl/workbook.xml": "an Excel workbook (.xlsx): save it as CSV",
    "ppt/presentation.xml": "a PowerPoint presentation (.pptx)",
    "META-INF/MANIFEST.MF": "a Java archive",
    "META-INF/container.xml": "an EPUB book: convert it to plain text, for example with pandoc or Calibre",
    "META-INF/manifest.xml": "an OpenDocument file (.odt, .ods): save it as plain text",
}


def sources_in(path: Path) -> list[Source]:
    """One source for a file, one for each member of an archive.

    A file that cannot be opened becomes one source that raises an error when it is read.
    """
    try:
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
        return _contents(path, head)
    except (*UNREADABLE, InputError) as error:
        return [Source.failing(path, error)]


def _contents(path: Path, head: bytes) -> list[Source]:
    if head.startswith(ZIP):
        return _of_zip(path)
    if is_tar(head):
        return _of_tar(path)
    for magic, decompressed in DECOMPRESSORS.items():
        if head.startswith(magic):
            with decompressed(path) as stream:
                return _of_tar(path) if is_tar(stream.read(HEAD_BYTES)) else [_one(path, partial(decompressed, path))]
    if head and (format_ := _FORMATS.get(path.suffix.lower())):
        raise OSError(f"its name ends in {path.suffix}, and its first bytes are not those of {format_}")
    return [replace(_one(path, partial(open_file, path)), open_range=partial(open_range, path))]


def _one(path: Path, open_: Callable[[], Opened], kind: str | None = None) -> Source:
    return Source(shown(path.name), shown(path), True, open_, kind, size=path.stat().st_size)


def _of_zip(path: Path) -> list[Source]:
    with zipfile.ZipFile(path) as archive:
        members = [member for member in archive.infolist() if not member.is_dir()]
    names = {member.filename for member in members}
    for member_name, kind in _DOCUMENTS.items():
        if member_name in names:
            return [_one(path, partial(open_file, path), kind)]
    visible = sorted((m for m in members if not _is_hidden(m.filename)), key=lambda member: member.filename)
    found = [(member.filename, member.file_size, member) for member in visible]
    return _members(path, "zip", found, partial(zipfile.ZipFile, path), zipfile.ZipFile.open)


def _of_tar(path: Path) -> list[Source]:
    with tarfile.open(path) as archive:
        visible = [member for member in _regular_files(archive) if not _is_hidden(member.name)]
    found = [(member.name, member.size, member) for member in visible]
    # Keep the archive's order: in any other, a compressed archive is decompressed again for each member.
    return _members(path, "tar", found, partial(tarfile.open, path), tarfile.TarFile.extractfile)


def _regular_files(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    for number, member in enumerate(archive):
        if number == MAX_MEMBERS:
            raise OSError(f"it has more than {MAX_MEMBERS:,} members: unpack it")
        if member.isreg():
            yield member


def _members(
    path: Path,
    format_: str,
    found: Sequence[tuple[str, int, Any]],  # name, bytes, member
    open_archive: Callable[[], Any],
    open_member: Callable[[Any, Any], IO[bytes] | None],
) -> list[Source]:
    if not found:
        raise InputError(f"--corpus {shown(path)} is a {format_} archive with no text file in it.")
    archive = _Archive(open_archive, open_member)
    return [
        Source(
            name=f"{shown(path.name)}/{on_one_line(name)}",
            display_path=f"{shown(path)}/{on_one_line(name)}",
            repeatable=True,
            _open=partial(archive.open, member, last=number == len(found)),
            size=size,
        )
        for number, (name, size, member) in enumerate(found, start=1)
    ]


class _Archive:
    """An archive that is open only while its members are read: a process may not open all archives of a folder."""

    def __init__(self, open_archive: Callable[[], Any], open_member: Callable[[Any, Any], IO[bytes] | None]) -> None:
        self._open_archive = open_archive
        self._open_member = open_member
        self._archive: Any = None

    @contextlib.contextmanager
    def open(self, member: Any, *, last: bool) -> Iterator[Stream]:
        # It stays open between members, because opening it reads the list of all members.
        self._archive = self._archive or self._open_archive()
        try:
            stream = self._open_member(self._archive, member)
            assert stream is not None  # tarfile returns None for members that are not files, and these were left out
            with stream:
                yield stream
        finally:
            if last:
                self._close()

    def _close(self) -> None:
        if self._archive is not None:
            self._archive.close()
            self._archive = None

    def __del__(self) -> None:
        self._close()  # if the last member was never read


def _is_hidden(member: str) -> bool:
    parts = [part for part in member.split("/") if part not in (".", "..")]
    return any(part.startswith(".") or part == "__MACOSX" for part in parts)

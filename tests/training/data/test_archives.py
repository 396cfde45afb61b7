"""Compressed files and archives as sources."""

import bz2
import gzip
import io
import lzma
import os
import tarfile
import zipfile
from pathlib import Path

import pytest

from training.data.archives import sources_in
from training.errors import InputError

TEXT = "".join(f"line {number}: naïve 漢字\n" for number in range(3000)).encode()


def content(path: Path) -> dict[str, bytes]:
    return {source.name: b"".join(source.blocks()) for source in sources_in(path)}


def write_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def write_tar(path: Path, mode: str = "w", format_: int = tarfile.PAX_FORMAT) -> Path:
    """Two files outside the folder of the archive, and a link."""
    with tarfile.open(path, mode, format=format_) as archive:  # type: ignore[call-overload]
        for name in ("b", "a"):
            member = tarfile.TarInfo(f"../{name}.txt")
            member.size = 20
            archive.addfile(member, io.BytesIO(name.encode() * 20))
        link = tarfile.TarInfo("link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
        archive.addfile(link)
    return path


def open_files() -> list[str]:
    folder = Path("/proc/self/fd")
    return [os.readlink(link) for link in folder.iterdir() if link.is_symlink()] if folder.exists() else []


def spoiled(packed: bytes) -> bytes:
    middle = len(packed) // 2
    return packed[:middle] + bytes(byte ^ 0x55 for byte in packed[middle : middle + 40]) + packed[middle + 40 :]


@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), (".bz2", bz2.compress), (".XZ", lzma.compress)])
def test_a_compressed_file_is_decompressed(tmp_path: Path, suffix, pack) -> None:
    path = tmp_path / f"text.txt{suffix}"
    path.write_bytes(pack(TEXT))
    assert content(path) == {f"text.txt{suffix}": TEXT}


def test_every_member_of_a_zip_is_a_source(tmp_path: Path) -> None:
    hidden = {"__MACOSX/b.txt": b"never", "a/.hidden": b"never", "empty/": b""}
    path = write_zip(tmp_path / "books.zip", {"b.txt": b"two", "a/deep.txt": b"one"} | hidden)
    assert content(path) == {"books.zip/a/deep.txt": b"one", "books.zip/b.txt": b"two"}


def test_members_can_be_read_again_and_the_archive_is_closed(tmp_path: Path) -> None:
    found = sources_in(write_zip(tmp_path / "books.zip", {"b.txt": b"two", "a.txt": b"one"}))
    assert [b"".join(source.blocks()) for source in [*found, *found]] == [b"one", b"two"] * 2
    assert not [link for link in open_files() if link.endswith("books.zip")]


@pytest.mark.parametrize(("name", "mode"), [("packed", "w:gz"), ("packed.tar", "w"), ("packed.txt", "w:xz")])
def test_regular_files_of_a_tar_are_sources_in_its_order(tmp_path: Path, name: str, mode: str) -> None:
    path = write_tar(tmp_path / name, mode)
    assert content(path) == {f"{name}/../b.txt": b"b" * 20, f"{name}/../a.txt": b"a" * 20}


def test_a_tar_of_unix_v7_is_read(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "old.tar", format_=tarfile.USTAR_FORMAT)
    old = bytearray(path.read_bytes())
    for start in (0, 1024, 2048):  # the headers
        old[start + 257 : start + 512] = bytes(255)
        old[start + 148 : start + 156] = b" " * 8
        old[start + 148 : start + 156] = b"%06o\0 " % sum(old[start : start + 512])
    path.write_bytes(old)
    assert content(path) == {"old.tar/../b.txt": b"b" * 20, "old.tar/../a.txt": b"a" * 20}


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("short.gz", gzip.compress(TEXT)[:-50], "cannot be read"),
        ("broken.gz", spoiled(gzip.compress(TEXT)), "cannot be read"),
        ("other.gz", TEXT, "its name ends in .gz, and its first bytes are not those of gzip"),
        ("short.bz2", bz2.compress(TEXT)[:-50], "cannot be read"),
        ("broken.bz2", spoiled(bz2.compress(TEXT)), "cannot be read"),
        ("short.xz", lzma.compress(TEXT)[:-50], "cannot be read"),
        ("broken.xz", spoiled(lzma.compress(TEXT)), "cannot be read"),
        ("other.zip", TEXT, "cannot be read"),
    ],
)
def test_a_damaged_file_is_a_source_that_cannot_be_read(tmp_path: Path, name: str, data: bytes, words: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError) as refusal:
        content(tmp_path / name)
    assert str(refusal.value).startswith(f"--corpus {tmp_path / name} ")
    assert words in str(refusal.value)


def test_damaged_archives_cannot_be_read(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"a": TEXT})
    path.write_bytes(spoiled(path.read_bytes()))
    with pytest.raises(InputError, match=r"a\.zip.* cannot be read"):
        content(path)
    path = write_tar(tmp_path / "a.tar")
    path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(InputError, match=r"a\.tar.* cannot be read"):
        content(path)


def test_an_archive_without_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"empty\.zip is a zip archive with no text file in it"):
        content(write_zip(tmp_path / "empty.zip", {"folder/": b""}))


def test_a_zip_whose_names_are_not_the_utf8_that_they_promise_is_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"é.txt": b"one"})
    path.write_bytes(path.read_bytes().replace("é".encode(), b"\xff\xff"))
    with pytest.raises(InputError, match=r"a\.zip cannot be read"):
        content(path)


def test_a_document_is_one_source_with_its_kind(tmp_path: Path) -> None:
    members = {"[Content_Types].xml": b"<Types/>", "word/document.xml": b"<w:document/>"}
    (source,) = sources_in(write_zip(tmp_path / "letter.docx", members))
    assert source.kind == "a Word document (.docx): save it as plain text"

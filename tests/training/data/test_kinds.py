"""Files that are recognised by their first bytes."""

import io
import tarfile

import pytest

from training.data.kinds import is_tar, kind_of


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\x89PNG\r\n\x1a\n", "a PNG image"),
        (b"%PDF-1.7", "a PDF document"),
        (b"\0\0\0\x18ftypheic", "an MP4 or HEIC file"),
        (b"BM\x36\0\0\0", "a BMP image"),
        (b"BMW builds cars.", None),
        (b"MZ is a short signature", None),
        (b"plain text", None),
        (b"", None),
    ],
)
def test_kind_follows_from_the_first_bytes(head: bytes, kind: str | None) -> None:
    assert kind_of(head) == kind


def tar(format_: int) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w", format=format_) as archive:
        member = tarfile.TarInfo("a.txt")
        member.size = 4
        archive.addfile(member, io.BytesIO(b"text"))
    return content.getvalue()


def v7(archive: bytes) -> bytes:
    """The archive as Unix v7 wrote it: its header ends after the name of a link."""
    header = archive[:148] + b" " * 8 + archive[156:257] + bytes(255)
    return header[:148] + b"%06o\0 " % sum(header) + header[156:] + archive[512:]


@pytest.mark.parametrize("format_", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_tar_archives_are_recognised(format_: int) -> None:
    assert is_tar(tar(format_))


def test_a_tar_archive_without_magic_is_recognised_by_its_checksum() -> None:
    archive = v7(tar(tarfile.USTAR_FORMAT))
    assert b"ustar" not in archive
    with tarfile.open(fileobj=io.BytesIO(archive)) as read:
        assert read.getnames() == ["a.txt"]
    assert is_tar(archive)
    assert not is_tar(b"b" + archive[1:])
    assert not is_tar(archive[:511])


@pytest.mark.parametrize("field", [b"01234567", b"9999999 ", b"        ", b"\0" * 8, b"-0000001", b"text!!!!"])
def test_a_text_is_not_a_tar_archive(field: bytes) -> None:
    assert not is_tar(b"a" * 148 + field + b"a" * 600)

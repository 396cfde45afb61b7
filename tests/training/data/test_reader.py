"""One source, read as bytes or as text."""

import hashlib
from pathlib import Path

import pytest

from training.data import reader
from training.data.archives import sources_in
from training.data.reader import Source, SourceReader, WrongEncoding, on_one_line, shown
from training.errors import InputError


def reader_of(path: Path, data: bytes) -> SourceReader:
    path.write_bytes(data)
    (source,) = sources_in(path)
    return SourceReader(source)


def test_bytes_are_counted_and_hashed(tmp_path: Path) -> None:
    found = reader_of(tmp_path / "t", b"abc")
    found.consume()
    # FIPS 180's own example.
    assert found.sha256 == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert (found.bytes, found.chars, found.head) == (3, 0, b"abc")


def test_a_long_file_is_read_in_blocks(tmp_path: Path) -> None:
    data = bytes(3 * reader.BLOCK_BYTES + 5)
    found = reader_of(tmp_path / "t", data)
    assert max(map(len, found.blocks())) == reader.BLOCK_BYTES
    assert (found.bytes, found.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert found.head == bytes(8192)


def test_a_failing_source_raises_its_error_when_it_is_read(tmp_path: Path) -> None:
    source = Source.failing(tmp_path / "a.txt", PermissionError(13, "Permission denied"))
    with pytest.raises(InputError, match=r"--corpus .*/a\.txt cannot be read: Permission denied\.$"):
        next(source.blocks())


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1 << 20])
@pytest.mark.parametrize(
    ("encoding", "mark"),
    [
        ("utf-8", "\ufeff"),
        ("utf-8", ""),
        ("utf-8-sig", ""),  # the codec writes the mark
        ("utf-16", ""),
        ("utf-16-le", "\ufeff"),
        ("utf-32", ""),
        ("gb18030", ""),
        ("latin-1", ""),
    ],
)
def test_text_is_decoded_across_blocks_without_a_mark(tmp_path, monkeypatch, size, encoding, mark) -> None:
    monkeypatch.setattr(reader, "BLOCK_BYTES", size)
    text = "naïve" if encoding == "latin-1" else "naïve\ufeff漢字\U0001f600"
    found = reader_of(tmp_path / "t", (mark + text).encode(encoding))
    assert "".join(found.text(encoding)) == text
    assert found.chars == len(text)
    assert found.marked == (bool(mark) or encoding in ("utf-8-sig", "utf-16", "utf-32"))


@pytest.mark.parametrize("size", [1, 3, 1 << 20])
@pytest.mark.parametrize(
    ("data", "encoding", "words"),
    [
        (b"na\xefve", "utf-8", ["is not UTF-8", "byte 0xef at offset 2;", "--encoding cp1252", "--unit byte"]),
        ("漢字".encode()[:-1], "utf-8", ["byte 0xe5 at offset 3;"]),
        (b"abcdefgh\x81\x30x", "gb18030", ["is not GB18030", "0x81 at offset 8;"]),
        (b"abc\x81", "cp1252", ["is not CP1252", "0x81 at offset 3;"]),
        (b"a\x00b\x00", "utf-16", ["is not UTF-16", "--encoding utf-16-le"]),
        (b"a\x00\x00\xdc", "utf-16-le", ["is not UTF-16-LE", "offset 2;"]),
        ("text".encode("utf-16"), "utf-8", ["0xff at offset 0;"]),
    ],
)
def test_a_wrong_encoding_is_named_with_the_first_wrong_byte(
    tmp_path, monkeypatch, size, data, encoding, words
) -> None:
    monkeypatch.setattr(reader, "BLOCK_BYTES", size)
    with pytest.raises(WrongEncoding) as refusal:
        list(reader_of(tmp_path / "t", data).text(encoding))
    for word in [str(tmp_path / "t"), refusal.value.fault, *words]:
        assert word in str(refusal.value)


def test_utf_16_read_as_utf_8_is_recognised_by_its_mark(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"0xff at offset 0;.*--encoding utf-16,"):
        list(reader_of(tmp_path / "t", "text".encode("utf-16")).text("utf-8"))


def test_a_source_may_have_its_own_encoding(tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(b"na\xefve")
    (source,) = sources_in(tmp_path / "t")
    own = Source(source.name, source.display_path, True, lambda: (tmp_path / "t").open("rb"), encoding="cp1252")
    assert "".join(SourceReader(own).text("utf-8")) == "naïve"


def test_a_path_is_shown_as_utf_8_on_one_line() -> None:
    assert shown("na\udcefve.txt") == "na\ufffdve.txt"
    assert on_one_line("a\nb\u2028c\x85d\x1b[31m é紅\u3000.txt") == "a\\nb\\u2028c\\x85d\\x1b[31m é紅\u3000.txt"


def test_a_range_of_a_file_is_a_source_whose_mark_and_signature_are_text(tmp_path: Path) -> None:
    data = b"one\n" + b"\xef\xbb\xbf%PDF-\ntwo\n" + b"\xff"
    (tmp_path / "t").write_bytes(data)
    (source,) = sources_in(tmp_path / "t")
    part = source.between(4, 17)
    assert (source.size, part.size, part.start, part.open_range) == (len(data), 13, 4, None)
    assert b"".join(part.blocks()) == data[4:17]
    found = SourceReader(part)
    assert "".join(found.text("utf-8")) == "\ufeff%PDF-\ntwo\n"
    assert not found.marked
    with pytest.raises(WrongEncoding, match="byte 0xff at offset 17"):
        list(SourceReader(source.between(4, 19)).text("utf-8"))

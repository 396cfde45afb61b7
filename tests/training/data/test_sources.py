import bz2
import gzip
import hashlib
import io
import lzma
import os
import sys
import threading
import zipfile
from pathlib import Path

import pytest

from training.data import reader as module
from training.data.reader import SourceReader
from training.data.sources import sources
from training.errors import InputError

TEXT = "".join(f"line {number}: naïve 漢字\n" for number in range(3000)).encode()


def content(*paths: str | Path) -> dict[str, bytes]:
    return {source.name: b"".join(source.blocks()) for source in sources([str(path) for path in paths])}


def write_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def test_a_folder_is_read_in_name_order_and_hidden_names_ignored(tmp_path: Path) -> None:
    for name in ("b.txt", "a/deep.txt", "a/.hidden", ".git/config", "a/.cache/x.txt", "B.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    assert list(content(tmp_path).values()) == [b"B.txt", b"a/deep.txt", b"b.txt"]
    assert list(content(tmp_path)) == ["B.txt", "deep.txt", "b.txt"]


def test_a_pattern_finds_files_below_unless_a_file_has_that_very_name(tmp_path: Path) -> None:
    for name in ("x/1.txt", "x/y/2.txt", "x/y/3.md", "0.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    assert list(content(tmp_path / "**" / "*.txt")) == ["0.txt", "1.txt", "2.txt"]
    assert list(content(tmp_path / "x" / "*")) == ["1.txt"]
    (tmp_path / "[1].txt").write_text("literally")
    (tmp_path / "1.txt").write_text("by pattern")
    assert content(tmp_path / "[1].txt") == {"[1].txt": b"literally"}


@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), (".bz2", bz2.compress), (".XZ", lzma.compress)])
def test_a_compressed_file_is_read_as_what_it_holds(tmp_path: Path, suffix, pack) -> None:
    path = tmp_path / f"text.txt{suffix}"
    path.write_bytes(pack(TEXT))
    assert content(path) == {f"text.txt{suffix}": TEXT}
    reader = SourceReader(sources([str(path)])[0])
    reader.consume()
    assert (reader.bytes, reader.sha256) == (len(TEXT), hashlib.sha256(TEXT).hexdigest())


def test_every_member_of_a_zip_is_a_file_of_its_own(tmp_path: Path) -> None:
    members = {
        "b.txt": b"two",
        "a/deep.txt": b"one",
        "__MACOSX/b.txt": b"never",
        "a/.hidden": b"never",
        "empty/": b"",
    }
    path = write_zip(tmp_path / "books.zip", members)
    assert content(path) == {"books.zip/a/deep.txt": b"one", "books.zip/b.txt": b"two"}
    found = sources([str(path)])
    assert [b"".join(source.blocks()) for source in [*found, *found]] == [b"one", b"two"] * 2
    assert not [link for link in _open_files() if link.endswith("books.zip")]


def _open_files() -> list[str]:
    folder = Path("/proc/self/fd")
    return [os.readlink(link) for link in folder.iterdir() if link.is_symlink()] if folder.exists() else []


def test_stdin_and_pipes_are_read_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(TEXT)))
    (source,) = sources(["-"])
    assert (source.name, source.repeatable) == ("stdin", False)
    assert b"".join(source.blocks()) == TEXT
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(TEXT,))
    writer.start()
    (source,) = sources([str(pipe)])
    assert not source.repeatable
    assert b"".join(source.blocks()) == TEXT
    writer.join()
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(InputError, match="stdin is closed"):
        list(sources(["-"])[0].blocks())


def test_nothing_is_read_at_once(tmp_path: Path) -> None:
    path = tmp_path / "long.txt"
    path.write_bytes(bytes(3 * module.BLOCK_BYTES + 5))
    (source,) = sources([str(path)])
    assert max(map(len, source.blocks())) == module.BLOCK_BYTES


@pytest.mark.parametrize(
    ("name", "make", "words"),
    [
        ("missing.txt", lambda path: None, "does not exist"),
        ("folder", lambda path: path.mkdir(), "folder with no text file"),
        ("*.nothing", lambda path: None, "matches no file"),
        ("short.gz", lambda path: path.write_bytes(gzip.compress(TEXT)[:-50]), "cannot be read"),
        ("other.gz", lambda path: path.write_bytes(TEXT), "cannot be read"),
        ("broken.gz", lambda path: path.write_bytes(_spoiled(gzip.compress(TEXT))), "cannot be read"),
        ("short.bz2", lambda path: path.write_bytes(bz2.compress(TEXT)[:-50]), "cannot be read"),
        ("broken.bz2", lambda path: path.write_bytes(_spoiled(bz2.compress(TEXT))), "cannot be read"),
        ("short.xz", lambda path: path.write_bytes(lzma.compress(TEXT)[:-50]), "cannot be read"),
        ("broken.xz", lambda path: path.write_bytes(_spoiled(lzma.compress(TEXT))), "cannot be read"),
        ("other.zip", lambda path: path.write_bytes(TEXT), "cannot be read"),
        ("broken.zip", lambda path: path.write_bytes(_spoiled(write_zip(path, {"a": TEXT}).read_bytes())), "cannot be"),
        ("empty.zip", lambda path: write_zip(path, {"folder/": b""}), "zip archive with no text file"),
        ("dangling.txt", lambda path: path.symlink_to("nowhere"), "cannot be read: No such file"),
    ],
)
def test_what_cannot_be_read_is_refused_by_name(tmp_path: Path, name, make, words) -> None:
    path = tmp_path / name
    make(path)
    with pytest.raises(InputError) as refusal:
        content(path)
    assert str(refusal.value).startswith(f"--corpus {path}")
    assert words in str(refusal.value)


def _spoiled(packed: bytes) -> bytes:
    middle = len(packed) // 2
    return packed[:middle] + bytes(byte ^ 0x55 for byte in packed[middle : middle + 40]) + packed[middle + 40 :]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_files_and_folders_without_permission_are_refused(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir()
    (tmp_path / "locked" / "a.txt").write_text("a")
    (tmp_path / "locked").chmod(0)
    with pytest.raises(InputError, match="locked cannot be read: Permission denied"):
        content(tmp_path)
    (tmp_path / "locked").chmod(0o700)


def test_a_name_that_is_not_utf8_can_still_be_recorded(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path) + b"/na\xefve.txt"
    with open(path, "wb") as file:
        file.write(b"abc")
    (source,) = sources([str(tmp_path)])
    assert source.name == "na\ufffdve.txt"
    assert list(source.blocks()) == [b"abc"]


def test_a_name_is_shown_and_recorded_on_one_line(tmp_path: Path) -> None:
    name = "a\nb\u2028c\x85d\x1b[31m é紅\u3000.txt"
    write_zip(tmp_path / "archive.zip", {name: b"one"})
    (tmp_path / name).write_bytes(b"two")
    shown = "a\\nb\\u2028c\\x85d\\x1b[31m é紅\u3000.txt"
    found = sources([str(tmp_path)])
    assert [source.name for source in found] == [shown, f"archive.zip/{shown}"]
    assert [source.display_path for source in found] == [f"{tmp_path}/{source.name}" for source in found]
    with pytest.raises(InputError) as refusal:
        sources([str(tmp_path / "a\nb")])
    assert str(refusal.value) == f"--corpus {tmp_path}/a\\nb does not exist."


def test_a_zip_whose_names_are_not_the_utf8_that_they_promise_is_refused(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "a.zip", {"é.txt": b"one"})
    path.write_bytes(path.read_bytes().replace("é".encode(), b"\xff\xff"))
    with pytest.raises(InputError, match=r"a\.zip cannot be read"):
        content(path)


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
def test_text_is_decoded_across_blocks_and_a_mark_dropped(tmp_path, monkeypatch, size, encoding, mark) -> None:
    monkeypatch.setattr(module, "BLOCK_BYTES", size)
    text = "naïve\ufeff" + ("" if encoding == "latin-1" else "漢字\U0001f600")
    text = text.replace("\ufeff", "") if encoding == "latin-1" else text
    (tmp_path / "t").write_bytes((mark + text).encode(encoding))
    reader = SourceReader(sources([str(tmp_path / "t")])[0])
    assert "".join(reader.text(encoding)) == text
    assert reader.marked == (bool(mark) or encoding in ("utf-8-sig", "utf-16", "utf-32"))


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
    ],
)
def test_what_is_not_in_the_encoding_is_named_with_its_place(
    tmp_path, monkeypatch, size, data, encoding, words
) -> None:
    monkeypatch.setattr(module, "BLOCK_BYTES", size)
    (tmp_path / "t").write_bytes(data)
    with pytest.raises(InputError) as refusal:
        list(SourceReader(sources([str(tmp_path / "t")])[0]).text(encoding))
    for word in [str(tmp_path / "t"), *words]:
        assert word in str(refusal.value)


def test_utf16_read_as_utf8_is_recognised_by_its_mark(tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes("text".encode("utf-16"))
    with pytest.raises(InputError, match=r"0xff at offset 0;.*--encoding utf-16,"):
        list(SourceReader(sources([str(tmp_path / "t")])[0]).text("utf-8"))


@pytest.mark.parametrize("encoding", ["klingon", "hex", "rot13", ""])
def test_an_encoding_that_is_none_is_refused(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "t").write_text("a")
    with pytest.raises(InputError, match=f"--encoding {encoding} is not an encoding"):
        list(SourceReader(sources([str(tmp_path / "t")])[0]).text(encoding))

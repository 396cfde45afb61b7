"""The shares of a text that processes encode."""

import gzip
import zipfile
from pathlib import Path

import pytest

from tests.training.data.texts import config, write
from training.config import TrainConfig
from training.data.reader import Source
from training.data.selection import Selection
from training.data.shares import share_of
from training.data.sources import ALL, sources


def shares(found: list[Source], parts: int, settings: TrainConfig, selection: Selection = ALL) -> list[list[bytes]]:
    """The pieces of files in each share."""
    return [
        [b"".join(source.blocks()) for source in share_of(found, part, parts, settings, selection)]
        for part in range(parts)
    ]


def shares_of(folder: Path, *contents: bytes, parts: int = 2, **changes: object) -> list[list[bytes]]:
    return shares(sources([write(folder / "texts", *contents)]), parts, config(**changes))


def test_a_file_is_cut_behind_a_newline(tmp_path: Path) -> None:
    text = b"a\r\nb\r\nc\r\nd\r\ne"
    assert shares_of(tmp_path, text) == [[b"a\r\nb\r\n"], [b"c\r\nd\r\ne"]]
    assert shares_of(tmp_path, text, parts=4) == [[b"a\r\n"], [b"b\r\n"], [b"c\r\n"], [b"d\r\ne"]]


def test_a_long_line_belongs_to_one_share(tmp_path: Path) -> None:
    assert shares_of(tmp_path, "é".encode() * 20 + b"\nb", parts=4) == [["é".encode() * 20 + b"\n"], [], [], [b"b"]]
    assert shares_of(tmp_path, b"aaaa", parts=3) == [[b"aaaa"], [], []]


def test_no_share_begins_with_an_accent_on_the_character_before(tmp_path: Path) -> None:
    accent = "\u0301b\nc".encode()
    assert shares_of(tmp_path, b"aaaa", accent) == [[b"aaaa", "\u0301b\n".encode()], [b"c"]]
    assert shares_of(tmp_path, b"aaa\n", accent) == [[b"aaa\n", "\u0301b\n".encode()], [b"c"]]
    assert shares_of(tmp_path, b"aaaaa", accent, normalization="none") == [[b"aaaaa"], [accent]]
    assert shares_of(tmp_path, b"aaaa", b"", accent) == [[b"aaaa", b"", "\u0301b\n".encode()], [b"c"]]


def test_bytes_are_cut_anywhere(tmp_path: Path) -> None:
    assert shares_of(tmp_path, b"a\r\nbcd", b"ef", parts=4, unit="byte") == [[b"a\r"], [b"\nb"], [b"cd"], [b"ef"]]


@pytest.mark.parametrize(
    ("settings", "selection"),
    [
        (config(encoding="auto"), ALL),
        (config(encoding="utf-16"), ALL),
        (config(), Selection(skip_unreadable=True)),
        (config(unit="byte"), Selection(skip_unreadable=True)),
    ],
    ids=["auto", "utf-16", "skip", "skip bytes"],
)
def test_files_that_are_read_as_a_whole_are_not_cut(
    tmp_path: Path, settings: TrainConfig, selection: Selection
) -> None:
    contents = [text.encode(settings.encoding.replace("auto", "utf-8")) for text in ("a\nb\nc\nd\n", "e\nf\n")]
    found = sources([write(tmp_path / "texts", *contents)])
    assert shares(found, 3, settings, selection) == [[contents[0]], [], [contents[1]]]


def test_archives_are_cut_between_their_members_and_compressed_files_not_at_all(tmp_path: Path) -> None:
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"one\ntwo\n" * 10))
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        for name in "abcd":
            archive.writestr(name, f"{name}\n{name}\n" * 10)
    found = sources([str(tmp_path / name) for name in ("a.gz", "b.zip")])
    pieces = shares(found, 3, config())
    assert [piece for share in pieces for piece in share] == [b"".join(source.blocks()) for source in found]
    assert [len(share) for share in pieces] == [2, 2, 1]

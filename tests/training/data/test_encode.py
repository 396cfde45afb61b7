"""The first pass: provisional ids on disk, and how often each symbol occurs."""

import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tests.training.data.texts import config, hard_text, plain_text, set_small_blocks, write
from training.data.encode import FirstPass, read_sources
from training.data.sources import sources
from training.errors import InputError


def first_pass(tmp_path: Path, *contents: str | bytes, **changes) -> FirstPass:
    return read_sources(sources([write(tmp_path / "texts", *contents)]), config(**changes), tmp_path / "ids")


def points_of(found: FirstPass) -> list[int]:
    return found.points[np.fromfile(found.path, np.uint16)].tolist()


@pytest.mark.parametrize("seed", range(10))
def test_provisional_ids_stand_for_the_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    generator = random.Random(seed)
    set_small_blocks(monkeypatch, generator)
    contents = [hard_text(generator, generator.choice([0, 1, 30, 200])) for _ in range(4)] + ["the end"]
    found = first_pass(tmp_path, *contents)
    text = plain_text(*contents)
    assert points_of(found) == list(map(ord, text))
    assert found.occurrences == Counter(map(ord, text))
    assert (found.symbols, found.ends[-1]) == (len(text), len(text))
    assert np.concatenate(list(found.blocks(3, 9))).tolist() == np.fromfile(found.path, np.uint16)[3:9].tolist()


def test_bytes_keep_their_values_as_provisional_ids(tmp_path: Path) -> None:
    data = random.Random(2).randbytes(2000) + b"\xef\xbb\xbf\r\n\r\0"
    found = first_pass(tmp_path, data, unit="byte", encoding="klingon")
    assert np.fromfile(found.path, np.uint16).tolist() == list(data)
    assert found.points.tolist() == list(range(256))
    assert found.notes == ()


def test_each_file_has_a_range(tmp_path: Path) -> None:
    found = first_pass(tmp_path, "ab", "", "cde\n", split_by="each-file")
    assert found.ranges == [(0, 2), (2, 2), (2, 6)]
    assert [file.source.name for file in found.files] == ["000.txt", "001.txt", "002.txt"]


@pytest.mark.parametrize(("split_by", "text"), [("char", "café"), ("line", "café"), ("file", "cafe\u0301")])
def test_files_compose_across_their_border_unless_they_are_shuffled(tmp_path: Path, split_by: str, text: str) -> None:
    found = first_pass(tmp_path, "cafe", "\u0301", split_by=split_by)
    assert "".join(map(chr, points_of(found))) == text


@pytest.mark.parametrize(("text", "lines"), [("a\nb\n", (2, 0)), ("a\nb", (1, 1)), ("\n\n", (2, 0)), ("a", (0, 1))])
def test_lines_are_counted_with_the_unterminated_one(tmp_path: Path, text: str, lines: tuple[int, int]) -> None:
    assert first_pass(tmp_path, text).lines == lines


@pytest.mark.parametrize(
    ("content", "changes", "words"),
    [
        (b"+2AA-" * 9 + b"a", {"encoding": "utf-7"}, ["half a surrogate pair", "--encoding utf-7", "--unit byte"]),
        ("".join(map(chr, range(0x10000, 0x20100))), {}, ["more than 65,535 distinct", "--unit byte"]),
    ],
)
def test_a_text_that_cannot_be_encoded_is_refused(tmp_path: Path, content, changes, words) -> None:
    with pytest.raises(InputError) as refusal:
        first_pass(tmp_path, content, **changes)
    for word in words:
        assert word in str(refusal.value)

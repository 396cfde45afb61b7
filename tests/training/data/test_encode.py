"""Any bytes in any encoding become the ids of the text that a person would read."""

import io
import itertools
import random
import unicodedata
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tests.training.data.texts import config, set_small_blocks, write
from training.data.normalize import never_composes
from training.data.prepare import prepare
from training.data.vocabulary import REPLACEMENT

# What makes cutting hard: accents of several classes, letters that compose, Hangul parts, line ends of three kinds.
HARD = [
    "a",
    "e",
    "é",
    "\u0301",
    "\u0323",
    "\u0344",
    "\u1100",
    "\u1161",
    "\u11a8",
    "각",
    "가",
    "か",
    "\u3099",
    "漢",
    "\u212b",
]
HARD += ["\r", "\n", "\r\n", "\r\n", " ", "x", "\U0001f600", "\u0b47", "\u0b3e", "\ufeff", "\u0f71", "\u0f72"]


def hard_text(generator: random.Random, length: int) -> str:
    return "".join(generator.choice(HARD) for _ in range(length))


def plain_text(*contents: str, normalization: str = "NFC") -> str:
    """The text of files by the shortest means: everything in memory at once."""
    texts = [io.TextIOWrapper(io.BytesIO(content.encode()), "utf-8", newline=None).read() for content in contents]
    text = "".join(text.removeprefix("\ufeff") for text in texts)
    return unicodedata.normalize("NFC", text) if normalization == "NFC" else text


def plain_ids(text: str, min_count: int = 1) -> list[int]:
    frequent = sorted(symbol for symbol, count in Counter(text).items() if count >= min_count)
    ids = {symbol: number for number, symbol in enumerate(frequent, start=1)}
    return [ids.get(symbol, 0) for symbol in text]


@pytest.mark.parametrize("seed", range(40))
def test_text_is_that_of_the_joined_files_wherever_blocks_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    generator = random.Random(seed)
    set_small_blocks(monkeypatch, generator)
    contents = [hard_text(generator, generator.choice([0, 1, 30, 200])) for _ in range(4)] + ["eee xxx the end"]
    settings = config(normalization=generator.choice(["NFC", "none"]), min_count=generator.choice([1, 1, 3]))
    corpus = prepare([write(tmp_path / "texts", *contents)], settings, tmp_path / "corpus")
    text = plain_text(*contents, normalization=settings.normalization)
    assert corpus.ids.tolist() == plain_ids(text, settings.min_count)
    assert corpus.unknown == corpus.ids.tolist().count(0)
    known = set(corpus.vocabulary.to_json())
    assert corpus.text(0, len(corpus)) == "".join(symbol if symbol in known else REPLACEMENT for symbol in text)


def test_a_text_is_cut_only_where_no_character_joins_the_one_before() -> None:
    characters = [chr(point) for point in itertools.chain(range(0xD800), range(0xE000, 0x110000))]
    decompositions = [unicodedata.decomposition(character).split() for character in characters]
    joining = {chr(int(parts[1], 16)) for parts in decompositions if len(parts) == 2 and not parts[0].startswith("<")}
    for character in filter(never_composes, characters):
        first = unicodedata.normalize("NFD", character)[0]
        assert not unicodedata.combining(first)
        assert first not in joining
    assert not any(map(never_composes, "\u1161\u11a8"))  # Hangul vowels and finals join by rule, not by that table


def test_the_letter_of_one_file_takes_the_accent_of_the_next_but_not_where_files_are_shuffled(tmp_path: Path) -> None:
    path = write(tmp_path / "texts", "cafe", "\u0301 au lait", "more")
    assert prepare([path], config(), tmp_path / "1").text(0, 7) == "café au"
    whole = prepare([path], config(split_by="file", split=(0.4, 0.3, 0.3)), tmp_path / "2")
    assert len(whole) == len(prepare([path], config(), tmp_path / "1")) + 1


def test_what_was_changed_is_told(tmp_path: Path) -> None:
    path = write(tmp_path / "texts", "\ufeffa\r\nb\r\nc\rd\n", "e\0\0\u0301" + "\u00e0" * 50, "e\u0301q")
    corpus = prepare([path], config(min_count=2), tmp_path / "corpus")
    notes = "\n".join(corpus.notes)
    assert "mark at the start of 000.txt was dropped" in notes
    assert "1 CR and 2 CR LF" in notes
    assert "001.txt holds 2 NUL characters" in notes
    assert "NFC" in notes
    rare = [symbol for symbol, count in Counter(plain_text("a\nb\nc\nd\ne\0\0\u0301éq")).items() if count < 2]
    assert f"{len(rare)} rare symbols ({len(rare)} occurrences) became id 0" in notes
    assert corpus.unknown == len(rare)
    assert prepare([write(tmp_path / "plain", "nothing to say\n" * 9)], config(), tmp_path / "other").notes == ()


def test_bytes_are_taken_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_small_blocks(monkeypatch, random.Random(1))
    data = random.Random(2).randbytes(2000) + b"\xef\xbb\xbf\r\n\r\0"
    corpus = prepare([write(tmp_path / "data", data)], config(unit="byte", encoding="klingon"), tmp_path / "c")
    values = sorted(set(data))
    assert corpus.vocabulary.to_json() == [None, *values]
    assert corpus.ids.tolist() == [values.index(byte) + 1 for byte in data]
    assert corpus.ids.dtype == np.uint16  # 256 values and the reserved id
    assert corpus.notes == ()

"""Parts that are encoded one by one and joined are the encoding of the text."""

import gzip
import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.training.data.encoded import encode_all
from tests.training.data.texts import config, hard_text, set_small_blocks, write
from training.config import TrainConfig
from training.data import shares
from training.data.corpus import Corpus
from training.data.encode_part import encode_part
from training.data.join import join
from training.data.prepare import prepare
from training.data.vocabulary import Vocabulary
from training.errors import InputError


def assert_joined_as_prepared(folder: Path, text: str, settings: TrainConfig, parts: int) -> None:
    encode_all(text, settings, folder / "parts", parts)
    found = join(str(folder / "parts"), settings, folder / "joined")
    expected = prepare([text], settings, folder / "prepared")
    assert found.vocabulary == expected.vocabulary
    assert np.asarray(found.ids).tolist() == expected.ids.tolist()
    assert (found.split, found.unknown, found.ids.dtype) == (expected.split, expected.unknown, expected.ids.dtype)
    assert found.text(3, 30) == expected.text(3, 30)


@pytest.mark.parametrize("seed", range(30))
def test_the_parts_of_an_awkward_text_join_to_the_encoding_of_the_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Accents at the start of lines and files, three line ends, marks, empty files, fewer lines than parts."""
    generator = random.Random(seed)
    set_small_blocks(monkeypatch, generator)
    monkeypatch.setattr(shares, "SCAN_BYTES", generator.choice([1, 2, 64]))
    pieces = [hard_text(generator, generator.choice([0, 1, 2, 9, 60])) for _ in range(12)] + ["eee xxx the end"]
    contents: list[str | bytes] = [
        gzip.compress(piece.encode()) if generator.random() < 0.2 else piece for piece in pieces
    ]
    settings = config(normalization=generator.choice(["NFC", "NFC", "none"]), min_count=generator.choice([1, 1, 3]))
    text = write(tmp_path / "texts", *contents)
    assert_joined_as_prepared(tmp_path, text, settings, generator.choice([2, 3, 7, 40]))


@pytest.mark.parametrize("seed", range(5))
def test_parts_of_bytes_join_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    generator = random.Random(seed)
    set_small_blocks(monkeypatch, generator)
    contents = [generator.randbytes(generator.choice([0, 1, 100, 500])) for _ in range(5)] + [b"the end" * 9]
    assert_joined_as_prepared(tmp_path, write(tmp_path / "texts", *contents), config(unit="byte"), seed + 1)


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        ("naïve café\r\n".encode("cp1252") * 30, {"encoding": "cp1252"}),
        (("漢字 \n" * 50).encode("utf-16"), {"encoding": "utf-16"}),  # not cut
        ("naïve café\r\n".encode("cp1252") * 30, {"encoding": "auto"}),  # not cut
        (b"one line " * 50, {}),
        (("\r\n" * 100 + "end of it").encode(), {}),
        (("\ufeff" + "\ufeffa line\n" * 40).encode(), {}),
    ],
    ids=["cp1252", "utf-16", "auto", "one line", "line ends", "marks"],
)
def test_other_encodings_and_unusual_lines(tmp_path: Path, text: bytes, settings: dict[str, str]) -> None:
    assert_joined_as_prepared(tmp_path, write(tmp_path / "texts", text, text), config(**settings), 5)


def test_a_text_of_lines_is_cut_into_equal_parts(tmp_path: Path) -> None:
    text = write(tmp_path / "texts", "".join(f"line {number} é\r\n" for number in range(1000)))
    sizes = [part.symbols for part in encode_all(text, config(), tmp_path / "parts", 7)]
    assert max(sizes) - min(sizes) < 20


def test_a_vocabulary_is_used_or_extended(tmp_path: Path) -> None:
    encode_all(write(tmp_path / "texts", "zebra yak\n" * 9), config(), tmp_path / "parts", 3)
    known = Vocabulary("char", tuple(map(ord, "za")))
    corpus = join(str(tmp_path / "parts"), config(), tmp_path / "1", vocabulary=known)
    assert np.asarray(corpus.ids[:10]).tolist() == [1, 0, 0, 0, 2, 0, 0, 2, 0, 0]
    assert (corpus.vocabulary, corpus.unknown) == (known, 63)
    corpus = join(str(tmp_path / "parts"), config(), tmp_path / "2", vocabulary=known, extend=True)
    assert corpus.vocabulary.to_json() == [None, "z", "a", "\n", " ", "b", "e", "k", "r", "y"]
    assert corpus.text(0, 10) == "zebra yak\n"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"split_by": "line"}, "--split-by must be char, not line"),
        ({"split_by": "file"}, "not file"),
        ({"split_by": "each-file"}, "not each-file"),
        ({"unit": "byte"}, "was encoded with --unit char, and this run has --unit byte"),
        ({"normalization": "none"}, "with --normalization NFC, and this run has --normalization none"),
        ({"encoding": "cp1252"}, "with --encoding utf-8, and this run has --encoding cp1252"),
        ({"min_count": 1000}, "--min-count 1000 leaves 0 of 8 symbols"),
        ({"batch_size": 1000}, "1000 streams"),
    ],
)
def test_a_run_with_other_settings_is_refused(tmp_path: Path, changes: dict[str, object], words: str) -> None:
    encode_all(write(tmp_path / "texts", "some text\n" * 50), config(), tmp_path / "parts", 2)
    with pytest.raises(InputError, match=words):
        join(str(tmp_path / "parts"), config(**changes), tmp_path / "corpus")
    assert not (tmp_path / "corpus").exists()


def test_a_text_without_a_character_is_refused(tmp_path: Path) -> None:
    encode_all(write(tmp_path / "texts", ""), config(), tmp_path / "parts", 2)
    with pytest.raises(InputError, match="is empty"):
        join(str(tmp_path / "parts"), config(), tmp_path / "corpus")


def test_a_run_does_not_continue_with_changed_parts(tmp_path: Path) -> None:
    text = write(tmp_path / "texts", "some text\n" * 50)
    encode_all(text, config(), tmp_path / "parts", 2)
    key = join(str(tmp_path / "parts"), config(), tmp_path / "corpus").key
    encode_part([text], config(), str(tmp_path / "parts"), part=1, parts=2)  # the same again
    assert Corpus.open(tmp_path / "corpus").key == key
    write(tmp_path / "texts", "tome sexs\n" * 50)  # the same ids, of other symbols
    encode_all(text, config(), tmp_path / "parts", 2)
    with pytest.raises(InputError, match=r"parts have changed: a run continues with those it began with"):
        Corpus.open(tmp_path / "corpus")


def test_the_record_names_every_part_with_its_checksum(tmp_path: Path) -> None:
    parts = encode_all(write(tmp_path / "texts", "some text\n" * 50), config(), tmp_path / "parts", 2)
    corpus = join(str(tmp_path / "parts"), replace(config(), min_count=60), tmp_path / "corpus")
    assert [(file.path, file.bytes, file.sha256) for file in corpus.files] == [
        (part.file, part.bytes, part.sha256) for part in parts
    ]
    assert corpus.notes == ("6 rare symbols (300 occurrences) became id 0.",)
    record = json.loads((tmp_path / "corpus" / "corpus.json").read_text())
    assert record["parts"]["location"] == str(tmp_path / "parts")

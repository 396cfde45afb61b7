"""An encoded corpus, opened from its folder."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.training.data.texts import config, write
from training.data.corpus import Corpus
from training.data.prepare import prepare
from training.errors import InputError


def test_ids_are_memory_mapped_and_read_only(tmp_path: Path) -> None:
    prepare([write(tmp_path / "texts", "hello world\n" * 9)], config(), tmp_path / "corpus")
    corpus = Corpus.open(tmp_path / "corpus")
    assert isinstance(corpus.ids, np.memmap)
    assert corpus.ids.dtype == np.uint8
    assert not corpus.ids.flags.writeable
    assert len(corpus.training) + len(corpus.validation) + len(corpus.test) == len(corpus) == 12 * 9
    assert np.shares_memory(corpus.training, corpus.ids)


def test_the_parts_are_ranges_of_the_text(tmp_path: Path) -> None:
    text = "".join(chr(0x3400 + number) for number in range(100))
    corpus = prepare([write(tmp_path / "texts", text)], config(split=(0.8, 0.1, 0.1)), tmp_path / "corpus")
    assert [corpus.vocabulary.decode(part) for part in (corpus.training, corpus.validation, corpus.test)] == [
        text[:80], text[80:90], text[90:],
    ]  # fmt: skip
    assert corpus.text(78, 82) == text[78:82]


def test_validation_text_is_found_by_file(tmp_path: Path) -> None:
    settings = config(split_by="each-file", split=(0.5, 0.5, 0.0))
    corpus = prepare([write(tmp_path / "texts", "aaaaAA", "bbBB", "ccccCCCC")], settings, tmp_path / "corpus")
    first, second, third = corpus.fingerprints
    assert corpus.vocabulary.decode(corpus.validation_of({second}, settings)) == "BB"
    assert corpus.vocabulary.decode(corpus.validation_of({third, first}, settings)) == "aAACCCC"
    assert len(corpus.validation_of(set(), settings)) == 0


def test_held_out_text_is_the_text_outside_the_training_part(tmp_path: Path) -> None:
    text = "".join(chr(0x3400 + number) for number in range(400))
    corpus = prepare([write(tmp_path / "texts", text)], config(split=(0.8, 0.1, 0.1)), tmp_path / "corpus")
    moved = np.array(list(map(ord, text[320:] + text[:320])), np.uint32)
    assert corpus.held_out().ranges([moved]) == ([(0, 40)], [(40, 80)])


def test_a_folder_without_a_corpus_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no encoded corpus: .*`train --restart`"):
        Corpus.open(tmp_path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("ids.bin", "short"),
        ("corpus.json", "{"),
        ("corpus.json", json.dumps({"unit": "char"})),
        ("corpus.json", '{"vocabulary": [null, "aa"], "unit": "char"}'),
        ("corpus.json", "[]"),
    ],
    ids=["short ids", "no JSON", "no vocabulary", "no symbol", "no object"],
)
def test_a_damaged_corpus_is_refused_and_encoded_again(tmp_path: Path, name: str, content: str) -> None:
    path, folder = write(tmp_path / "texts", "hello world\n" * 20), tmp_path / "corpus"
    ids = prepare([path], config(), folder).ids.tolist()
    (folder / name).write_text(content)
    with pytest.raises(InputError):
        Corpus.open(folder)
    assert prepare([path], config(), folder).ids.tolist() == ids

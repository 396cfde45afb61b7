from pathlib import Path

import pytest

from training.data.corpus import read_corpus, split
from training.errors import InputError


def test_files_of_a_folder_are_joined_in_name_order_and_hidden_ones_ignored(tmp_path: Path) -> None:
    (tmp_path / "b.txt").write_text("two")
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "deep.txt").write_text("one ")
    (tmp_path / ".hidden").write_text("never")
    assert read_corpus([tmp_path]).text == "one two"


def test_text_is_nfc_across_file_borders(tmp_path: Path) -> None:
    (tmp_path / "1.txt").write_text("cafe", encoding="utf-8")
    (tmp_path / "2.txt").write_text("\u0301", encoding="utf-8")  # a combining acute accent
    assert read_corpus([tmp_path]).text == "caf\u00e9"


def test_manifest_facts_name_the_file_and_no_folder(tmp_path: Path) -> None:
    (tmp_path / "poem.txt").write_bytes(b"abc")
    (file,) = read_corpus([tmp_path / "poem.txt"]).files
    assert (file.path, file.bytes) == ("poem.txt", 3)
    assert file.sha256 == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180's own example


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, ["does not exist"]),
        (lambda path: path.mkdir(), ["folder with no text file"]),
        (lambda path: path.write_bytes(b""), ["is empty"]),
        (lambda path: path.write_bytes(b"na\xefve"), ["not UTF-8", "0xef", "offset 2", "--encoding"]),
    ],
    ids=["missing", "empty folder", "empty file", "not UTF-8"],
)
def test_unusable_corpus_is_refused_with_its_reason(tmp_path: Path, make, words) -> None:
    path = tmp_path / "corpus"
    make(path)
    with pytest.raises(InputError) as refusal:
        read_corpus([path])
    assert str(path) in str(refusal.value)
    for word in words:
        assert word in str(refusal.value)


def test_other_encodings_are_read_when_named(tmp_path: Path) -> None:
    (tmp_path / "old.txt").write_bytes(b"na\xefve")
    assert read_corpus([tmp_path], encoding="latin-1").text == "na\u00efve"
    with pytest.raises(InputError, match="klingon"):
        read_corpus([tmp_path], encoding="klingon")


def test_split_is_contiguous_and_covers_everything() -> None:
    parts = split(1000, (0.9, 0.05, 0.05))
    assert parts.train == (0, 900)
    assert parts.validation == (900, 950)
    assert parts.test == (950, 1000)


def test_split_of_tinyshakespeare_is_the_one_that_others_publish() -> None:
    parts = split(1_115_394, (0.9, 0.1, 0.0))
    assert parts.train == (0, 1_003_854)
    assert parts.validation == (1_003_854, 1_115_394)
    assert parts.test == (1_115_394, 1_115_394)

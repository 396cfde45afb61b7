"""A corpus on disk: what it says of itself, when it is made anew, and what it refuses."""

import gzip
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.processes import ROOT
from tests.training.data.texts import config, write
from tests.training.full_disk import disk_takes
from training.config import TrainConfig
from training.data.corpus import Corpus
from training.data.prepare import prepare
from training.data.vocabulary import Vocabulary
from training.errors import InputError


def test_ids_are_mapped_from_disk_and_not_for_writing(tmp_path: Path) -> None:
    prepare([write(tmp_path / "texts", "hello world\n" * 9)], config(), tmp_path / "corpus")
    corpus = Corpus.open(tmp_path / "corpus")
    assert isinstance(corpus.ids, np.memmap)
    assert corpus.ids.dtype == np.uint8
    assert not corpus.ids.flags.writeable
    assert len(corpus.training) + len(corpus.validation) + len(corpus.test) == len(corpus) == 12 * 9
    assert np.shares_memory(corpus.training, corpus.ids)


def test_record_names_the_file_and_no_folder(tmp_path: Path) -> None:
    (tmp_path / "poem.txt.gz").write_bytes(gzip.compress(b"abc" * 20))
    (tmp_path / "abc.txt").write_bytes(b"abc")
    corpus = prepare([str(tmp_path / "abc.txt"), str(tmp_path / "poem.txt.gz")], config(), tmp_path / "corpus")
    assert [(file.path, file.bytes) for file in corpus.files] == [("abc.txt", 3), ("poem.txt.gz", 60)]
    # FIPS 180's own example.
    assert corpus.fingerprints[0] == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert str(tmp_path) not in (tmp_path / "corpus" / "corpus.json").read_text()


@pytest.mark.parametrize(
    ("content", "changes", "words"),
    [
        (b"", {}, ["texts is empty", "no character"]),
        (b"", {"unit": "byte"}, ["no byte"]),
        ("\ufeff", {}, ["texts is empty"]),
        (b"aaaa", {}, ["one distinct character"]),
        (b"na\xefve", {}, ["not UTF-8", "0xef", "offset 2", "--encoding cp1252", "--unit byte"]),
        (b"abc", {"encoding": "klingon"}, ["klingon"]),
        (b"ab" * 4, {}, ["validation part of 8 characters is empty"]),
        (b"ab" * 4, {"unit": "byte"}, ["validation part of 8 bytes is empty"]),
        (b"ab\n" * 9, {"split_by": "line"}, ["validation part of 9 lines is empty"]),
        (b"ab" * 200_000, {"split_by": "line"}, ["validation part of 1 lines is empty", "or --split-by char"]),
        (b"ab" * 90, {"split_by": "file"}, ["--split-by file", "each of the 3 parts", "corpus has 1"]),
        (b"ab" * 90, {"min_count": 91}, ["--min-count 91"]),
        (b"+2AA-" * 90 + b"a", {"encoding": "utf-7"}, ["half a surrogate pair", "--unit byte"]),
        # U+0340 and a few more are composed to others: 32,697 of 32,768 are left.
        ("".join(map(chr, range(0x20, 0x8020))), {}, ["32,697 distinct", "20,000", "--unit byte"]),
        ("".join(map(chr, range(0x10000, 0x20100))), {}, ["more than 65,535 distinct", "--unit byte"]),
    ],
)
def test_a_corpus_that_cannot_be_used_is_refused_and_leaves_nothing(tmp_path: Path, content, changes, words) -> None:
    path = write(tmp_path / "texts", content)
    with pytest.raises(InputError) as refusal:
        prepare([path], config(**changes), tmp_path / "corpus")
    for word in words:
        assert word in str(refusal.value)
    assert os.listdir(tmp_path) == ["texts"]


def test_the_encoding_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, folder = write(tmp_path / "texts", "hello world\n" * 20), tmp_path / "corpus"

    def is_reused(settings: TrainConfig, **options) -> bool:
        before = (folder / "ids.bin").stat().st_ino if folder.exists() else None
        prepare([path], settings, folder, **options)
        return (folder / "ids.bin").stat().st_ino == before

    assert not is_reused(config())
    assert is_reused(config())
    assert is_reused(config(seed=7, layers=9))  # no part in the encoding
    changes = [{"min_count": 2}, {"unit": "byte"}, {"normalization": "none"}, {"encoding": "latin-1"}]
    changes += [{"split": (0.8, 0.2, 0.0)}, {"split_by": "line"}, {"split_by": "line", "seed": 7}]
    for change in changes:
        assert not is_reused(config(**change)), change
        assert is_reused(config(**change)), change
    assert is_reused(config(split_by="line", seed=7))
    vocabulary = Vocabulary("char", tuple(map(ord, "helo")))
    for options in ({"vocabulary": vocabulary}, {"vocabulary": vocabulary, "extend": True}):
        assert not is_reused(config(), **options)
        assert is_reused(config(), **options)
    write(tmp_path / "texts", "Hello world\n" * 20)
    assert not is_reused(config(), **options)


def test_stdin_is_encoded_in_its_one_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ("hello world\n" * 9, "other words\n" * 9):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
        corpus = prepare(["-"], config(), tmp_path / "corpus")
        assert corpus.text(0, len(corpus)) == text
        assert corpus.files[0].path == "stdin"


def test_a_given_vocabulary_is_used_or_extended(tmp_path: Path) -> None:
    path = write(tmp_path / "texts", "zebra yak\n" * 9)
    known = Vocabulary("char", tuple(map(ord, "za")))
    corpus = prepare([path], config(), tmp_path / "1", vocabulary=known)
    assert corpus.vocabulary == known
    assert corpus.ids[:10].tolist() == [1, 0, 0, 0, 2, 0, 0, 2, 0, 0]
    assert corpus.unknown == 7 * 9
    assert corpus.notes == ("7 unknown symbols (63 occurrences) became id 0.",)
    corpus = prepare([path], config(), tmp_path / "2", vocabulary=known, extend=True)
    assert corpus.vocabulary.to_json() == [None, "z", "a", "\n", " ", "b", "e", "k", "r", "y"]
    assert corpus.text(0, len(corpus)) == "zebra yak\n" * 9
    with pytest.raises(InputError, match="--unit byte"):
        prepare([path], config(unit="byte"), tmp_path / "3", vocabulary=known)


def test_a_damaged_encoding_is_refused_and_made_again(tmp_path: Path) -> None:
    path, folder = write(tmp_path / "texts", "hello world\n" * 20), tmp_path / "corpus"
    with pytest.raises(InputError, match="no encoded corpus"):
        Corpus.open(folder)
    good = prepare([path], config(), folder).ids.tolist()
    record = json.loads((folder / "corpus.json").read_text())
    no_words, no_key = json.dumps(record | {"vocabulary": [None, "aa"]}), json.dumps({"unit": "char"})
    for name, content in [
        ("ids.bin", "short"),
        ("corpus.json", "{"),
        ("corpus.json", no_key),
        ("corpus.json", no_words),
        ("corpus.json", "[]"),
    ]:
        (folder / name).write_text(content)
        with pytest.raises(InputError):
            Corpus.open(folder)
        assert prepare([path], config(), folder).ids.tolist() == good


def test_a_folder_with_other_files_is_never_replaced(tmp_path: Path) -> None:
    path = write(tmp_path / "texts", "hello world\n" * 20)
    with pytest.raises(InputError, match="more than an encoded corpus"):
        prepare([path], config(), tmp_path / "texts")
    assert os.listdir(tmp_path / "texts") == ["000.txt"]


PREPARE_FROM_STDIN = """
import sys
from pathlib import Path
from training.config import TrainConfig
from training.data.prepare import prepare
prepare(["-"], TrainConfig(), Path(sys.argv[1]))
"""


@pytest.mark.parametrize("before", ["old words\n" * 9, None])
def test_killed_while_it_encodes_it_leaves_what_was_there(tmp_path: Path, before: str | None) -> None:
    folder = tmp_path / "corpus"
    if before:
        prepare([write(tmp_path / "texts", before)], config(), folder)
    command = [sys.executable, "-c", PREPARE_FROM_STDIN, str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        # More than a pipe holds: when all of it is taken, encoding has begun, and it cannot end before its input does.
        process.stdin.write(b"new words\n" * 500_000)
        process.stdin.flush()
        assert (tmp_path / ".corpus.partial" / "provisional.bin").exists()
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdin.close()
    if before:
        assert Corpus.open(folder).text(0, 90) == before
    else:
        assert not folder.exists()
    # What the dead left aside is in nobody's way.
    again = prepare([write(tmp_path / "texts", "new words\n" * 9)], config(), folder)
    assert again.text(0, len(again)) == "new words\n" * 9
    assert sorted(os.listdir(tmp_path)) == ["corpus", "texts"]


def test_a_full_disk_names_the_folder_and_leaves_what_was_there(tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    old = prepare([write(tmp_path / "texts", "hello world\n" * 9)], config(), folder).ids.tolist()
    path = write(tmp_path / "texts", "hello world\n" * 20_000)
    with disk_takes(100_000), pytest.raises(OSError, match="corpus") as failure:
        prepare([path], config(), folder)
    assert failure.value.filename == str(folder)
    assert Corpus.open(folder).ids.tolist() == old
    assert sorted(os.listdir(tmp_path)) == ["corpus", "texts"]

"""Encoding of a corpus into a folder: its text, when it is reused, and which texts are refused."""

import gzip
import io
import os
import random
import shutil
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.processes import ROOT
from tests.training.data.texts import config, hard_text, plain_text, set_small_blocks, write
from tests.training.full_disk import disk_takes
from training.config import TrainConfig
from training.data.corpus import Corpus
from training.data.prepare import prepare
from training.data.selection import Selection
from training.data.vocabulary import REPLACEMENT, Vocabulary
from training.errors import InputError


def expected_ids(text: str, min_count: int = 1) -> list[int]:
    frequent = sorted(symbol for symbol, count in Counter(text).items() if count >= min_count)
    ids = {symbol: number for number, symbol in enumerate(frequent, start=1)}
    return [ids.get(symbol, 0) for symbol in text]


@pytest.mark.parametrize("seed", range(40))
def test_ids_are_those_of_the_joined_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    generator = random.Random(seed)
    set_small_blocks(monkeypatch, generator)
    contents = [hard_text(generator, generator.choice([0, 1, 30, 200])) for _ in range(4)] + ["eee xxx the end"]
    settings = config(normalization=generator.choice(["NFC", "none"]), min_count=generator.choice([1, 1, 3]))
    corpus = prepare([write(tmp_path / "texts", *contents)], settings, tmp_path / "corpus")
    text = plain_text(*contents, normalization=settings.normalization)
    assert corpus.ids.tolist() == expected_ids(text, settings.min_count)
    assert corpus.unknown == corpus.ids.tolist().count(0)
    known = set(corpus.vocabulary.to_json())
    assert corpus.text(0, len(corpus)) == "".join(symbol if symbol in known else REPLACEMENT for symbol in text)


def test_changes_of_the_text_are_noted(tmp_path: Path) -> None:
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


def test_bytes_become_ids_unchanged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_small_blocks(monkeypatch, random.Random(1))
    data = random.Random(2).randbytes(2000) + b"\xef\xbb\xbf\r\n\r\0"
    corpus = prepare([write(tmp_path / "data", data)], config(unit="byte", encoding="klingon"), tmp_path / "c")
    values = sorted(set(data))
    assert corpus.vocabulary.to_json() == [None, *values]
    assert corpus.ids.tolist() == [values.index(byte) + 1 for byte in data]
    assert corpus.ids.dtype == np.uint16  # 256 values and the reserved id
    assert corpus.notes == ()


def test_notes_of_the_survey_are_repeated_for_a_reused_encoding(tmp_path: Path) -> None:
    write(tmp_path / "texts", "text\n" * 50, b"\x89PNG\r\n\x1a\n")
    for _ in range(2):
        corpus = prepare(
            [str(tmp_path / "texts")], config(), tmp_path / "corpus", selection=Selection(skip_unreadable=True)
        )
        assert [file.path for file in corpus.files] == ["000.txt"]
        assert "001.txt is a PNG image" in "\n".join(corpus.notes)


def test_the_record_names_files_without_their_folders(tmp_path: Path) -> None:
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
        (b"ab" * 4, {"split_by": "each-file"}, ["validation part of 8 characters is empty: use longer files"]),
        (b"ab" * 90, {"split_by": "file"}, ["--split-by file", "each of the 3 parts", "corpus has 1"]),
        (b"ab" * 90, {"min_count": 91}, ["--min-count 91"]),
        (b"+2AA-" * 90 + b"a", {"encoding": "utf-7"}, ["half a surrogate pair", "--unit byte"]),
        # U+0340 and a few more are composed to others: 32,697 of 32,768 are left.
        ("".join(map(chr, range(0x20, 0x8020))), {}, ["32,697 distinct", "20,000", "--unit byte"]),
        ("".join(map(chr, range(0x10000, 0x20100))), {}, ["more than 65,535 distinct", "--unit byte"]),
    ],
)
def test_an_unusable_text_is_refused_and_leaves_nothing(tmp_path: Path, content, changes, words) -> None:
    path = write(tmp_path / "texts", content)
    with pytest.raises(InputError) as refusal:
        prepare([path], config(**changes), tmp_path / "corpus")
    for word in words:
        assert word in str(refusal.value)
    assert os.listdir(tmp_path) == ["texts"]


def test_a_folder_with_the_same_encoding_is_reused(tmp_path: Path) -> None:
    path, folder = write(tmp_path / "texts", "hello world\n" * 20), tmp_path / "corpus"

    def is_reused(settings: TrainConfig, **options) -> bool:
        before = (folder / "ids.bin").stat().st_ino if folder.exists() else None
        prepare([path], settings, folder, **options)
        return (folder / "ids.bin").stat().st_ino == before

    assert not is_reused(config())
    assert is_reused(config())
    assert is_reused(config(seed=7, layers=9))  # these do not affect the encoding
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


def test_stdin_is_encoded_each_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_a_folder_with_other_files_is_never_replaced(tmp_path: Path) -> None:
    path = write(tmp_path / "texts", "hello world\n" * 20)
    with pytest.raises(InputError, match="more than an encoded corpus"):
        prepare([path], config(), tmp_path / "texts")
    assert os.listdir(tmp_path / "texts") == ["000.txt"]


@dataclass
class DiskUsage:
    free: int


PREPARE_FROM_STDIN = """
import sys
from pathlib import Path
from training.config import TrainConfig
from training.data.prepare import prepare
prepare(["-"], TrainConfig(), Path(sys.argv[1]))
"""


@pytest.mark.parametrize("before", ["old words\n" * 9, None])
def test_a_killed_process_leaves_the_earlier_encoding(tmp_path: Path, before: str | None) -> None:
    folder = tmp_path / "corpus"
    if before:
        prepare([write(tmp_path / "texts", before)], config(), folder)
    command = [sys.executable, "-c", PREPARE_FROM_STDIN, str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        # More than a pipe holds: once it is written, encoding has begun, and it cannot end before its input does.
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
    # The files that the killed process left aside are no obstacle.
    again = prepare([write(tmp_path / "texts", "new words\n" * 9)], config(), folder)
    assert again.text(0, len(again)) == "new words\n" * 9
    assert sorted(os.listdir(tmp_path)) == ["corpus", "texts"]


@pytest.mark.parametrize(("free", "megabytes"), [(29_999_999, "30.0"), (30_000_000, None)])
def test_a_text_that_the_disk_has_no_space_for_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, megabytes: str | None
) -> None:
    path = write(tmp_path / "texts", "hello wor\n" * 1_000_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: DiskUsage(free))
    if megabytes is None:
        assert len(prepare([path], config(), tmp_path / "corpus")) == 10_000_000
        return
    with pytest.raises(InputError, match=rf"^The encoded text needs about {megabytes} MB of disk space in {tmp_path},"):
        prepare([path], config(), tmp_path / "corpus")
    assert os.listdir(tmp_path) == ["texts"]


def test_shuffled_lines_need_space_for_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "texts", "".join(map(chr, range(0x4E00, 0x4E00 + 300))) * 30 + "\n" + "hello wor\n" * 100)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: DiskUsage(35_000))
    assert prepare([path], config(), tmp_path / "corpus").ids.dtype == np.uint16
    with pytest.raises(InputError, match=r"^The encoded text needs about 0\.0 MB of disk space"):
        prepare([path], config(split_by="line"), tmp_path / "corpus")
    assert sorted(os.listdir(tmp_path)) == ["corpus", "texts"]


def test_a_full_disk_names_the_folder_and_leaves_the_earlier_encoding(tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    old = prepare([write(tmp_path / "texts", "hello world\n" * 9)], config(), folder).ids.tolist()
    path = write(tmp_path / "texts", "hello world\n" * 20_000)
    with disk_takes(100_000), pytest.raises(OSError, match="corpus") as failure:
        prepare([path], config(), folder)
    assert failure.value.filename == str(folder)
    assert Corpus.open(folder).ids.tolist() == old
    assert sorted(os.listdir(tmp_path)) == ["corpus", "texts"]

import gzip
import io
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import unicodedata
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from training.config import TrainConfig
from training.data import encode
from training.data import sources as sources_module
from training.data.corpus import Corpus, Split, prepare
from training.data.encode import _is_alone
from training.data.vocabulary import REPLACEMENT, Vocabulary
from training.errors import InputError

ROOT = Path(__file__).parents[2]

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


def write(folder: Path, *contents: str | bytes) -> str:
    """A folder with these files in this order."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, content in enumerate(contents):
        data = content if isinstance(content, bytes) else content.encode()
        (folder / f"{number:03}.txt").write_bytes(data)
    return str(folder)


def plain_text(*contents: str, normalization: str = "NFC") -> str:
    """The text of files by the shortest means: everything in memory at once."""
    texts = [io.TextIOWrapper(io.BytesIO(content.encode()), "utf-8", newline=None).read() for content in contents]
    text = "".join(text.removeprefix("\ufeff") for text in texts)
    return unicodedata.normalize("NFC", text) if normalization == "NFC" else text


def plain_ids(text: str, min_count: int = 1) -> list[int]:
    frequent = sorted(symbol for symbol, count in Counter(text).items() if count >= min_count)
    ids = {symbol: number for number, symbol in enumerate(frequent, start=1)}
    return [ids.get(symbol, 0) for symbol in text]


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch):
    """Let every border fall where it hurts."""

    def set_sizes(generator: random.Random) -> None:
        monkeypatch.setattr(sources_module, "BLOCK_BYTES", generator.choice([1, 2, 3, 5, 8, 13, 64]))
        monkeypatch.setattr(encode, "BLOCK_SYMBOLS", generator.choice([1, 2, 7, 16]))
        monkeypatch.setattr(encode, "BUCKET_SYMBOLS", generator.choice([1, 3, 20, 1000]))

    return set_sizes


@pytest.mark.parametrize("seed", range(40))
def test_text_is_that_of_the_joined_files_wherever_blocks_end(tmp_path: Path, small_blocks, seed: int) -> None:
    generator = random.Random(seed)
    small_blocks(generator)
    contents = [hard_text(generator, generator.choice([0, 1, 30, 200])) for _ in range(4)] + ["eee xxx the end"]
    config = TrainConfig(normalization=generator.choice(["NFC", "none"]), min_count=generator.choice([1, 1, 3]))
    corpus = prepare([write(tmp_path / "texts", *contents)], config, tmp_path / "corpus")
    text = plain_text(*contents, normalization=config.normalization)
    assert corpus.ids.tolist() == plain_ids(text, config.min_count)
    assert corpus.unknown == corpus.ids.tolist().count(0)
    known = set(corpus.vocabulary.to_json())
    assert corpus.text(0, len(corpus)) == "".join(symbol if symbol in known else REPLACEMENT for symbol in text)


def test_a_text_is_cut_only_where_no_character_joins_the_one_before() -> None:
    characters = [chr(point) for point in itertools.chain(range(0xD800), range(0xE000, 0x110000))]
    decompositions = [unicodedata.decomposition(character).split() for character in characters]
    joining = {chr(int(parts[1], 16)) for parts in decompositions if len(parts) == 2 and not parts[0].startswith("<")}
    for character in filter(_is_alone, characters):
        first = unicodedata.normalize("NFD", character)[0]
        assert not unicodedata.combining(first)
        assert first not in joining
    assert not any(map(_is_alone, "\u1161\u11a8"))  # Hangul vowels and finals join by rule, not by that table


def test_the_letter_of_one_file_takes_the_accent_of_the_next_but_not_where_files_are_shuffled(tmp_path: Path) -> None:
    path = write(tmp_path / "texts", "cafe", "\u0301 au lait", "more")
    assert prepare([path], TrainConfig(), tmp_path / "1").text(0, 7) == "café au"
    whole = prepare([path], TrainConfig(split_by="file", split=(0.4, 0.3, 0.3)), tmp_path / "2")
    assert len(whole) == len(prepare([path], TrainConfig(), tmp_path / "1")) + 1


def test_what_was_changed_is_told(tmp_path: Path) -> None:
    path = write(tmp_path / "texts", "\ufeffa\r\nb\r\nc\rd\n", "e\0\0\u0301" + "\u00e0" * 50, "e\u0301q")
    corpus = prepare([path], TrainConfig(min_count=2), tmp_path / "corpus")
    notes = "\n".join(corpus.notes)
    assert "mark at the start of 000.txt was dropped" in notes
    assert "1 CR and 2 CR LF" in notes
    assert "001.txt holds 2 NUL characters" in notes
    assert "NFC" in notes
    rare = [symbol for symbol, count in Counter(plain_text("a\nb\nc\nd\ne\0\0\u0301éq")).items() if count < 2]
    assert f"{len(rare)} rare symbols ({len(rare)} occurrences) became id 0" in notes
    assert corpus.unknown == len(rare)
    assert prepare([write(tmp_path / "plain", "nothing to say\n" * 9)], TrainConfig(), tmp_path / "other").notes == ()


def test_bytes_are_taken_as_they_are(tmp_path: Path, small_blocks) -> None:
    small_blocks(random.Random(1))
    data = random.Random(2).randbytes(2000) + b"\xef\xbb\xbf\r\n\r\0"
    corpus = prepare([write(tmp_path / "data", data)], TrainConfig(unit="byte", encoding="klingon"), tmp_path / "c")
    values = sorted(set(data))
    assert corpus.vocabulary.to_json() == [None, *values]
    assert corpus.ids.tolist() == [values.index(byte) + 1 for byte in data]
    assert corpus.ids.dtype == np.uint16  # 256 values and the reserved id
    assert corpus.notes == ()


def test_ids_are_mapped_from_disk_and_not_for_writing(tmp_path: Path) -> None:
    prepare([write(tmp_path / "texts", "hello world\n" * 9)], TrainConfig(), tmp_path / "corpus")
    corpus = Corpus.open(tmp_path / "corpus")
    assert isinstance(corpus.ids, np.memmap)
    assert corpus.ids.dtype == np.uint8
    assert not corpus.ids.flags.writeable
    assert len(corpus.training) + len(corpus.validation) + len(corpus.test) == len(corpus) == 12 * 9
    assert np.shares_memory(corpus.training, corpus.ids)


def test_record_names_the_file_and_no_folder(tmp_path: Path) -> None:
    (tmp_path / "poem.txt.gz").write_bytes(gzip.compress(b"abc" * 20))
    (tmp_path / "abc.txt").write_bytes(b"abc")
    corpus = prepare([str(tmp_path / "abc.txt"), str(tmp_path / "poem.txt.gz")], TrainConfig(), tmp_path / "corpus")
    assert [(file.path, file.bytes) for file in corpus.files] == [("abc.txt", 3), ("poem.txt.gz", 60)]
    # FIPS 180's own example.
    assert corpus.fingerprints[0] == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert str(tmp_path) not in (tmp_path / "corpus" / "corpus.json").read_text()


@pytest.mark.parametrize(
    ("content", "config", "words"),
    [
        (b"", {}, ["texts is empty", "no character"]),
        (b"", {"unit": "byte"}, ["no byte"]),
        ("\ufeff", {}, ["texts is empty"]),
        (b"aaaa", {}, ["one distinct character"]),
        (b"na\xefve", {}, ["not UTF-8", "0xef", "offset 2", "--encoding latin-1", "--unit byte"]),
        (b"abc", {"encoding": "klingon"}, ["klingon"]),
        (b"ab" * 4, {}, ["validation part of 8 characters is empty"]),
        (b"ab" * 4, {"unit": "byte"}, ["validation part of 8 bytes is empty"]),
        (b"ab\n" * 9, {"split_by": "line"}, ["validation part of 9 lines is empty"]),
        (b"ab" * 90, {"split_by": "file"}, ["--split-by file", "each of the 3 parts", "corpus has 1"]),
        (b"ab" * 90, {"min_count": 91}, ["--min-count 91"]),
        (b"+2AA-" * 90 + b"a", {"encoding": "utf-7"}, ["half a surrogate pair", "--unit byte"]),
        # U+0340 and a few more are composed to others: 32,697 of 32,768 are left.
        ("".join(map(chr, range(0x20, 0x8020))), {}, ["32,697 distinct", "20,000", "--unit byte"]),
        ("".join(map(chr, range(0x10000, 0x20100))), {}, ["more than 65,535 distinct", "--unit byte"]),
    ],
)
def test_a_corpus_that_cannot_be_used_is_refused_and_leaves_nothing(tmp_path: Path, content, config, words) -> None:
    path = write(tmp_path / "texts", content)
    with pytest.raises(InputError) as refusal:
        prepare([path], TrainConfig(**config), tmp_path / "corpus")
    for word in words:
        assert word in str(refusal.value)
    assert os.listdir(tmp_path) == ["texts"]


def test_split_is_contiguous_and_covers_everything() -> None:
    assert Split.contiguous(1000, (0.9, 0.05, 0.05)) == Split((0, 900), (900, 950), (950, 1000))
    # The split of tinyshakespeare that others publish.
    others = Split((0, 1_003_854), (1_003_854, 1_115_394), (1_115_394, 1_115_394))
    assert Split.contiguous(1_115_394, (0.9, 0.1, 0.0)) == others


def parts_of(corpus: Corpus) -> list[str]:
    return [
        corpus.text(*ends).replace(REPLACEMENT, "?")
        for ends in (corpus.split.train, corpus.split.validation, corpus.split.test)
    ]


@pytest.mark.parametrize("seed", range(30))
def test_lines_are_shuffled_by_the_seed_and_cut_between_lines(tmp_path: Path, small_blocks, seed: int) -> None:
    generator = random.Random(seed)
    small_blocks(generator)
    lines = ["".join(generator.choices("abcdé", k=generator.choice([0, 1, 9, 40]))) + "\n" for _ in range(60)]
    tail = generator.choice(["", "unterminated"])
    config = TrainConfig(split_by="line", split=(0.7, 0.2, 0.1), seed=seed, min_count=generator.choice([1, 100]))
    corpus = prepare([write(tmp_path / "texts", "".join(lines) + tail)], config, tmp_path / "corpus")
    order = np.random.Generator(np.random.PCG64([seed, 1])).permutation(len(lines))
    shuffled = [lines[number] for number in order] + [tail] * bool(tail)
    parts = Split.contiguous(len(shuffled), config.split)
    counts = Counter("".join(shuffled))
    expected = ["".join(shuffled[slice(*ends)]) for ends in (parts.train, parts.validation, parts.test)]
    rare = str.maketrans({symbol: "?" for symbol, count in counts.items() if count < config.min_count})
    assert parts_of(corpus) == [text.translate(rare) for text in expected]


def test_lines_of_a_byte_corpus_end_at_byte_10_even_where_it_is_unknown(tmp_path: Path) -> None:
    data = b"".join(b"%d\xff\n" % number for number in range(100))
    digits = Vocabulary("byte", tuple(b"0123456789"))
    config = TrainConfig(unit="byte", split_by="line")
    corpus = prepare([write(tmp_path / "data", data)], config, tmp_path / "corpus", vocabulary=digits)
    order = np.random.Generator(np.random.PCG64([config.seed, 1])).permutation(100)
    assert corpus.ids.tolist() == [
        digits.encode_points(np.array([byte], np.uint8))[0]
        for number in order
        for byte in data.splitlines(keepends=True)[number]
    ]
    assert corpus.unknown == 200


@pytest.mark.parametrize("seed", range(10))
def test_whole_files_go_to_each_part_until_its_share_is_reached(tmp_path: Path, seed: int) -> None:
    generator = random.Random(seed)
    contents = [f"<{number}>" + "x" * generator.choice([0, 5, 50, 500]) for number in range(8)] + [""]
    fractions = generator.choice([(0.6, 0.2, 0.2), (0.8, 0.2, 0.0)])
    config = TrainConfig(split_by="file", split=fractions, seed=seed)
    corpus = prepare([write(tmp_path / "texts", *contents)], config, tmp_path / "corpus")
    order = np.random.Generator(np.random.PCG64([seed, 1])).permutation(len(contents))
    shuffled = [contents[number] for number in order if contents[number]]
    assert "".join(parts_of(corpus)) == "".join(shuffled)
    wanted = [part for part in fractions if part]
    found = [text for text in parts_of(corpus) if text]
    assert len(found) == len(wanted)
    total, taken = len(corpus), 0
    for number, text in enumerate(found[:-1]):
        assert text.startswith("<")
        before = taken + text.rindex("<")  # symbols read before the last file of this part
        taken += len(text)
        goal = sum(wanted[: number + 1]) * total
        assert taken >= goal or found[number + 1].count("<") == 1
        assert before < goal or text.count("<") == 1


def test_the_encoding_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, folder = write(tmp_path / "texts", "hello world\n" * 20), tmp_path / "corpus"

    def is_reused(config: TrainConfig, **options) -> bool:
        before = (folder / "ids.bin").stat().st_ino if folder.exists() else None
        prepare([path], config, folder, **options)
        return (folder / "ids.bin").stat().st_ino == before

    assert not is_reused(TrainConfig())
    assert is_reused(TrainConfig())
    assert is_reused(TrainConfig(seed=7, layers=9))  # no part in the encoding
    changes = [{"min_count": 2}, {"unit": "byte"}, {"normalization": "none"}, {"encoding": "latin-1"}]
    changes += [{"split": (0.8, 0.2, 0.0)}, {"split_by": "line"}, {"split_by": "line", "seed": 7}]
    for change in changes:
        assert not is_reused(TrainConfig(**change)), change
        assert is_reused(TrainConfig(**change)), change
    assert is_reused(TrainConfig(split_by="line", seed=7))
    vocabulary = Vocabulary("char", tuple(map(ord, "helo")))
    for options in ({"vocabulary": vocabulary}, {"vocabulary": vocabulary, "extend": True}):
        assert not is_reused(TrainConfig(), **options)
        assert is_reused(TrainConfig(), **options)
    write(tmp_path / "texts", "Hello world\n" * 20)
    assert not is_reused(TrainConfig(), **options)


def test_stdin_is_encoded_in_its_one_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ("hello world\n" * 9, "other words\n" * 9):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
        corpus = prepare(["-"], TrainConfig(), tmp_path / "corpus")
        assert corpus.text(0, len(corpus)) == text
        assert corpus.files[0].path == "stdin"


def test_a_given_vocabulary_is_used_or_extended(tmp_path: Path) -> None:
    path = write(tmp_path / "texts", "zebra yak\n" * 9)
    known = Vocabulary("char", tuple(map(ord, "za")))
    corpus = prepare([path], TrainConfig(), tmp_path / "1", vocabulary=known)
    assert corpus.vocabulary == known
    assert corpus.ids[:10].tolist() == [1, 0, 0, 0, 2, 0, 0, 2, 0, 0]
    assert corpus.unknown == 7 * 9
    assert corpus.notes == ("7 unknown symbols (63 occurrences) became id 0.",)
    corpus = prepare([path], TrainConfig(), tmp_path / "2", vocabulary=known, extend=True)
    assert corpus.vocabulary.to_json() == [None, "z", "a", "\n", " ", "b", "e", "k", "r", "y"]
    assert corpus.text(0, len(corpus)) == "zebra yak\n" * 9
    with pytest.raises(InputError, match="--unit byte"):
        prepare([path], TrainConfig(unit="byte"), tmp_path / "3", vocabulary=known)


def test_a_damaged_encoding_is_refused_and_made_again(tmp_path: Path) -> None:
    path, folder = write(tmp_path / "texts", "hello world\n" * 20), tmp_path / "corpus"
    with pytest.raises(InputError, match="no encoded corpus"):
        Corpus.open(folder)
    good = prepare([path], TrainConfig(), folder).ids.tolist()
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
        assert prepare([path], TrainConfig(), folder).ids.tolist() == good


def test_a_folder_with_other_files_is_never_replaced(tmp_path: Path) -> None:
    path = write(tmp_path / "texts", "hello world\n" * 20)
    with pytest.raises(InputError, match="more than an encoded corpus"):
        prepare([path], TrainConfig(), tmp_path / "texts")
    assert os.listdir(tmp_path / "texts") == ["000.txt"]


PREPARE_FROM_STDIN = """
import sys
from pathlib import Path
from training.config import TrainConfig
from training.data.corpus import prepare
prepare(["-"], TrainConfig(), Path(sys.argv[1]))
"""


@pytest.mark.parametrize("before", ["old words\n" * 9, None])
def test_killed_while_it_encodes_it_leaves_what_was_there(tmp_path: Path, before: str | None) -> None:
    folder = tmp_path / "corpus"
    if before:
        prepare([write(tmp_path / "texts", before)], TrainConfig(), folder)
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
    again = prepare([write(tmp_path / "texts", "new words\n" * 9)], TrainConfig(), folder)
    assert again.text(0, len(again)) == "new words\n" * 9
    assert sorted(os.listdir(tmp_path)) == ["corpus", "texts"]


def test_a_full_disk_names_the_folder_and_leaves_what_was_there(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource")
    folder = tmp_path / "corpus"
    old = prepare([write(tmp_path / "texts", "hello world\n" * 9)], TrainConfig(), folder).ids.tolist()
    path = write(tmp_path / "texts", "hello world\n" * 20_000)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(OSError, match="corpus") as failure:
            prepare([path], TrainConfig(), folder)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)
    assert failure.value.filename == str(folder)
    assert Corpus.open(folder).ids.tolist() == old
    assert sorted(os.listdir(tmp_path)) == ["corpus", "texts"]

"""The order in which training reads a text, and the parts that it is cut into."""

import random
import string
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tests.training.data.texts import config, set_small_blocks, write
from training.data.corpus import Corpus
from training.data.prepare import prepare
from training.data.split import Split
from training.data.vocabulary import REPLACEMENT, Vocabulary


def parts_of(corpus: Corpus) -> list[str]:
    return [
        corpus.text(*ends).replace(REPLACEMENT, "?")
        for ends in (corpus.split.train, corpus.split.validation, corpus.split.test)
    ]


@pytest.mark.parametrize("seed", range(30))
def test_lines_are_shuffled_by_the_seed_and_cut_between_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    generator = random.Random(seed)
    set_small_blocks(monkeypatch, generator)
    lines = ["".join(generator.choices("abcdé", k=generator.choice([0, 1, 9, 40]))) + "\n" for _ in range(60)]
    tail = generator.choice(["", "unterminated"])
    settings = config(split_by="line", split=(0.7, 0.2, 0.1), seed=seed, min_count=generator.choice([1, 100]))
    corpus = prepare([write(tmp_path / "texts", "".join(lines) + tail)], settings, tmp_path / "corpus")
    order = np.random.Generator(np.random.PCG64([seed, 1])).permutation(len(lines))
    shuffled = [lines[number] for number in order] + [tail] * bool(tail)
    parts = Split.contiguous(len(shuffled), settings.split)
    counts = Counter("".join(shuffled))
    expected = ["".join(shuffled[slice(*ends)]) for ends in (parts.train, parts.validation, parts.test)]
    rare = str.maketrans({symbol: "?" for symbol, count in counts.items() if count < settings.min_count})
    assert parts_of(corpus) == [text.translate(rare) for text in expected]


def test_lines_end_at_line_feeds_only(tmp_path: Path) -> None:
    lines = [f"{number}\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029\n" for number in range(30)]
    text = "".join(lines).replace("3\x0b", "3\r").replace("5\n", "5\r\n")
    corpus = prepare([write(tmp_path / "texts", text)], config(split_by="line"), tmp_path / "corpus")
    unified = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")[:-1]
    order = np.random.Generator(np.random.PCG64([1, 1])).permutation(len(unified))
    assert "".join(parts_of(corpus)) == "".join(unified[number] + "\n" for number in order)


def test_lines_of_bytes_end_at_byte_10_even_if_it_is_unknown(tmp_path: Path) -> None:
    data = b"".join(b"%d\xff\n" % number for number in range(100))
    digits = Vocabulary("byte", tuple(b"0123456789"))
    settings = config(unit="byte", split_by="line")
    corpus = prepare([write(tmp_path / "data", data)], settings, tmp_path / "corpus", vocabulary=digits)
    order = np.random.Generator(np.random.PCG64([settings.seed, 1])).permutation(100)
    assert corpus.ids.tolist() == [
        digits.encode_points(np.array([byte], np.uint8))[0]
        for number in order
        for byte in data.splitlines(keepends=True)[number]
    ]
    assert corpus.unknown == 200


@pytest.mark.parametrize("seed", range(10))
def test_each_part_gets_complete_files_until_its_share_is_reached(tmp_path: Path, seed: int) -> None:
    generator = random.Random(seed)
    contents = [f"<{number}>" + "x" * generator.choice([0, 5, 50, 500]) for number in range(8)] + [""]
    fractions = generator.choice([(0.6, 0.2, 0.2), (0.8, 0.2, 0.0)])
    settings = config(split_by="file", split=fractions, seed=seed)
    corpus = prepare([write(tmp_path / "texts", *contents)], settings, tmp_path / "corpus")
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


@pytest.mark.parametrize("seed", range(10))
def test_every_file_is_cut_by_the_fractions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    generator = random.Random(seed)
    set_small_blocks(monkeypatch, generator)
    contents = ["".join(generator.choices("abcdé", k=generator.choice([0, 1, 19, 400]))) for _ in range(5)]
    settings = config(split_by="each-file", split=(0.7, 0.2, 0.1))
    corpus = prepare([write(tmp_path / "texts", *contents, "abcdé" * 30)], settings, tmp_path / "corpus")
    expected = ["", "", ""]
    for text in (*contents, "abcdé" * 30):
        cuts = Split.contiguous(len(text), settings.split)
        for number, part in enumerate((cuts.train, cuts.validation, cuts.test)):
            expected[number] += text[slice(*part)]
    assert parts_of(corpus) == expected


def test_a_new_file_moves_no_text_of_others_between_parts(tmp_path: Path) -> None:
    settings, texts = config(split_by="each-file", split=(0.7, 0.2, 0.1)), ["b" * 100 + "B" * 100, "c" * 50]
    before = prepare([write(tmp_path / "1", *texts)], settings, tmp_path / "corpus-1")
    after = prepare([write(tmp_path / "2", "a" * 77, *texts)], settings, tmp_path / "corpus-2")
    for one, other in zip(parts_of(before), parts_of(after), strict=True):
        assert other.lstrip("a") == one


def sentences(seed: int, length: int) -> str:
    return "".join(random.Random(seed).choices(string.ascii_lowercase + " .\n", k=length))


@pytest.mark.parametrize("seed", range(5))
def test_a_growing_file_keeps_all_text_that_was_ever_held_out(tmp_path: Path, seed: int) -> None:
    generator = random.Random(seed)
    settings = config(split_by="each-file", split=(0.8, 0.1, 0.1))
    text, earlier, held_out = sentences(seed, 4000), None, set()
    for version in range(8):
        folder = tmp_path / str(version)
        earlier = prepare([write(folder / "texts", text, "other " * 40)], settings, folder / "corpus", earlier=earlier)
        train, validation, test = parts_of(earlier)
        held_out |= {*validation.split("\n"), *test.split("\n")}
        assert not [line for line in held_out if len(line) > 40 and line in train]
        assert 0.7 < len(train) / len(earlier) < 0.85
        assert len(train) + len(validation) + len(test) == len(text) + 240
        text += sentences(100 * seed + version, generator.choice([10, 300, 2000]))
    assert len(validation) > 600  # also of the text added later
    assert len(test) > 600


def test_held_out_text_stays_held_out_when_it_is_edited_moved_and_renamed(tmp_path: Path) -> None:
    settings = config(split_by="each-file", split=(0.8, 0.2, 0.0))
    text = sentences(1, 5000)
    before = prepare([write(tmp_path / "1", text)], settings, tmp_path / "corpus-1")
    edited = sentences(2, 700) + text[:4500] + "edited" + text[4503:] + sentences(3, 900)
    after = prepare([write(tmp_path / "2", sentences(4, 300), edited)], settings, tmp_path / "corpus-2", earlier=before)
    train, validation, _ = parts_of(after)
    assert text[4000:4500] + "edited" + text[4503:] in validation
    assert text[:4000] in train
    new = after.validation_of({after.files[1].sha256}, settings)
    assert after.vocabulary.decode(new).startswith(text[4000:4500])


def test_repeated_text_is_not_held_out(tmp_path: Path) -> None:
    settings = config(split_by="each-file", split=(0.8, 0.2, 0.0))
    before = prepare([write(tmp_path / "1", "hello world\n" * 100)], settings, tmp_path / "corpus-1")
    after = prepare([write(tmp_path / "2", "hello world\n" * 200)], settings, tmp_path / "corpus-2", earlier=before)
    assert len(after.training) == int(2400 * 0.8)


def test_unchanged_files_are_cut_where_they_were(tmp_path: Path) -> None:
    settings = config(split_by="each-file", split=(0.8, 0.1, 0.1))
    path = write(tmp_path / "texts", sentences(1, 5000), sentences(2, 777))
    before = prepare([path], settings, tmp_path / "corpus-1")
    after = prepare([path], settings, tmp_path / "corpus-2", earlier=before)
    assert parts_of(after) == parts_of(before)

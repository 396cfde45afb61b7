"""Samples and their novelty, from logits written by hand."""

from pathlib import Path

import numpy as np
import pytest

from training.config import TrainConfig
from training.data.corpus import Corpus
from training.data.prepare import prepare
from training.data.vocabulary import Vocabulary
from training.learning.samples import LINES, MAX_LINE_SYMBOLS, SAMPLE_SYMBOLS, TEMPERATURES, Novelty, sample_texts

NAMES = ["anna", "bob", "cleo", "dan", "eve", "fay", "gus", "hal", "ida", "jon"]
PROBABILITIES = np.array([0.5, 0.3, 0.15, 0.05])


def always(logits: list[float]):
    """A network without a state, whose logits are constant."""

    def logits_of(previous, state):
        return np.tile(np.array(logits, np.float32), (len(previous), 1)), state

    return logits_of


def no_state(streams: int) -> None:
    return None


def long_samples(logits: list[float], *, calls: int = 40) -> dict[str, str]:
    generator, vocabulary = np.random.default_rng(7), Vocabulary("char", tuple(map(ord, "abcd")))
    texts = [sample_texts(always(logits), no_state, vocabulary, generator) for _ in range(calls)]
    return {temperature: "".join(text[temperature] for text in texts) for temperature in texts[0]}


def test_symbols_follow_the_softmax_at_each_temperature() -> None:
    texts = long_samples([50.0, *np.log(PROBABILITIES)])  # the reserved symbol would be nearly certain
    assert list(texts) == [str(temperature) for temperature in TEMPERATURES]
    for temperature, text in texts.items():
        expected = PROBABILITIES ** (1 / float(temperature))
        expected *= len(text) / expected.sum()
        counts = np.array([text.count(symbol) for symbol in "abcd"])
        assert counts.sum() == len(text) == 40 * SAMPLE_SYMBOLS  # and so the reserved symbol is none of them
        # Chi-square of three degrees of freedom: one in a thousand is above 16.3.
        assert ((counts - expected) ** 2 / expected).sum() < 16.3


def test_every_stream_has_its_own_symbols_and_state() -> None:
    """The next symbol follows from the last one and from the number of symbols before it."""
    vocabulary = Vocabulary("char", tuple(map(ord, "abc")))

    def logits_of(previous, state):
        following = (previous + state) % 3 + 1
        return np.where(np.arange(4) == following[:, None], 1000, 0).astype(np.float32), state + 1

    texts = sample_texts(logits_of, lambda streams: np.arange(streams), vocabulary, np.random.default_rng(1))
    for start, text in enumerate(texts.values()):
        previous, expected = 0, []
        for state in range(start, start + SAMPLE_SYMBOLS):
            previous = (previous + state) % 3 + 1
            expected.append(previous)
        assert text == vocabulary.decode(expected)


def corpus_of(folder: Path, text: str, **changes) -> Corpus:
    (folder / "names.txt").write_text(text)
    setting = {"split_by": "line", "split": (0.5, 0.3, 0.2), "batch_size": 1, "window": 5} | changes
    return prepare([str(folder / "names.txt")], TrainConfig(**setting), folder / "encoded")


def lines_of(corpus: Corpus, part) -> list[str]:
    return corpus.vocabulary.decode(part).splitlines()


class Reciter:
    """A network whose streams begin with the given lines in turn; its state is the position of each in their text."""

    def __init__(self, corpus: Corpus, lines: list[str]) -> None:
        self._ids = corpus.vocabulary.encode("".join(line + "\n" for line in lines))
        self._starts = np.append(0, np.cumsum([len(line) + 1 for line in lines[:-1]], dtype=int))
        self._symbols = len(corpus.vocabulary)

    def cold(self, streams: int):
        # The first symbol that it reads is the reserved one.
        return np.resize(self._starts, streams) - 1

    def __call__(self, previous, state):
        following = self._ids[np.maximum(state, 0) % len(self._ids)]
        return np.where(np.arange(self._symbols) == following[:, None], 1000, 0).astype(np.float32), state + 1


def measured(corpus: Corpus, lines: list[str]) -> dict[str, float]:
    reciter = Reciter(corpus, lines)
    return Novelty(corpus).measure(reciter, reciter.cold, np.random.default_rng(2))


def test_training_validation_and_new_lines_are_counted_apart(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, "".join(name + "\n" for name in NAMES))
    known, held_out = lines_of(corpus, corpus.training), lines_of(corpus, corpus.validation)
    assert (len(known), len(held_out)) == (5, 3)
    found = measured(corpus, [known[0], known[4], held_out[0], "nod", "bobo" * 40])
    assert found["lines"] == LINES
    assert found["in_training"] == pytest.approx(0.4)
    assert found["in_validation"] == pytest.approx(0.2)
    assert found["new"] == pytest.approx(0.4)


def test_part_of_a_known_line_is_new_and_empty_lines_do_not_count(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, "".join(name + "\n" for name in NAMES))
    name = lines_of(corpus, corpus.training)[0]
    found = measured(corpus, [name[:-1], ""])
    assert found == {"lines": LINES / 2, "in_training": 0, "in_validation": 0, "new": pytest.approx(1)}
    assert measured(corpus, [name, ""])["in_training"] == pytest.approx(1)
    assert measured(corpus, [""]) == {"lines": 0, "in_training": 0, "in_validation": 0, "new": 0}


def test_long_lines_are_known_by_their_first_symbols(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, "".join(name * 100 + "\n" for name in NAMES))
    known, other = lines_of(corpus, corpus.training)[0], lines_of(corpus, corpus.training)[1][3:] + "a"
    found = measured(corpus, [known, known[:-1], known[:MAX_LINE_SYMBOLS], known[: MAX_LINE_SYMBOLS - 1], other])
    assert found["lines"] == LINES
    assert (found["in_training"], found["new"]) == (pytest.approx(0.6), pytest.approx(0.4))


def test_a_text_without_lines_has_no_novelty(tmp_path: Path) -> None:
    assert Novelty.of(corpus_of(tmp_path, "no line ends here " * 4, split_by="char")) is None
    assert isinstance(Novelty.of(corpus_of(tmp_path, "".join(name + "\n" for name in NAMES))), Novelty)

"""The measurement of a network while it learns."""

import random
from pathlib import Path

import numpy as np
import pytest

from tests.training.data.encoded import count_read_bytes, encode_all
from tests.training.learning.runs import SETTING, run_in
from training.config import TrainConfig
from training.data.join import join
from training.learning.run import TrainingRun


def generator() -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(1))


def test_the_loss_is_that_of_one_pass_over_the_text(tmp_path: Path) -> None:
    """1300 characters are 13 windows, whose state is carried from one to the next."""
    text = "".join(random.Random(1).choices("abcd", k=2600))
    run = run_in(tmp_path, text, split=(0.5, 0.5, 0.0), units=5, output_dropout=0.1)
    found = run.validation.loss()
    ids = run.corpus.vocabulary.encode(text)[1300:]
    previous = np.concatenate([[0], ids[:-1]])[None]
    logits, _ = run.trainer.read(previous, run.validation.initial_state(1))
    logits = np.asarray(logits, np.float64)[0] * run.validation.logit_scale
    logprobs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    assert found.nats_per_char == pytest.approx(-logprobs[np.arange(1300), ids].mean(), abs=1e-6)


def test_it_reads_at_most_eval_chars(tmp_path: Path) -> None:
    text = "".join(random.Random(1).choices("abcd", k=1000))
    validation = run_in(tmp_path, text, split=(0.5, 0.5, 0.0), eval_chars=123).validation
    assert validation.loss().characters == validation.characters == 123


def test_encoded_parts_are_fetched_once_and_only_to_evaluate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = count_read_bytes(monkeypatch)
    (tmp_path / "text.txt").write_text("".join(random.Random(1).choices("abcd", k=60_000)))
    config = TrainConfig(**(SETTING | {"output_dropout": 0.1, "eval_chars": 123}))
    encode_all(str(tmp_path / "text.txt"), config, tmp_path / "parts", 2)
    corpus = join(str(tmp_path / "parts"), config, tmp_path / "corpus")
    validation = TrainingRun(config, corpus, tmp_path).validation
    assert opened[0].read_bytes == 0
    for _ in range(2):
        assert validation.loss().characters == 123
        assert opened[0].read_bytes == validation.characters == 123 + 54_000 // 50


def test_samples_have_three_temperatures_and_follow_from_the_generator(tmp_path: Path) -> None:
    validation = run_in(tmp_path).validation
    first, again = (validation.samples(generator()) for _ in range(2))
    assert first == again
    assert list(first) == ["samples"]
    assert list(first["samples"]) == ["0.5", "0.8", "1.0"]
    assert all(len(text) == 300 and set(text) <= set("abcdefgh") for text in first["samples"].values())


def test_lines_of_samples_are_looked_up_in_a_corpus_of_lines(tmp_path: Path) -> None:
    names = random.Random(2).sample([a + b + "\n" for a in "abcdef" for b in "uvwxyz"], 36)
    novelty = run_in(tmp_path, "".join(names) * 8, split_by="line").validation.samples(generator())["novelty"]
    assert 0 < novelty["lines"] <= 200
    assert novelty["in_training"] + novelty["in_validation"] + novelty["new"] == pytest.approx(1)
    # Two letters of twelve in a row after a line's end: an untrained network hardly ever samples one of the 36 names.
    assert novelty["new"] > 0.5

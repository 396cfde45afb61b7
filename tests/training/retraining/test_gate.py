"""The quality gate: the texts that it compares, and the versions and files that it refuses."""

import os
import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from training.config import TrainConfig
from training.data.selection import Selection
from training.data.sources import ALL
from training.data.vocabulary import Vocabulary
from training.errors import InputError
from training.retraining import gate
from training.retraining.gate import MAX_CHARS, MIN_CHARS, Refused

RULE = {"allowed": 0.01}
SERVED = {"unit": "byte", "version": 4}


def unigram(vocabulary: list[str], nats: dict[str, float]) -> Any:
    """A version with these symbols that always predicts each with the same loss; 9 nats for other symbols."""
    table = np.array([9.0, *(nats[symbol] for symbol in vocabulary)], np.float32)  # [V]
    return SimpleNamespace(
        vocabulary=Vocabulary.from_json([None, *vocabulary], "char"),
        read=lambda previous, targets, state: (table[targets], state),
        initial_state=lambda rows: np.zeros((1, rows, 1), np.float32),
    )


def test_both_versions_read_the_same_characters_whatever_their_ids() -> None:
    old, new = unigram(["a", "b"], {"a": 1.0, "b": 2.0}), unigram(["b", "a", "c"], {"a": 0.5, "b": 1.0, "c": 4.0})
    ids = new.vocabulary.encode("aab" * MIN_CHARS)
    found = gate.losses(old, new, {"text": ids})["text"]
    assert found == {
        "old": pytest.approx(4 / 3),
        "new": pytest.approx(2 / 3),
        "characters": 3 * MIN_CHARS,
    }


def test_a_symbol_that_the_old_version_lacks_is_an_unknown_one_to_it() -> None:
    old, new = unigram(["a"], {"a": 1.0}), unigram(["a", "c"], {"a": 1.0, "c": 4.0})
    found = gate.losses(old, new, {"text": new.vocabulary.encode("c" * MIN_CHARS)})["text"]
    assert (found["old"], found["new"]) == (9.0, 4.0)


def test_a_short_text_is_not_compared_and_a_long_one_in_pieces() -> None:
    version = unigram(["a"], {"a": 1.0})
    texts = {"short": np.ones(MIN_CHARS - 1, np.int32), "long": np.ones(MAX_CHARS + 12_345, np.int32)}
    found = gate.losses(version, version, texts)
    assert [*found] == ["long"]
    assert found["long"]["characters"] == MAX_CHARS


def test_pieces_of_a_long_text_reach_its_end() -> None:
    version = unigram(["a", "b"], {"a": 1.0, "b": 2.0})
    text = version.vocabulary.encode("a" * 10 * MAX_CHARS + "b" * 1000)
    assert gate.losses(version, version, {"text": text})["text"]["new"] > 1


@pytest.mark.parametrize("new", [1.9, 2.0, 2.0199])
def test_a_loss_within_the_allowed_share_passes(new: float) -> None:
    sentence = gate.verdict({"fresh": {"old": 2.0, "new": new, "characters": 9.0}}, SERVED, **RULE)
    assert sentence.startswith(f"On the fresh text it loses {new:.4f} nats/byte and version 4 2.0000 (")


def test_without_a_long_enough_text_the_verdict_says_so() -> None:
    assert gate.verdict({}, SERVED, **RULE) == "The held-out text is too short for a comparison: under 500 characters."


@pytest.mark.parametrize("new", [2.0201, 3.0, float("nan"), float("inf")])
def test_a_loss_above_the_allowed_share_on_one_text_is_refused(new: float) -> None:
    losses = {"fresh": {"old": 2.0, "new": 1.0}, "reference": {"old": 2.0, "new": new}}
    with pytest.raises(Refused, match=r"^On the reference text .*, and the gate allows \+1\.0%\.$"):
        gate.verdict(losses, SERVED, **RULE)


def test_noise_is_refused_and_text_is_not(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("the cat sat on the mat.\n" * 400)
    config = TrainConfig()
    gate.refuse_noise([str(tmp_path)], config, ALL)
    (tmp_path / "b.txt").write_bytes(random.Random(1).randbytes(9000))
    with pytest.raises(Refused, match=r"b.txt looks like noise: remove it, or accept it with noise = true") as refused:
        gate.refuse_noise([str(tmp_path)], config, ALL)
    assert refused.value.exit_code == 3
    gate.refuse_noise([str(tmp_path)], config, Selection(exclude=("b.txt",)))


def test_a_text_that_can_be_read_only_once_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for corpus in (str(tmp_path / "pipe"), "-"):
        with pytest.raises(InputError, match="which can be read only once"):
            gate.refuse_noise([corpus], TrainConfig(), ALL)


def test_a_file_of_a_known_kind_is_not_called_noise(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + random.Random(1).randbytes(9000))
    gate.refuse_noise([str(tmp_path)], TrainConfig(), ALL)


@pytest.mark.parametrize(("split_by", "characters"), [("each-file", MIN_CHARS), ("each-file", 9), ("line", MIN_CHARS)])
def test_new_files_are_compared_by_themselves_if_they_hold_enough(split_by: str, characters: int) -> None:
    old = SimpleNamespace(manifest={"corpus": {"files": [{"sha256": "1"}]}})
    digests = []

    def validation_of(new: set[str], config: TrainConfig) -> Any:
        digests.append(new)
        return np.ones(characters)

    corpus = SimpleNamespace(fingerprints=["1", "2"], validation=np.zeros(5), validation_of=validation_of)
    found = gate.validation_of_new_files(old, corpus, TrainConfig(split_by=split_by))  # type: ignore[arg-type]
    is_new = split_by == "each-file" and characters >= MIN_CHARS
    assert found.sum() == (characters if is_new else 0)
    assert digests == ([{"2"}] if split_by == "each-file" else [])

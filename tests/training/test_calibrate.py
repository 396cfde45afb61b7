"""The logit scale, on networks that are unsure by a known amount, and the text that it is fitted on."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from training.config import TrainConfig
from training.data.corpus import prepare
from training.learning import calibrate
from training.learning.calibrate import logit_scale
from training.learning.run import TrainingRun


class Guesser:
    """A network without a state that gives the next of four symbols the same logits whatever came before."""

    def __init__(self, probabilities: list[float], sureness: float) -> None:
        self._logits = sureness * np.log(probabilities)

    def __call__(self, previous, state):
        return tf.constant(np.broadcast_to(self._logits, (*previous.shape, 4)), tf.float32), state


@pytest.mark.parametrize("sureness", [0.9, 1.0, 1.25])
def test_the_scale_undoes_how_far_a_network_is_off(sureness: float) -> None:
    probabilities = [0.1, 0.2, 0.3, 0.4]
    ids = np.random.default_rng(1).choice(4, 50_000, p=probabilities).astype(np.uint8)
    found = logit_scale(Guesser(probabilities, sureness), lambda streams: None, ids, symbols=4)
    assert found == pytest.approx(1 / sureness, abs=0.03)


@pytest.mark.parametrize("characters", [1, 99, 101, 1001, 2500])
def test_any_length_of_text_will_do(characters: int) -> None:
    ids = np.zeros(characters, np.uint8)
    found = logit_scale(Guesser([0.7, 0.1, 0.1, 0.1], 1.0), lambda streams: None, ids, symbols=4)
    assert found == pytest.approx(1.2)


def test_streams_carry_their_state_through_their_text() -> None:
    """A network that counts its steps predicts right only if nobody resets or mixes the counts."""
    seen: list[np.ndarray] = []

    def counting(previous, state):
        seen.append(np.array(state))
        return tf.zeros((*previous.shape, 4)), state + previous.shape[1]

    logit_scale(counting, lambda streams: np.zeros(streams), np.zeros(3000, np.uint8), symbols=4)
    assert [state.tolist() for state in seen] == [[100.0 * window] * 3 for window in range(10)]


def test_each_stream_is_fed_the_symbol_before_each_target_and_the_reserved_one_first() -> None:
    ids = np.arange(3000) % 251 + 1
    fed: list[np.ndarray] = []

    def recording(previous, state):
        fed.append(previous)
        return tf.zeros((*previous.shape, 252)), state

    logit_scale(recording, lambda streams: None, ids, symbols=252)
    streams = np.concatenate(fed, axis=1)
    assert streams.shape == (3, 1000)
    np.testing.assert_array_equal(streams[:, 0], 0)
    np.testing.assert_array_equal(streams[:, 1:], ids.reshape(3, 1000)[:, :-1])


def test_many_symbols_mean_fewer_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibrate, "MAX_LOGITS", 9000)
    asked: list[int] = []
    logit_scale(Guesser([0.25] * 4, 1.0), asked.append, np.zeros(9000, np.uint8), symbols=4)
    logit_scale(Guesser([0.25] * 4, 1.0), asked.append, np.zeros(9000, np.uint8), symbols=10_000)
    assert asked == [2, 1]


@pytest.mark.parametrize(
    ("dropout", "validation", "is_fitted"), [(0.2, 0.1, True), (0.0, 0.1, False), (0.2, 0.01, False)]
)
def test_with_dropout_the_scale_is_that_of_enough_validation_text(
    tmp_path: Path, dropout: float, validation: float, is_fitted: bool
) -> None:
    """The end of the text says otherwise what follows what: a network that is sure of the rest is too sure there."""
    off = {"input_dropout": 0.0, "dropout": 0.0, "weight_dropout": 0.0}
    setting = TrainConfig(
        units=4, embedding=3, batch_size=8, window=50, epochs=1, output_dropout=dropout, learning_rate=0.02,
        split=(1 - validation, validation, 0), **off,
    )  # fmt: skip
    (tmp_path / "text.txt").write_text("aaab" * 4500 + "".join(np.random.default_rng(3).choice(list("ab"), 2000)))
    corpus = prepare([str(tmp_path / "text.txt")], setting, tmp_path / "corpus")
    run = TrainingRun(setting, corpus, tmp_path)
    while not run.is_finished:
        run.take_step()
    assert (run.evaluate()["logit_scale"] < 0.9) == is_fitted

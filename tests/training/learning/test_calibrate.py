"""The logit scale, on networks that are unsure by a known amount, and the text that it is fitted on."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from training.config import TrainConfig
from training.data.prepare import prepare
from training.learning import calibrate
from training.learning.calibrate import logit_scale
from training.learning.run import TrainingRun
from training.learning.step import next_symbol_losses
from training.network.weights import weights_of


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
    found = logit_scale(Guesser(probabilities, sureness), next_symbol_losses, lambda streams: None, ids, symbols=4)
    assert found == pytest.approx(1 / sureness, abs=0.03)


@pytest.mark.parametrize("characters", [1, 99, 101, 1001, 2500])
def test_any_length_of_text_will_do(characters: int) -> None:
    ids = np.zeros(characters, np.uint8)
    found = logit_scale(Guesser([0.7, 0.1, 0.1, 0.1], 1.0), next_symbol_losses, lambda streams: None, ids, symbols=4)
    assert found == pytest.approx(1.2)


def test_streams_carry_their_state_through_their_text() -> None:
    """A network that counts its steps predicts right only if its counts are neither reset nor mixed."""
    seen: list[np.ndarray] = []

    def counting(previous, state):
        seen.append(np.array(state))
        return tf.zeros((*previous.shape, 4)), state + previous.shape[1]

    logit_scale(counting, next_symbol_losses, lambda streams: np.zeros(streams), np.zeros(3000, np.uint8), symbols=4)
    assert [state.tolist() for state in seen] == [[100.0 * window] * 3 for window in range(10)]


def test_each_stream_is_fed_the_symbol_before_each_target_and_the_reserved_one_first() -> None:
    ids = np.arange(3000) % 251 + 1
    fed: list[np.ndarray] = []

    def recording(previous, state):
        fed.append(previous)
        return tf.zeros((*previous.shape, 252)), state

    logit_scale(recording, next_symbol_losses, lambda streams: None, ids, symbols=252)
    streams = np.concatenate(fed, axis=1)
    assert streams.shape == (3, 1000)
    np.testing.assert_array_equal(streams[:, 0], 0)
    np.testing.assert_array_equal(streams[:, 1:], ids.reshape(3, 1000)[:, :-1])


def test_many_symbols_mean_fewer_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibrate, "MAX_LOGITS", 9000)
    asked: list[int] = []
    logit_scale(Guesser([0.25] * 4, 1.0), next_symbol_losses, asked.append, np.zeros(9000, np.uint8), symbols=4)
    logit_scale(Guesser([0.25] * 4, 1.0), next_symbol_losses, asked.append, np.zeros(9000, np.uint8), symbols=10_000)
    assert asked == [2, 1]


@pytest.mark.slow
@pytest.mark.parametrize("dropout", [0.2, 0.0])
def test_with_dropout_no_gradient_sees_the_text_that_the_scale_is_fitted_on(tmp_path: Path, dropout: float) -> None:
    """Another beginning of the text: other weights if it was learned from, another scale if it was fitted on."""
    off = {"input_dropout": 0.0, "dropout": 0.0, "weight_dropout": 0.0}
    setting = TrainConfig(units=4, embedding=3, batch_size=8, window=50, epochs=1, output_dropout=dropout, **off)
    letters = np.random.default_rng(3).choice(list("aab"), 60_000)
    weights, scales = [], []
    for name, beginning in (("as the rest", letters[:1000]), ("the rare letter", ["b"] * 1000)):
        text = letters.copy()
        text[:1000] = beginning
        (tmp_path / f"{name}.txt").write_text("".join(text))
        corpus = prepare([str(tmp_path / f"{name}.txt")], setting, tmp_path / name)
        run = TrainingRun(setting, corpus, tmp_path)
        while not run.is_finished:
            run.take_step()
        scales.append(run.evaluate()["logit_scale"])
        weights.append(weights_of(run.trainer.network).arrays)
    same = all(np.array_equal(one, other) for one, other in zip(*weights, strict=True))
    assert same == (dropout > 0)
    assert (scales[0] != scales[1]) == (dropout > 0)

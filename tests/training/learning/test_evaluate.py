"""The loss of a text read as several rows: each character is counted once, as if it were one row."""

from pathlib import Path

import numpy as np
import pytest

from training.config import TrainConfig
from training.data.prepare import prepare
from training.learning.evaluate import ROW_CHARS, ROWS, WARM_UP, evaluate
from training.learning.run import TrainingRun
from training.learning.stages import Stages, Stopped


class Recorder:
    """A network with a loss of one nat per character, which records its inputs."""

    def __init__(self) -> None:
        self.previous: list[np.ndarray] = []
        self.targets: list[np.ndarray] = []

    def __call__(self, previous, targets, state):
        self.previous.append(previous)
        self.targets.append(targets)
        return np.ones(targets.shape, np.float32), state


@pytest.mark.parametrize("characters", [1, 99, 101, 1999, 2000, 2001, 54_321, 200_000])
def test_every_character_is_counted_once(characters: int) -> None:
    loss = evaluate(Recorder(), lambda rows: None, np.ones(characters, np.uint8))
    assert (loss.nats_per_char, loss.characters) == (1, characters)


def test_each_character_is_counted_with_its_own_nats() -> None:
    """The nats of a character are its id, so the mean loss is the mean id."""
    ids = np.random.default_rng(1).integers(0, 250, 30_011).astype(np.uint8)
    loss = evaluate(lambda previous, targets, state: (targets.astype(np.float32), state), lambda rows: None, ids)
    assert loss.nats_per_char == pytest.approx(ids.mean(dtype=np.float64), rel=1e-12)


@pytest.mark.parametrize(("characters", "rows"), [(1999, 1), (2000, 2), (ROW_CHARS * 100, ROWS)])
def test_only_a_long_text_is_read_as_several_rows(characters: int, rows: int) -> None:
    asked: list[int] = []
    evaluate(Recorder(), asked.append, np.ones(characters, np.uint8))
    assert asked == [rows]


def test_each_row_starts_a_warm_up_before_its_part() -> None:
    ids = np.arange(20_000) % 251 + 1
    reader = Recorder()
    evaluate(reader, lambda rows: None, ids)
    previous, targets = np.concatenate(reader.previous, axis=1), np.concatenate(reader.targets, axis=1)
    assert (previous[:, 0] == 0).all()
    np.testing.assert_array_equal(previous[:, 1:], targets[:, :-1])
    stride = (20_000 - WARM_UP) / 20
    np.testing.assert_array_equal(targets[:, 0], ids[np.arange(20) * int(stride)])


def test_a_trained_network_has_the_loss_of_one_row(tmp_path: Path) -> None:
    text = "".join(np.random.default_rng(2).choice(["the ", "cat ", "sat. ", "on a mat "], 8000))
    (tmp_path / "text.txt").write_text(text)
    off = {"dropout": 0.0, "output_dropout": 0.0, "weight_dropout": 0.0}
    config = TrainConfig(units=16, embedding=8, batch_size=8, window=40, steps=60, learning_rate=0.02, **off)
    run = TrainingRun(config, prepare([str(tmp_path / "text.txt")], config, tmp_path / "corpus"), tmp_path)
    while not run.is_finished:
        run.take_step()
    ids = run.corpus.training[:20_000]
    one = evaluate(run.validation.read, run.validation.initial_state, ids, rows=1).nats_per_char
    assert evaluate(run.validation.read, run.validation.initial_state, ids).nats_per_char == pytest.approx(
        one, abs=1e-5
    )


def test_a_stop_ends_an_evaluation_between_two_windows() -> None:
    reader = Recorder()
    stages = Stages(should_stop=lambda: len(reader.targets) == 3)
    with pytest.raises(Stopped):
        evaluate(reader, lambda rows: None, np.ones(5000, np.uint8), stages=stages)
    assert len(reader.targets) == 3

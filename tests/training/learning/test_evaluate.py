"""The loss of a text read as several rows: each character is counted once, as if it were one row."""

from pathlib import Path

import numpy as np
import pytest

from training.config import TrainConfig
from training.data.prepare import prepare
from training.learning.evaluate import ROW_CHARS, ROWS, WARM_UP, Loss, difference, evaluate, evaluate_cold
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


def nats_by_id(previous, targets, state):
    """A network whose nats of a character are its id."""
    return targets.astype(np.float32), state


@pytest.mark.parametrize("characters", [1, 999, 1000, 2999, 54_321])
def test_blocks_are_the_means_of_each_thousand_characters(characters: int) -> None:
    ids = np.random.default_rng(1).integers(0, 250, characters).astype(np.uint8)
    loss = evaluate(nats_by_id, lambda rows: None, ids)
    complete = ids[: characters // 1000 * 1000].reshape(-1, 1000).mean(axis=1, dtype=np.float64)
    np.testing.assert_allclose(loss.blocks, complete, rtol=1e-12)
    if len(complete) > 1:
        deviation = np.sqrt(((complete - complete.mean()) ** 2).sum() / (len(complete) - 1))
        assert loss.standard_error == pytest.approx(deviation / np.sqrt(len(complete)))
    else:
        assert np.isnan(loss.standard_error)


def test_the_difference_of_two_losses_is_paired_by_blocks() -> None:
    generator = np.random.default_rng(2)
    text = generator.normal(2, 0.5, 40)  # the text differs more between blocks than the models do
    one, other = text + generator.normal(0.01, 0.02, 40), text
    losses = [Loss(float(blocks.mean()), 40_000, tuple(blocks)) for blocks in (one, other)]
    mean, error = difference(*losses)
    assert mean == pytest.approx((one - other).mean())
    assert error == pytest.approx((one - other).std(ddof=1) / np.sqrt(40))
    assert error < losses[0].standard_error / 10
    assert difference(losses[1], losses[0]) == (pytest.approx(-mean), pytest.approx(error))


@pytest.mark.parametrize("characters", [257, 512, 513, 20_000])
def test_cold_windows_start_without_a_state_and_count_256_characters_each(characters: int) -> None:
    ids = np.arange(characters) % 251 + 1
    count = (characters - 1) // 256
    rows: list[np.ndarray] = []

    def read(previous, targets, state):
        first = state is None
        rows.append(np.concatenate([previous[:, :1] if first else previous[:, :0], targets], axis=1))
        return targets.astype(np.float32), "carried"

    loss = evaluate_cold(read, lambda rows: None, ids)
    assert loss is not None
    windows = ids[1 : 1 + 256 * count].reshape(count, 256)
    np.testing.assert_allclose(loss.blocks, windows.mean(axis=1), rtol=1e-6)
    assert (loss.nats_per_char, loss.characters) == (pytest.approx(windows.mean()), 256 * count)
    begins = [block for block in rows if block.shape[1] == 101]  # the first window of a call
    np.testing.assert_array_equal(np.concatenate(begins)[:, 0], 0)
    np.testing.assert_array_equal(np.concatenate(begins)[:, 1], ids[: 256 * count : 256])


def test_a_text_without_a_complete_window_has_no_cold_loss() -> None:
    assert evaluate_cold(nats_by_id, lambda rows: None, np.ones(256, np.uint8)) is None

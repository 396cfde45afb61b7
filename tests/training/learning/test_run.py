"""A training run: its steps, evaluations, checkpoints and result."""

import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.oracle import log_softmax
from tests.training.learning.runs import STANDSTILL, TEXT, history_of, restored_in, run_in, set_all_weights
from training.data.teacher_targets import TeacherTargets
from training.errors import InputError
from training.learning.checkpoint import Checkpoint
from training.learning.loop import train
from training.learning.run import Diverged, TrainingRun

EVALUATED_EVERY = 25


def test_steps_replace_epochs(tmp_path: Path) -> None:
    run = run_in(tmp_path, steps=3, epochs=9)
    assert train(run)
    assert run.total_steps == run.step == run.history[-1]["step"] == 3
    assert run.history[-1]["learning_rate"] < run.config.learning_rate / 2


def test_the_result_has_the_best_weights(tmp_path: Path) -> None:
    run = run_in(tmp_path, epochs=4, learning_rate=0.01)
    assert train(run)
    best = min(record["validation_nats_per_char"] for record in run.history)
    kept = [array.copy() for array in run.best_weights]
    run.take_step()
    set_all_weights(run, lambda weights: weights + 1)
    assert run.evaluate()["validation_nats_per_char"] > best
    result = run.result()
    assert result.validation.nats_per_char == best
    for variable, array in zip(run.trainer.network.variables, kept, strict=True):
        np.testing.assert_array_equal(variable.numpy(), array)


def test_divergence_names_the_step_and_keeps_the_last_checkpoint(tmp_path: Path) -> None:
    run = run_in(tmp_path)
    run.take_step()
    run.save()
    good = (tmp_path / "checkpoint.npz").read_bytes()
    set_all_weights(run, lambda weights: weights * np.nan)
    with pytest.raises(Diverged, match=r"diverged at step 2: the loss is nan.*--learning-rate \(now 0\.004\)"):
        train(run)
    assert (tmp_path / "checkpoint.npz").read_bytes() == good


def test_losses_are_read_once_some_steps_are_in_flight(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a device that computes while the host starts the next steps."""
    waiting, in_flight = run_in(tmp_path / "waiting", epochs=2), run_in(tmp_path / "in flight", epochs=2)
    monkeypatch.setattr(in_flight.trainer, "steps_in_flight", 4)
    losses = [[run.take_step() for _ in range(9)] for run in (waiting, in_flight)]
    # The first loss is read at once, and then four at a time.
    assert losses[1] == [losses[0][0]] * 4 + [losses[0][4]] * 4 + [losses[0][8]]
    assert train(waiting)
    assert train(in_flight)
    timeless = [
        [{key: value for key, value in line.items() if "second" not in key} for line in history_of(run.folder)]
        for run in (waiting, in_flight)
    ]
    assert timeless[0] == timeless[1]


def test_divergence_in_flight_names_its_step_and_is_not_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_in(tmp_path)
    monkeypatch.setattr(run.trainer, "steps_in_flight", 9)
    run.take_step()
    run.save()
    good = (tmp_path / "checkpoint.npz").read_bytes()
    run.take_step()
    set_all_weights(run, lambda weights: weights * np.nan)
    for _ in range(3):
        run.take_step()
    with pytest.raises(Diverged, match="diverged at step 3: the loss is nan"):
        run.save()
    assert (tmp_path / "checkpoint.npz").read_bytes() == good


def test_weights_that_diverge_just_before_an_evaluation_are_not_saved(tmp_path: Path) -> None:
    run = run_in(tmp_path, epochs=4)
    for _ in range(EVALUATED_EVERY):
        run.take_step()
    run.save()
    good = (tmp_path / "checkpoint.npz").read_bytes()
    set_all_weights(run, lambda weights: weights * np.inf)
    with pytest.raises(Diverged, match="diverged at step 25"):
        run.evaluate()
    assert (tmp_path / "checkpoint.npz").read_bytes() == good
    assert not (tmp_path / "history.jsonl").exists()


def test_history_has_a_line_for_each_evaluation(tmp_path: Path) -> None:
    run = run_in(tmp_path, epochs=3)
    train(run)
    lines = history_of(tmp_path)
    per_epoch = run.total_steps // 3
    assert [line["step"] for line in lines] == [per_epoch, 2 * per_epoch, 3 * per_epoch]
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    for line in lines:
        assert line["chars_seen"] == line["step"] * 10
        assert list(line["samples"]) == ["0.5", "0.8", "1.0"]
        assert all(len(text) == 300 and set(text) <= set("abcdefgh") for text in line["samples"].values())
        assert "novelty" not in line
        assert math.isfinite(line["training_nats_per_char"] + line["validation_nats_per_char"])
        assert line["chars_per_second"] > 0
    half_cosine = [0.5 + 0.5 * math.cos(math.pi * (line["step"] - 1) / run.total_steps) for line in lines]
    assert [line["learning_rate"] for line in lines] == pytest.approx([0.004 * part for part in half_cosine])


def test_averaged_weights_are_evaluated_and_kept_but_not_trained_on(tmp_path: Path) -> None:
    run = run_in(tmp_path, ema=0.9, learning_rate=0.05)
    for _ in range(5):
        run.take_step()
    trained = [variable.numpy() for variable in run.trainer.network.trainable_variables]
    run.evaluate()
    for variable, before, average, kept in zip(
        run.trainer.network.trainable_variables,
        trained,
        run.trainer.variables["averages"],
        run.best_weights,
        strict=True,
    ):
        np.testing.assert_array_equal(variable.numpy(), before)
        np.testing.assert_array_equal(kept, average.numpy())
        assert (kept != before).any()


def test_patience_ends_a_run_and_a_plateau_lowers_the_rate(tmp_path: Path) -> None:
    setting = STANDSTILL | {"schedule": "plateau", "decay_rate": 0.5, "decay_after": 2, "patience": 4, "epochs": 50}
    run = run_in(tmp_path, **setting)
    assert train(run)
    assert run.step < run.total_steps
    rates = [record["learning_rate"] for record in run.history]
    # The third evaluation is the second without a new best; the steps before it had the old rate.
    assert rates == pytest.approx([1e-30, 1e-30, 1e-30, 5e-31, 5e-31], rel=1e-6, abs=0)
    again = run_in(tmp_path, **setting)
    again.restore()
    assert again.is_finished
    assert again.result().validation == run.result().validation
    unlimited = run_in(tmp_path, **(setting | {"patience": 0}))
    unlimited.restore()
    assert not unlimited.is_finished


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"text": "ab" * 5, "split": (0.5, 0.5, 0.0)}, ["5 characters", "need 10"]),
        ({"text": "a" * 500}, ["one distinct character"]),
        ({"text": "ab" * 50, "split": (0.99, 0.005, 0.005)}, ["validation part", "empty"]),
        ({"text": "ab" * 50, "split": (0.5, 0.5, 0.5)}, ["--split", "add up to 1", "1.5"]),
        ({"text": "ab" * 50, "dropout": 1.0}, ["--dropout", "below 1", "1.0"]),
        ({"text": "ab" * 50, "units": 0}, ["--units", "at least 1", "0"]),
        ({"text": "ab" * 50, "learning_rate": -1.0}, ["--learning-rate", "above 0", "-1"]),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_an_impossible_run_is_refused_with_the_numbers(tmp_path: Path, changes: dict, words: list[str]) -> None:
    with pytest.raises(InputError) as refusal:
        run_in(tmp_path, **changes)
    for word in words:
        assert word in str(refusal.value)


def test_the_time_of_every_stage_is_recorded(tmp_path: Path) -> None:
    run = run_in(tmp_path, epochs=2)
    train(run)
    again = run_in(tmp_path, epochs=2)
    again.restore()
    for line in history_of(tmp_path):
        assert {"training", "evaluation", "sampling"} <= set(line["seconds"])
        assert min(line["seconds"].values()) >= 0
    first, second = history_of(tmp_path)
    assert second["elapsed_seconds"] == pytest.approx(
        first["elapsed_seconds"] + sum(second["seconds"].values()), abs=0.02
    )
    assert again.stages.elapsed_seconds >= second["elapsed_seconds"]


def test_an_evaluation_reads_at_most_a_quarter_of_the_characters_trained_on(tmp_path: Path) -> None:
    run = run_in(tmp_path, TEXT * 10, split=(0.5, 0.5, 0.0), epochs=5, eval_every=0.1)
    train(run)
    steps = [line["step"] for line in history_of(tmp_path)]
    assert steps[0] == 800  # of 10 characters, for 2,000 that are scored


@pytest.mark.parametrize(("limit", "share"), [(1e-9, 1.0), (1e6, 0.0), (0.0, 0.0)])
def test_history_has_the_share_of_clipped_steps(tmp_path: Path, limit: float, share: float) -> None:
    run = run_in(tmp_path, grad_clip=limit)
    assert train(run)
    assert [record["clipped_share"] for record in run.history] == [share] * len(run.history)


def weights_at_the_end(run: TrainingRun) -> list[bytes]:
    while not run.is_finished:
        run.take_step()
    return [variable.numpy().tobytes() for variable in run.trainer.network.variables]


SAVED_STEPS = (20, 36, 40, 80)


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[bytes]]:
    """A folder with the run as it was saved after each of `SAVED_STEPS`, and the weights at its end."""
    folder = tmp_path_factory.mktemp("saved")
    run = run_in(folder / "run", epochs=3, cold_start=0.1)
    assert run.steps_per_epoch == 36
    for step in SAVED_STEPS:
        while run.step < step:
            run.take_step()
        run.save()
        shutil.copytree(folder / "run", folder / str(step))
    return folder, weights_at_the_end(run)


@pytest.mark.parametrize("step", SAVED_STEPS)
def test_a_run_that_is_resumed_in_any_epoch_ends_with_the_same_bits(saved: tuple[Path, list[bytes]], step: int) -> None:
    folder, expected = saved
    assert weights_at_the_end(restored_in(folder / str(step), epochs=3, cold_start=0.1)) == expected


def test_a_run_with_teachers_learns_from_their_text_and_resumes_with_the_same_bits(tmp_path: Path) -> None:
    generator = np.random.Generator(np.random.PCG64(6))
    ids = generator.integers(1, 9, (3, 40)).astype(np.uint8)
    likely = np.full((400, 9), 0.01, np.float16)
    likely[:, 1] = 0.92  # the corpus has the first symbol at every eighth place
    targets = TeacherTargets(likely, ids, likely[:120].reshape(3, 40, 9))
    settings: dict[str, Any] = {"batch_size": 4, "epochs": 3, "teacher_share": 0.5, "learning_rate": 0.05}
    settings |= {"teacher_weight": 0.9, "teachers": targets}
    learned = run_in(tmp_path / "straight", **settings)
    straight = weights_at_the_end(learned)
    logits, _ = learned.trainer.read(ids.astype(np.int32), learned.validation.initial_state(3))
    assert np.exp(log_softmax(np.asarray(logits)))[:, :, 1].mean() > 0.5  # 1/8 in the corpus
    run = run_in(tmp_path / "resumed", **settings)
    for _ in range(40):
        run.take_step()
    run.save()
    assert weights_at_the_end(restored_in(tmp_path / "resumed", **settings)) == straight


def test_a_run_that_an_older_version_saved_keeps_its_order_of_the_text(tmp_path: Path) -> None:
    run = run_in(tmp_path, epochs=2)
    for _ in range(20):
        run.take_step()
    run.save()
    checkpoint = Checkpoint.load(tmp_path / "checkpoint.npz")
    del checkpoint.values["windows"]["taken"]
    checkpoint.values["windows"]["begun"] = True
    checkpoint.save(tmp_path / "checkpoint.npz")
    old = restored_in(tmp_path, epochs=2)
    while old.step < 40:
        old.take_step()
    old.save()
    windows = Checkpoint.values_of(tmp_path / "checkpoint.npz")["windows"]
    assert windows["taken"] is None
    assert windows["starts"] == [200, 20]  # the second stream began again at the end of the text

"""A training run from its first step to its result."""

import json
import math
import random
import signal
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.processes import COMMAND, ENVIRONMENT, training
from tests.texts import write_corpus
from training.config import TrainConfig
from training.data.corpus import prepare
from training.errors import InputError
from training.learning.folder import CORPUS, Plan, discard, locked
from training.learning.loop import train
from training.learning.run import Diverged, TrainingRun

SIZE = ["--units", "8", "--embedding", "4", "--batch-size", "4", "--window", "10"]
SETTING = {
    "layers": 1,
    "units": 8,
    "embedding": 4,
    "dropout": 0.0,
    "output_dropout": 0.0,
    "weight_dropout": 0.0,
    "batch_size": 2,
    "window": 5,
    "epochs": 1,
    "warmup_steps": 0,
}
# A rate that changes no bit of the weights: no evaluation but the first is a new best.
STANDSTILL = {"optimizer": "sgd", "learning_rate": 1e-30, "schedule": "constant"}
EVALUATED_EVERY = 25
TEXT = "abcdefgh" * 50


def run_in(folder: Path, text: str = TEXT, **changes: Any) -> TrainingRun:
    """A run over this text, with everything in `folder`; the same folder again is the same text."""
    folder.mkdir(exist_ok=True)
    path = folder / "text.txt"
    path.write_text(text)
    config = TrainConfig(**(SETTING | changes))
    return TrainingRun(config, prepare([str(path)], config, folder / CORPUS), folder)


def history_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "history.jsonl").read_text().splitlines()]


def set_all_weights(run: TrainingRun, change: Any) -> None:
    for variable in run.trainer.network.variables:
        variable.assign(change(variable.numpy()))


def test_so_many_steps_take_the_place_of_epochs(tmp_path: Path) -> None:
    run = run_in(tmp_path, steps=3, epochs=9)
    assert train(run)
    assert run.total_steps == run.step == run.history[-1]["step"] == 3
    assert run.history[-1]["learning_rate"] < run.config.learning_rate / 2


def test_best_weights_are_kept_not_the_last(tmp_path: Path) -> None:
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


def test_divergence_stops_with_the_step_and_leaves_the_last_good_checkpoint(tmp_path: Path) -> None:
    run = run_in(tmp_path)
    run.take_step()
    run.save()
    good = (tmp_path / "checkpoint.npz").read_bytes()
    set_all_weights(run, lambda weights: weights * np.nan)
    with pytest.raises(Diverged, match=r"diverged at step 2: the loss is nan.*--learning-rate \(now 0\.004\)"):
        train(run)
    assert (tmp_path / "checkpoint.npz").read_bytes() == good


def test_weights_that_blow_up_in_the_step_before_an_evaluation_are_not_saved(tmp_path: Path) -> None:
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


def test_history_has_a_line_an_evaluation_with_samples_at_three_temperatures(tmp_path: Path) -> None:
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


def test_lines_are_judged_by_whether_the_corpus_has_them(tmp_path: Path) -> None:
    names = random.Random(2).sample([a + b + "\n" for a in "abcdef" for b in "uvwxyz"], 36)
    run = run_in(tmp_path, "".join(names) * 8, split_by="line", epochs=1)
    run.take_step()
    novelty = run.evaluate()["novelty"]
    assert 0 < novelty["lines"] <= 200
    assert novelty["in_training"] + novelty["in_validation"] + novelty["new"] == pytest.approx(1)
    # Two letters of twelve in a row, after a line's end: hardly ever one of the 36 names yet.
    assert novelty["new"] > 0.5


def test_validation_carries_its_state_through_the_whole_text(tmp_path: Path) -> None:
    """1300 characters are two windows of evaluation: their loss is that of one pass, not of two cold ones."""
    text = "".join(random.Random(1).choices("abcd", k=2600))
    run = run_in(tmp_path, text, split=(0.5, 0.5, 0.0), units=5, output_dropout=0.1)
    run.take_step()
    record = run.evaluate()
    ids = run.corpus.vocabulary.encode(text)[1300:]
    previous = np.concatenate([[0], ids[:-1]])[None]
    logits = (
        np.asarray(run.trainer.read(previous, run.validation.initial_state(1))[0], np.float64)[0]
        * record["logit_scale"]
    )
    logprobs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    expected = -logprobs[np.arange(1300), ids].mean()
    assert record["validation_nats_per_char"] == pytest.approx(expected, abs=1e-6)


def test_an_evaluation_reads_no_more_than_it_was_told(tmp_path: Path) -> None:
    text = "".join(random.Random(1).choices("abcd", k=1000))
    run = run_in(tmp_path, text, split=(0.5, 0.5, 0.0), eval_chars=123)
    run.take_step()
    run.evaluate()
    assert run.result().validation.characters == 123


def test_the_averaged_weights_are_judged_and_kept_and_training_goes_on_with_its_own(tmp_path: Path) -> None:
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
    # The third evaluation is the second without a new best; its own steps still had the old rate.
    assert rates == pytest.approx([1e-30, 1e-30, 1e-30, 5e-31, 5e-31], rel=1e-6, abs=0)
    again = run_in(tmp_path, **setting)
    again.restore()
    assert again.is_finished
    assert again.result().validation == run.result().validation
    unlimited = run_in(tmp_path, **(setting | {"patience": 0}))
    unlimited.restore()
    assert not unlimited.is_finished


def test_restart_forgets_the_progress_and_keeps_the_text(tmp_path: Path) -> None:
    run = run_in(tmp_path)
    Plan(run.config, ("text.txt",), run.corpus.key).save(tmp_path)
    train(run)
    assert list((tmp_path / "tensorboard").iterdir())
    discard(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["corpus", "text.txt"]
    discard(tmp_path)  # what is not there is no obstacle


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
def test_a_run_that_cannot_be_is_refused_with_the_numbers(tmp_path: Path, changes: dict, words: list[str]) -> None:
    with pytest.raises(InputError) as refusal:
        run_in(tmp_path, **changes)
    for word in words:
        assert word in str(refusal.value)


def test_a_second_process_may_not_train_in_the_same_folder(tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus.txt")
    with locked(tmp_path / "runs" / "mine"):
        result = training("train", "--name", "mine", "--corpus", str(corpus), *SIZE, cwd=tmp_path, check=False)
    assert result.returncode == 1
    assert "Another process" in result.stderr


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run over a file and stdin that Ctrl-C stopped after its first evaluation."""
    folder = tmp_path_factory.mktemp("stopped")
    texts = [write_corpus(folder / "corpus.txt").read_text(), "what came through the pipe\n" * 20]
    process = subprocess.Popen(
        [*COMMAND, "train", "--name", "me", "--corpus", "corpus.txt", "--corpus", "-", *SIZE, "--epochs", "3"],
        cwd=folder,
        env=ENVIRONMENT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(texts[1])
    process.stdin.close()
    process.stdin = None
    for line in process.stdout:
        if line.startswith("epoch"):
            process.send_signal(signal.SIGINT)
            break
    _, errors = process.communicate()
    (folder / "errors").write_text(errors)
    (folder / "text").write_text("".join(texts))
    assert process.returncode == 128 + signal.SIGINT
    return folder


def test_ctrl_c_saves_and_says_how_to_go_on(stopped: Path) -> None:
    errors = (stopped / "errors").read_text()
    assert "--name me --resume" in errors.strip().splitlines()[-1]
    assert "Traceback" not in errors
    assert (stopped / "runs/me/checkpoint.npz").exists()
    again = training("train", "--name", "me", "--corpus", "corpus.txt", cwd=stopped, check=False)
    assert again.returncode == 1
    assert "--resume goes on with it, --restart discards it" in again.stderr


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("corpus", "words"),
    [("nowhere.txt", "nowhere.txt"), ("short.txt", "need 40"), ("latin.txt", "not UTF-8"), ("same.txt", "distinct")],
)
def test_a_restart_with_a_text_that_cannot_be_loses_nothing(stopped: Path, corpus: str, words: str) -> None:
    (stopped / "short.txt").write_text("too short a text")
    (stopped / "latin.txt").write_bytes(b"na\xefve " * 100)
    (stopped / "same.txt").write_text("a" * 1000)
    before = files_of(stopped / "runs")
    refused = training("train", "--name", "me", "--corpus", corpus, *SIZE, "--restart", cwd=stopped, check=False)
    assert refused.returncode == 1
    assert words in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert files_of(stopped / "runs") == before


def test_a_resumed_run_needs_neither_its_files_nor_stdin(stopped: Path) -> None:
    (stopped / "corpus.txt").write_text("another text altogether")
    resumed = training("train", "--name", "me", "--resume", cwd=stopped)
    assert "step 0 of" not in resumed.stdout
    assert "Published models/me/1" in resumed.stdout
    record = json.loads((stopped / "models/me/1/assets.extra/manifest.json").read_text())
    assert [file["path"] for file in record["corpus"]["files"]] == ["corpus.txt", "stdin"]
    assert record["corpus"]["characters"] == len((stopped / "text").read_text())
    finished = training("train", "--name", "me", "--resume", cwd=stopped, check=False)
    assert finished.returncode == 1
    assert "nothing to resume" in finished.stderr


def test_minutes_decide_the_steps_before_a_run_begins(tmp_path: Path) -> None:
    write_corpus(tmp_path / "corpus.txt", words=5000)
    network = [*SIZE, "--layers", "1", "--weight-dropout", "0"]
    out = training("train", "--name", "me", "--corpus", "corpus.txt", *network, "--minutes", "0.6", cwd=tmp_path).stdout
    plan = Plan.load(tmp_path / "runs/me")
    assert plan.config.minutes == 0.6
    assert plan.config.steps >= EVALUATED_EVERY
    assert f"{plan.config.steps:,} steps in 0.6 minutes" in out
    last = history_of(tmp_path / "runs/me")[-1]
    assert last["step"] == plan.config.steps
    assert last["learning_rate"] < plan.config.learning_rate / 100
    assert last["elapsed_seconds"] < 60 * 0.6 * 1.5  # far wider than the promise: other tests have the cores too


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


def test_an_evaluation_reads_at_most_a_quarter_of_what_was_trained_on_since_the_last(tmp_path: Path) -> None:
    run = run_in(tmp_path, TEXT * 10, split=(0.5, 0.5, 0.0), epochs=5, eval_every=0.1)
    train(run)
    steps = [line["step"] for line in history_of(tmp_path)]
    assert steps[0] == 800  # of 10 characters, for 2,000 that are scored

"""Whole training runs, through the command line where a person would use it."""

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.conftest import training, write_corpus
from training.config import TrainConfig
from training.data.corpus import Corpus
from training.data.vocabulary import Vocabulary
from training.errors import InputError
from training.learning.run import Diverged, TrainingRun, train

TINY = ["--units", "12", "--embedding", "4", "--batch-size", "4", "--window", "10", "--dropout", "0.2"]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return write_corpus(tmp_path / "corpus.txt")


def manifest(version: Path) -> dict:
    return json.loads((version / "assets.extra" / "manifest.json").read_text())


def test_a_run_killed_at_any_moment_ends_as_one_that_never_stopped(tmp_path: Path, corpus: Path) -> None:
    arguments = ["train", "--corpus", str(corpus), *TINY, "--epochs", "6", "--eval-every", "0.5"]
    training(*arguments, "--name", "straight", cwd=tmp_path)

    command = [sys.executable, "-m", "training", *arguments, "--name", "killed"]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if line.startswith("epoch 2.00"):  # evaluated, perhaps not yet saved
            process.send_signal(signal.SIGKILL)
            break
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not (tmp_path / "models" / "killed").exists()
    resumed = training("train", "--name", "killed", "--resume", cwd=tmp_path)
    assert "step 0 of" not in resumed.stdout

    straight, killed = (manifest(tmp_path / "models" / name / "1") for name in ("straight", "killed"))
    assert killed["metrics"] == straight["metrics"]
    assert killed["probe"] == straight["probe"]
    histories = [(tmp_path / "runs" / name / "history.jsonl").read_text() for name in ("straight", "killed")]
    assert histories[0] == histories[1]


def test_ctrl_c_saves_and_says_how_to_go_on(tmp_path: Path, corpus: Path) -> None:
    command = [sys.executable, "-m", "training", "train", "--name", "me", "--corpus", str(corpus), *TINY]
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen(
        [*command, "--epochs", "5000"],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in process.stdout:
        if line.startswith("epoch"):
            process.send_signal(signal.SIGINT)
            break
    _, errors = process.communicate()
    assert process.returncode == 1
    assert "--name me --resume" in errors.strip().splitlines()[-1]
    assert "Traceback" not in errors
    assert (tmp_path / "runs" / "me" / "checkpoint.npz").exists()
    again = training("train", "--name", "me", "--corpus", str(corpus), cwd=tmp_path, check=False)
    assert again.returncode == 1
    assert "--resume goes on with it, --restart discards it" in again.stderr


def test_a_second_process_may_not_train_in_the_same_folder(tmp_path: Path, corpus: Path) -> None:
    from training.learning.folder import locked

    with locked(tmp_path / "runs" / "mine"):
        result = training("train", "--name", "mine", "--corpus", str(corpus), *TINY, cwd=tmp_path, check=False)
    assert result.returncode == 1
    assert "Another process" in result.stderr


def run_in(folder: Path, text: str, **changes) -> TrainingRun:
    setting = {
        "units": 8,
        "embedding": 4,
        "batch_size": 2,
        "window": 5,
        "epochs": 1,
        "dropout": 0.0,
        "weight_dropout": 0.0,
    } | changes
    vocabulary = Vocabulary.of(text)
    return TrainingRun(TrainConfig(**setting), Corpus(text, ()), vocabulary, folder)


def test_best_weights_are_kept_not_the_last(tmp_path: Path) -> None:
    run = run_in(tmp_path, "abcdefgh" * 50, epochs=4, learning_rate=0.01)
    assert train(run)
    best = min(record["validation_nats_per_char"] for record in run.history)
    assert run.result().validation.nats_per_char == best
    # Worse weights after it change nothing.
    run._network.set_weights([w + 1 for w in run._network.get_weights()])
    run._losses = [1.0]
    run.evaluate()
    assert run.result().validation.nats_per_char == best


def test_divergence_stops_with_the_step_and_leaves_the_last_good_checkpoint(tmp_path: Path) -> None:
    run = run_in(tmp_path, "abcdefgh" * 50)
    run.take_step()
    run.save()
    good = (tmp_path / "checkpoint.npz").read_bytes()
    run._network.set_weights([w * np.nan for w in run._network.get_weights()])
    with pytest.raises(Diverged, match="diverged at step 2"):
        train(run)
    assert (tmp_path / "checkpoint.npz").read_bytes() == good


def test_history_has_a_line_an_evaluation_with_a_sample(tmp_path: Path) -> None:
    run = run_in(tmp_path, "abcdefgh" * 50, epochs=3)
    train(run)
    lines = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    assert all(set(line["sample"]) <= set("abcdefgh") and line["sample"] for line in lines)
    assert {"step", "chars_seen", "training_nats_per_char", "validation_nats_per_char", "learning_rate"} <= set(
        lines[0]
    )


def test_validation_carries_its_state_through_the_whole_text(tmp_path: Path) -> None:
    """1300 characters are two windows of evaluation: their loss is that of one pass, not of two cold ones."""
    from tests.oracle import loss_and_gradient
    from tests.training.test_network import oracle_of

    text = "".join(random.Random(1).choices("abcd", k=2600))
    run = run_in(tmp_path, text, split=(0.5, 0.5, 0.0), units=5)
    run.take_step()
    found = run.evaluate()["validation_nats_per_char"]
    ids = run.vocabulary.encode(text)[1300:]
    previous = np.concatenate([[0], ids[:-1]])
    logits, _, _ = oracle_of(run._network).forward(previous[None], np.zeros((4, 1, 5)))
    assert found == pytest.approx(loss_and_gradient(logits[0] * run._logit_scale, ids)[0], abs=1e-6)


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

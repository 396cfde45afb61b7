"""`train --teachers`: published models that left out a part of the text each teach another network."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.processes import training
from tests.texts import write_corpus
from tests.training.commands.cli import refusal
from tests.workers import made_once
from training.commands.teaching import teachers_of
from training.config import TrainConfig
from training.data.prepare import prepare
from training.data.teacher_targets import TeacherTargets
from training.errors import InputError
from training.learning.folder import OLD, TEACHERS
from training.release.store import manifest_of

SIZE = ["--layers", "1", "--units", "12", "--embedding", "4", "--batch-size", "4", "--window", "20"]
LEARNING = [*SIZE, "--learning-rate", "0.05", "--warmup-steps", "5", "--epochs", "2"]
BEGIN = ["train", "--name", "student", "--corpus", "corpus.txt", *LEARNING, "--teacher-chars", "4000", "--teachers"]


def _train_teachers(folder: Path) -> None:
    write_corpus(folder / "corpus.txt")
    for part in range(2):
        name = ["--name", f"part-{part}", "--leave-out", f"{part}/2"]
        training("train", *name, "--corpus", "corpus.txt", *LEARNING, cwd=folder)


@pytest.fixture
def folder(tmp_path_factory: pytest.TempPathFactory, tmp_path: Path) -> Path:
    """A folder with a text and two models that left out a half of it each."""
    original = made_once(tmp_path_factory, "teachers", _train_teachers)
    return shutil.copytree(original, tmp_path / "teaching", ignore=shutil.ignore_patterns("runs"))


def loss_of(version: Path) -> float:
    return float(manifest_of(version)["metrics"]["validation"]["nats_per_char"])


def test_a_student_learns_from_its_teachers_and_continues_with_their_targets(folder: Path) -> None:
    training(*BEGIN, "part-1,part-0/1", cwd=folder)
    run = folder / "runs/student"
    assert json.loads((run / "run.json").read_text())["teachers"] == ["part-0/1", "part-1/1"]
    targets = TeacherTargets.open(run / TEACHERS)
    assert targets.written.shape == (2, 2000)
    np.testing.assert_allclose(targets.of_corpus.sum(axis=1, dtype=np.float32), 1, atol=0.01)
    assert manifest_of(folder / "models/student/1")["teachers"] == ["part-0/1", "part-1/1"]
    assert loss_of(folder / "models/student/1") < loss_of(folder / "models/part-0/1") + 0.1
    training("train", "--name", "student", "--resume", "--epochs", "3", cwd=folder)
    training("publish", "again", "--from", "runs/student", cwd=folder)
    assert loss_of(folder / "models/again/1") == loss_of(folder / "models/student/2")
    assert len(training("sample", "--run", "runs/student", "--length", "20", "--seed", "1", cwd=folder).stdout) >= 20
    training("train", "--name", "student", "--corpus", "corpus.txt", *SIZE, "--steps", "5", "--force", cwd=folder)
    assert TeacherTargets.open(run / OLD / "1" / TEACHERS).written.shape == (2, 2000)
    assert not (run / TEACHERS).exists()


@pytest.mark.parametrize(
    ("references", "changes", "sentence"),
    [
        (["part-0", "part-1"], {"batch_size": 1}, "--batch-size must be at least 2 with --teachers, not 1"),
        (["part-0", "part-1"], {"teacher_chars": 19}, "--teacher-chars must be at least --window, 20, not 19."),
        (["part-0", "other"], {}, "There is no model 'other'"),
        (
            ["part-0", "part-1"],
            {"split": (0.8, 0.1, 0.1)},
            "The teacher part-0/1 was trained on another text, or split",
        ),
        (["part-0", "part-1"], {"leave_out": "0/2"}, "--leave-out is for teachers"),
        (["part-0", "part-1"], {"split_by": "each-file"}, "The teacher part-0/1 was trained on another text, or split"),
        (["part-0", "part-1"], {"min_count": 200}, "The teacher part-0/1 has other symbols"),
        (["part-0"], {}, "The --teachers must leave out each part of the training text once"),
        (["part-0", "part-1", "part-1"], {}, "The --teachers must leave out each part of the training text once"),
    ],
)
def test_teachers_that_cannot_teach_are_one_sentence(
    folder: Path, tmp_path: Path, references: list[str], changes: dict[str, Any], sentence: str
) -> None:
    config = TrainConfig(**({"window": 20} | changes))
    corpus = prepare([str(folder / "corpus.txt")], config, tmp_path / "encoded")
    with pytest.raises(InputError) as refused:
        teachers_of(references, config, corpus, folder / "models")
    assert str(refused.value).startswith(sentence)


def test_a_teacher_with_dropout_cannot_teach_a_run_without(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.config.MIN_HELD_OUT", 10)  # so that a short text holds out its start
    config = TrainConfig(window=20, dropout=0, output_dropout=0, weight_dropout=0)
    corpus = prepare([str(folder / "corpus.txt")], config, tmp_path / "encoded")
    with pytest.raises(
        InputError, match=r"part-0/1 has dropout, and this run has none: give all of them dropout or none"
    ):
        teachers_of(["part-0", "part-1"], config, corpus, folder / "models")


def test_an_error_of_the_teachers_leaves_no_run(folder: Path) -> None:
    ended = training(*BEGIN, "part-0", cwd=folder, check=False)
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].startswith("Error: The --teachers must leave out each part")
    assert not (folder / "runs/student").exists()


@pytest.mark.parametrize("value", ["", "part,", "part//1", "Part"])
def test_a_list_of_teachers_is_checked(value: str) -> None:
    assert refusal("train", "--name", "a", "--corpus", "-", "--teachers", value).endswith(
        "must be NAME or NAME/VERSION of a published model."
    )


@pytest.mark.parametrize("value", ["2/2", "0/1", "0", "a/b", "-1/2", "0/2/3", ""])
def test_a_part_is_checked(value: str) -> None:
    assert refusal("train", "--name", "a", "--corpus", "-", "--leave-out", value).endswith(
        f"--leave-out must be none or I/N with I below N, and N at least 2, not {value}."
    )

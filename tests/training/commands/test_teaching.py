"""`train --teachers`: published models write a text, and another network learns from it."""

import json
import shutil
from pathlib import Path

import pytest

from tests.processes import training
from tests.training.commands.cli import refusal
from training.data.teacher_text import TeacherText
from training.learning.folder import OLD, TEACHER_TEXT
from training.release.store import manifest_of

SIZE = ["--layers", "1", "--units", "12", "--embedding", "4", "--batch-size", "4", "--window", "20"]
LEARNING = [*SIZE, "--learning-rate", "0.05", "--warmup-steps", "5", "--weight-dropout", "0"]
BEGIN = ["train", "--name", "student", "--corpus", "corpus.txt", *LEARNING, "--teachers", "tiny,tiny/1"]


@pytest.fixture
def folder(tiny: Path, tmp_path: Path) -> Path:
    """A folder with the tiny model and its text."""
    shutil.copytree(tiny / "models", tmp_path / "models")
    shutil.copy(tiny / "corpus.txt", tmp_path)
    return tmp_path


def test_a_student_learns_from_its_teachers_and_goes_on_with_their_text(folder: Path) -> None:
    training(*BEGIN, "--teacher-chars", "4000", "--epochs", "2", cwd=folder)
    run = folder / "runs/student"
    assert json.loads((run / "run.json").read_text())["teachers"] == ["tiny/1", "tiny/1"]
    text = TeacherText.open(run / TEACHER_TEXT)
    assert text.ids.shape == (2, 2000)
    teacher, student = (
        manifest_of(folder / f"models/{name}/1")["metrics"]["validation"]["nats_per_char"]
        for name in ("tiny", "student")
    )
    assert student < teacher + 0.3
    training("train", "--name", "student", "--resume", "--epochs", "3", cwd=folder)
    assert (folder / "models/student/2").is_dir()
    training("train", "--name", "student", "--corpus", "corpus.txt", *LEARNING, "--steps", "5", "--force", cwd=folder)
    assert TeacherText.open(run / OLD / "1" / TEACHER_TEXT).ids.shape == (2, 2000)
    assert not (run / TEACHER_TEXT).exists()


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--batch-size", "1"], "--batch-size must be at least 2 with --teachers, not 1"),
        (["--teacher-chars", "19"], "--teacher-chars must be at least --window, 20, not 19."),
        (["--teachers", "tiny,other"], "There is no model 'other'"),
        (["--corpus", "other.txt"], "The teacher tiny/1 knows other symbols"),
    ],
)
def test_a_text_that_cannot_be_written_is_one_sentence_and_leaves_no_run(
    folder: Path, flags: list[str], sentence: str
) -> None:
    (folder / "other.txt").write_text("Ünknown\n" * 1000)
    ended = training(*BEGIN, *flags, cwd=folder, check=False)
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"Error: {sentence}")
    assert not (folder / "runs/student").exists()


@pytest.mark.parametrize("value", ["", "tiny,", "tiny//1", "Tiny"])
def test_a_list_of_teachers_is_checked(value: str) -> None:
    assert refusal("train", "--name", "a", "--corpus", "-", "--teachers", value).endswith(
        "must be NAME or NAME/VERSION of a published model."
    )

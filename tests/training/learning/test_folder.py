"""What becomes of a run: published at any step, resumed, extended, and kept when its name is trained again."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.processes import training
from tests.texts import write_corpus
from training.config import TrainConfig
from training.data.corpus import prepare
from training.errors import InputError
from training.learning.checkpoint import Checkpoint
from training.learning.folder import CHECKPOINT, CORPUS, HISTORY, OLD, PLAN, REPORT, Plan, Position, keep_as_old, locked
from training.learning.loop import train
from training.learning.run import TrainingRun

SETTINGS: dict[str, Any] = {
    "layers": 1,
    "units": 8,
    "embedding": 4,
    "dropout": 0.0,
    "output_dropout": 0.0,
    "weight_dropout": 0.0,
    "batch_size": 4,
    "window": 10,
    "learning_rate": 0.05,
    "warmup_steps": 5,
    "steps": 100,
    "eval_every": 0.5,
}
FLAGS = [item for name, value in SETTINGS.items() for item in (f"--{name.replace('_', '-')}", str(value))]
BEGIN = ["train", "--name", "mine", "--corpus", "corpus.txt", *FLAGS]
RESUME = ["train", "--name", "mine", "--resume"]


def run_of(folder: Path, steps: int, **changes: Any) -> Path:
    """A run under `runs/mine` that stopped after so many steps; returns its folder."""
    text = write_corpus(folder / "corpus.txt")
    config = TrainConfig(**(SETTINGS | changes))
    place = folder / "runs/mine"
    corpus = prepare([str(text)], config, place / CORPUS)
    run = TrainingRun(config, corpus, place)
    train(run, should_stop=lambda: run.step >= steps)
    Plan(config, ("corpus.txt",), corpus.key).save(place)
    return place


def plan_of(folder: Path) -> Plan:
    return Plan.load(folder / "runs/mine")


def history_of(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / HISTORY).read_text().splitlines()]


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name != ".lock"}


@pytest.fixture(scope="module")
def after_one(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a finished and published run. Not to be changed."""
    folder = tmp_path_factory.mktemp("finished")
    write_corpus(folder / "corpus.txt")
    assert "Published models/mine/1" in training(*BEGIN, cwd=folder).stdout
    return folder


@pytest.fixture
def finished(after_one: Path, tmp_path: Path) -> Path:
    """The same, to be changed."""
    return shutil.copytree(after_one, tmp_path / "finished")


def test_an_unfinished_run_that_was_published_is_resumed_to_its_end(tmp_path: Path) -> None:
    run = run_of(tmp_path, steps=60)
    shutil.copytree(run, tmp_path / "runs/unpublished")
    published = training("publish", "mine", "--from", "runs/mine", "--force", cwd=tmp_path)
    assert published.stdout == "Published models/mine/1, from step 60 of 100; --resume goes on with the run.\n"
    before = files_of(run)
    again = training(*BEGIN, cwd=tmp_path, check=False)
    assert again.returncode == 1
    assert "--resume goes on with it, --restart discards it" in again.stderr
    assert files_of(run) == before
    assert "Published models/mine/2" in training(*RESUME, cwd=tmp_path).stdout
    training("train", "--name", "unpublished", "--resume", cwd=tmp_path)
    resumed, other = (Checkpoint.load(folder / CHECKPOINT) for folder in (run, tmp_path / "runs/unpublished"))
    assert resumed.values["step"] == 100
    for found, expected in zip(resumed.arrays["network"], other.arrays["network"], strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_finished_run_that_was_not_published_is_published_by_resume(tmp_path: Path) -> None:
    run_of(tmp_path, steps=100)
    assert "Published models/mine/1" in training(*RESUME, cwd=tmp_path).stdout
    assert (plan_of(tmp_path).published, plan_of(tmp_path).published_step) == ("models/mine/1", 100)


def test_a_finished_run_that_was_published_earlier_is_published_by_resume_at_its_end(finished: Path) -> None:
    from dataclasses import replace

    replace(plan_of(finished), published_step=50).save(finished / "runs/mine")
    assert "Published models/mine/2" in training(*RESUME, cwd=finished).stdout


@pytest.mark.parametrize("step", [100, None], ids=["recorded", "of an older version of Charloom"])
def test_a_finished_and_published_run_says_how_to_extend_it(finished: Path, step: int | None) -> None:
    from dataclasses import replace

    replace(plan_of(finished), published_step=step).save(finished / "runs/mine")
    said = training(*RESUME, cwd=finished, check=False)
    assert said.returncode == 1
    for words in ("nothing to resume", "100 steps", "models/mine/1", "--epochs or --steps"):
        assert words in said.stderr
    assert len(said.stderr.splitlines()) == 1


@pytest.mark.parametrize(("flags", "total"), [(["--steps", "150"], 150), (["--epochs", "4"], 200)])
def test_a_finished_run_is_extended(finished: Path, flags: list[str], total: int) -> None:
    said = training(*RESUME, *flags, cwd=finished).stdout
    assert f"The run now has {total} steps in place of 100: from step 100 on" in said
    assert "Published models/mine/2" in said
    lines = history_of(finished / "runs/mine")
    assert [lines[-1]["step"], lines[3]["step"]] == [total, 100]
    assert lines[3]["learning_rate"] < 0.001 < lines[4]["learning_rate"]
    assert lines[-1]["learning_rate"] < 0.001
    assert plan_of(finished).config.total_steps(50) == total
    assert plan_of(finished).published_step == total


def test_an_unfinished_run_gets_another_total(tmp_path: Path) -> None:
    run = run_of(tmp_path, steps=50)
    said = training(*RESUME, "--steps", "75", cwd=tmp_path).stdout
    assert "The run now has 75 steps in place of 100: from step 50 on" in said
    assert history_of(run)[-1]["step"] == 75


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--steps", "80"], ["--steps 80 means 80 steps", "has taken 100 already"]),
        (["--epochs", "1"], ["--epochs 1 means 50 steps", "has taken 100 already"]),
        (["--steps", "100"], ["--steps 100 means 100 steps", "has taken 100 already"]),
    ],
)
def test_a_total_that_leaves_no_step_is_refused_with_both_numbers(
    after_one: Path, flags: list[str], words: list[str]
) -> None:
    before = files_of(after_one)
    refused = training(*RESUME, *flags, cwd=after_one, check=False)
    assert refused.returncode == 1
    assert all(word in refused.stderr for word in words)
    assert len(refused.stderr.splitlines()) == 1
    assert files_of(after_one) == before


def test_more_steps_do_not_extend_a_run_that_patience_ended(tmp_path: Path) -> None:
    standstill = {"optimizer": "sgd", "learning_rate": 1e-30, "schedule": "constant", "patience": 1}
    run = run_of(tmp_path, steps=100, **standstill)
    assert Position.of(run, Plan.load(run)) == Position(50, is_finished=True)
    refused = training(*RESUME, "--steps", "200", cwd=tmp_path, check=False)
    assert refused.returncode == 1
    assert "--patience 1 ended the run" in refused.stderr


def test_training_again_keeps_each_finished_run_whole(finished: Path) -> None:
    run = finished / "runs/mine"
    training("report", "mine", cwd=finished)
    before = {path.name: path.stat().st_ino for path in run.iterdir() if path.name != ".lock"}
    assert REPORT in before
    said = training(*BEGIN, "--seed", "2", cwd=finished).stdout
    assert "The finished run of this name is kept in runs/mine/old/1." in said
    assert {path.name: path.stat().st_ino for path in (run / OLD / "1").iterdir()} == before
    assert {path.name for path in run.iterdir()} == {".lock", *before, OLD} - {REPORT, "baselines.json"}
    assert plan_of(finished).config.seed == 2
    # The same text is not kept twice on disk.
    assert (run / CORPUS / "ids.bin").samefile(run / OLD / "1" / CORPUS / "ids.bin")
    assert "kept in runs/mine/old/2" in training(*BEGIN, "--restart", cwd=finished).stdout
    assert "Wrote" in training("report", "1", "--runs", "runs/mine/old", cwd=finished).stdout
    assert "Published" in training("publish", "first", "--from", "runs/mine/old/1", cwd=finished).stdout


def test_a_run_with_another_text_leaves_the_old_one_its_own(finished: Path) -> None:
    text = (finished / "corpus.txt").read_text()
    (finished / "corpus.txt").write_text(text.upper())
    assert "kept in runs/mine/old/1" in training(*BEGIN, cwd=finished).stdout
    for folder, expected in ((finished / "runs/mine", text.upper()), (finished / "runs/mine/old/1", text)):
        corpus = Plan.load(folder).open_corpus(folder)
        assert corpus.text(0, len(corpus)) == expected


def test_an_unfinished_run_that_is_restarted_leaves_no_report(tmp_path: Path) -> None:
    run = run_of(tmp_path, steps=60)
    training("report", "mine", cwd=tmp_path)
    training(*BEGIN, "--restart", "--force", cwd=tmp_path)
    assert not (run / REPORT).exists()
    assert not (run / OLD).exists()


def test_a_move_that_was_killed_is_completed_by_the_next_run(finished: Path) -> None:
    run = finished / "runs/mine"
    before = {path.name for path in run.iterdir()} - {".lock"}
    (run / ".old").mkdir()
    (run / PLAN).rename(run / ".old" / PLAN)
    assert "kept in runs/mine/old/1" in training(*BEGIN, cwd=finished).stdout
    assert {path.name for path in (run / OLD / "1").iterdir()} == before


def test_the_folders_of_the_nights_and_the_lock_are_not_moved(tmp_path: Path) -> None:
    for name in ("night", "served", "refused", "corpus"):
        (tmp_path / name).mkdir()
    for name in (".lock", PLAN, CHECKPOINT, HISTORY):
        (tmp_path / name).touch()
    assert keep_as_old(tmp_path) == tmp_path / "old" / "1"
    assert {path.name for path in tmp_path.iterdir()} == {"night", "served", "refused", ".lock", "old"}


def test_a_finished_run_is_not_touched_by_a_text_that_cannot_be(after_one: Path) -> None:
    before = files_of(after_one)
    refused = training("train", "--name", "mine", "--corpus", "nowhere.txt", cwd=after_one, check=False)
    assert refused.returncode == 1
    assert files_of(after_one) == before


@pytest.mark.parametrize("flags", [["--resume"], ["--corpus", "nowhere.txt"], ["--corpus", "short.txt"]])
def test_a_command_that_fails_leaves_no_folder(tmp_path: Path, flags: list[str]) -> None:
    (tmp_path / "short.txt").write_text("short")
    (tmp_path / "runs").mkdir()
    refused = training("train", "--name", "unknown", *flags, cwd=tmp_path, check=False)
    assert refused.returncode == 1
    assert not [*(tmp_path / "runs").iterdir()]
    assert not (tmp_path / "models").exists()


def test_a_lock_whose_file_was_removed_meanwhile_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    monkeypatch.setattr(fcntl, "flock", lambda *_: (tmp_path / "mine/.lock").unlink())
    with pytest.raises(InputError, match="Another process"), locked(tmp_path / "mine"):
        pass

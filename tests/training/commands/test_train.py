"""The train command: runs that are published, resumed, extended, restarted, stopped, and kept when trained again."""

import json
import shutil
import signal
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tests.processes import COMMAND, ENVIRONMENT, training
from tests.texts import write_corpus
from tests.training.commands.small_runs import BEGIN, RESUME, plan_of, run_of
from tests.training.learning.runs import SIZE, files_of, history_of
from tests.training.learning.workers import free_addresses
from training.commands.train import time_limit
from training.config import TrainConfig
from training.learning.budget import MIN_STEPS
from training.learning.checkpoint import Checkpoint
from training.learning.folder import CHECKPOINT, CORPUS, OLD, PLAN, REPORT, Plan, Position, locked
from training.learning.stages import Stages
from training.release.publish import HISTORY
from training.release.store import versions


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_finished_run_that_was_not_published_is_published_by_resume(tmp_path: Path) -> None:
    run_of(tmp_path, steps=100)
    assert "Published models/mine/1" in training(*RESUME, cwd=tmp_path).stdout
    assert (plan_of(tmp_path).published, plan_of(tmp_path).published_step) == ("models/mine/1", 100)


@pytest.mark.slow
def test_a_finished_run_that_was_published_earlier_is_published_by_resume_at_its_end(finished: Path) -> None:
    replace(plan_of(finished), published_step=50).save(finished / "runs/mine")
    history = finished / "models/mine/1" / HISTORY
    history.write_text("".join(history.read_text().splitlines(keepends=True)[:2]))  # evaluations at 25 and 50
    assert "Published models/mine/2" in training(*RESUME, cwd=finished).stdout


def test_a_version_placed_just_before_a_kill_is_not_published_twice(finished: Path) -> None:
    replace(plan_of(finished), published=None, published_step=None).save(finished / "runs/mine")
    printed = training(*RESUME, cwd=finished).stdout
    assert "Published models/mine/1" in printed
    assert "Weight decay has a time scale of " in printed
    assert versions(finished / "models", "mine") == [1]
    assert plan_of(finished).published_step == 100


@pytest.mark.parametrize("step", [100, None], ids=["recorded", "of an older version of Charloom"])
def test_a_finished_and_published_run_says_how_to_extend_it(finished: Path, step: int | None) -> None:
    replace(plan_of(finished), published_step=step).save(finished / "runs/mine")
    said = training(*RESUME, cwd=finished, check=False)
    assert said.returncode == 1
    for words in ("nothing to resume", "100 steps", "models/mine/1", "--epochs or --steps"):
        assert words in said.stderr
    assert len(said.stderr.splitlines()) == 1


def test_a_worker_that_resumes_a_published_run_ends_without_the_others(finished: Path) -> None:
    """A launcher restarts a worker that was lost after the others have ended."""
    said = training(*RESUME, "--workers", ",".join(free_addresses(2)), "--worker", "1", cwd=finished)
    assert "published as models/mine/1: nothing to resume" in said.stdout
    assert said.stderr == ""


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_training_again_keeps_each_finished_run(finished: Path) -> None:
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


@pytest.mark.slow
def test_an_old_run_keeps_its_text(finished: Path) -> None:
    text = (finished / "corpus.txt").read_text()
    (finished / "corpus.txt").write_text(text.upper())
    assert "kept in runs/mine/old/1" in training(*BEGIN, cwd=finished).stdout
    for folder, expected in ((finished / "runs/mine", text.upper()), (finished / "runs/mine/old/1", text)):
        corpus = Plan.load(folder).open_corpus(folder)
        assert corpus.text(0, len(corpus)) == expected


@pytest.mark.slow
def test_an_unfinished_run_that_is_restarted_leaves_no_report(tmp_path: Path) -> None:
    run = run_of(tmp_path, steps=60)
    training("report", "mine", cwd=tmp_path)
    training(*BEGIN, "--restart", "--force", cwd=tmp_path)
    assert not (run / REPORT).exists()
    assert not (run / OLD).exists()


@pytest.mark.slow
def test_a_move_that_was_killed_is_completed_by_the_next_run(finished: Path) -> None:
    run = finished / "runs/mine"
    before = {path.name for path in run.iterdir()} - {".lock"}
    (run / ".old").mkdir()
    (run / PLAN).rename(run / ".old" / PLAN)
    assert "kept in runs/mine/old/1" in training(*BEGIN, cwd=finished).stdout
    assert {path.name for path in (run / OLD / "1").iterdir()} == before


def test_a_text_that_cannot_be_read_leaves_a_finished_run_as_it_is(after_one: Path) -> None:
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


def test_ctrl_c_saves_the_run_and_prints_how_to_resume_it(stopped: Path) -> None:
    errors = (stopped / "errors").read_text()
    assert "--name me --resume" in errors.strip().splitlines()[-1]
    assert "Traceback" not in errors
    assert (stopped / "runs/me/checkpoint.npz").exists()
    again = training("train", "--name", "me", "--corpus", "corpus.txt", cwd=stopped, check=False)
    assert again.returncode == 1
    assert "--resume goes on with it, --restart discards it" in again.stderr


@pytest.mark.parametrize(
    ("corpus", "words"),
    [("nowhere.txt", "nowhere.txt"), ("short.txt", "need 40"), ("latin.txt", "not UTF-8"), ("same.txt", "distinct")],
)
def test_a_restart_with_an_impossible_text_loses_nothing(stopped: Path, corpus: str, words: str) -> None:
    (stopped / "short.txt").write_text("too short a text")
    (stopped / "latin.txt").write_bytes(b"na\xefve " * 100)
    (stopped / "same.txt").write_text("a" * 1000)
    before = files_of(stopped / "runs")
    refused = training("train", "--name", "me", "--corpus", corpus, *SIZE, "--restart", cwd=stopped, check=False)
    assert refused.returncode == 1
    assert words in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert files_of(stopped / "runs") == before


@pytest.mark.slow
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
    # A slow machine takes MIN_STEPS, after which the network may be worse than a unigram model.
    flags = [*SIZE, "--layers", "1", "--weight-dropout", "0", "--minutes", "0.4", "--force"]
    out = training("train", "--name", "me", "--corpus", "corpus.txt", *flags, cwd=tmp_path).stdout
    plan = Plan.load(tmp_path / "runs/me")
    assert plan.config.minutes == 0.4
    assert plan.config.steps >= MIN_STEPS
    assert "steps in 0.4 minutes" in out  # an evaluation may have corrected them since
    assert "About" not in out
    last = history_of(tmp_path / "runs/me")[-1]
    assert last["step"] == plan.config.steps
    assert last["learning_rate"] < plan.config.learning_rate / 100
    if plan.config.steps > MIN_STEPS:  # far wider than the promise: other tests have the cores too
        assert last["elapsed_seconds"] < 60 * 0.4 * 1.5


def test_the_time_of_a_command_before_its_first_step_counts_too() -> None:
    stages, began_s = Stages(elapsed_seconds=20.0), time.monotonic() - 30
    plan, run, target = (
        Plan(TrainConfig(minutes=2), (), ""),
        SimpleNamespace(stages=stages),
        SimpleNamespace(began_s=began_s),
    )
    assert time_limit(plan, run, target).end_s == pytest.approx(began_s + 120 - 20)
    assert stages.elapsed_seconds == pytest.approx(20 + 30, abs=5)


@pytest.mark.parametrize("flag", ["--runs", "--models"])
def test_a_folder_that_cannot_be_created_is_refused_before_the_text_is_read(tmp_path: Path, flag: str) -> None:
    (tmp_path / "file").touch()
    for folder in ("/proc/none", "file/below"):
        words = ["train", "--name", "mine", "--corpus", "nowhere.txt", flag, folder]
        refused = training(*words, cwd=tmp_path, check=False)
        assert refused.returncode == 1
        assert refused.stderr.startswith(f"Error: {flag}: {folder}/mine cannot be created: ")
        assert len(refused.stderr.splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_network_that_needs_more_disk_space_than_is_free_is_refused(tmp_path: Path) -> None:
    huge = ["--units", "1000000", "--window", "10"]
    write_corpus(tmp_path / "corpus.txt")
    refused = training("train", "--name", "mine", "--corpus", "corpus.txt", *huge, cwd=tmp_path, check=False)
    assert refused.returncode == 1
    assert "A network of 12," in refused.stderr
    assert "of disk space in models/mine and runs/mine" in refused.stderr
    assert "are free" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1
    assert not (tmp_path / "models").exists()
    assert not [*(tmp_path / "runs").iterdir()]


@pytest.mark.slow
def test_a_model_of_encoded_parts_is_that_of_the_text(after_one: Path, tmp_path: Path) -> None:
    shutil.copy(after_one / "corpus.txt", tmp_path)
    for part in range(3):
        training("corpus", "encode", "--corpus", "corpus.txt", "--part", f"{part}/3", "--to", "parts", cwd=tmp_path)
    flags = [flag.replace("corpus.txt", "parts") for flag in BEGIN]
    assert "Published models/mine/1" in training(*flags, cwd=tmp_path).stdout
    found, expected = (
        json.loads((folder / "models/mine/1/assets.extra/manifest.json").read_text())
        for folder in (tmp_path, after_one)
    )
    assert [file["path"][:19] for file in found["corpus"].pop("files")] == [f"part-0000{i}-of-00003" for i in range(3)]
    del expected["corpus"]["files"], found["created"], expected["created"]
    assert found == expected
    assert "Wrote" in training("report", "mine", cwd=tmp_path).stdout

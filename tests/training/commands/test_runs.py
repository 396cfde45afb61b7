"""The run that `train` trains: resumed, extended, or refused. test_train.py has new runs."""

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from tests.training.commands.cli import failure, refusal
from tests.training.commands.small_runs import plan_of, run_of
from training.commands.runs import Target, resumed_run
from training.errors import InputError
from training.learning.folder import Plan


@pytest.fixture(autouse=True)
def no_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests have used TensorFlow before, and its devices can be set up only once."""
    monkeypatch.setattr("training.commands.runs.use_devices", lambda _=None: None)


def target(folder: Path) -> Target:
    return Target("mine", folder / "runs/mine", folder / "models", False, time.monotonic())


def test_a_target_names_its_folders(tmp_path: Path) -> None:
    assert (target(tmp_path).runs, target(tmp_path).store) == (tmp_path / "runs", tmp_path / "models/mine")


def test_a_saved_run_is_resumed_where_it_stopped_and_with_another_total(tmp_path: Path) -> None:
    folder = run_of(tmp_path, steps=60)
    plan, run = resumed_run(target(tmp_path), {})
    assert (run.step, run.total_steps, plan) == (60, 100, Plan.load(folder))
    plan, run = resumed_run(target(tmp_path), {"steps": 80})
    assert (run.step, run.total_steps) == (60, 80)
    assert plan_of(tmp_path).config.steps == 80
    with pytest.raises(InputError, match=r"^--steps 60 means 60 steps, and the run in .* has taken 60 already"):
        resumed_run(target(tmp_path), {"steps": 60})


def test_a_published_run_without_steps_left_is_not_resumed(tmp_path: Path) -> None:
    folder = run_of(tmp_path, steps=100)
    replace(plan_of(tmp_path), published="models/mine/1", published_step=100).save(folder)
    with pytest.raises(InputError, match=r"is finished after 100 steps and published as models/mine/1"):
        resumed_run(target(tmp_path), {})


def test_a_missing_corpus_is_a_usage_error(tmp_path: Path) -> None:
    assert "--corpus" in refusal("train", "--name", "a", "--runs", str(tmp_path))


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--units", ["4"]),
        ("--patience", ["4"]),
        ("--corpus", ["x"]),
        ("--preset", ["tiny"]),
        ("--init-from", ["x"]),
        ("--restart", []),
    ],
)
def test_a_setting_with_resume_is_a_usage_error(tmp_path: Path, flag: str, value: list[str]) -> None:
    sentence = refusal("train", "--name", "a", "--resume", "--runs", str(tmp_path), flag, *value)
    assert f"leave out {flag}" in sentence


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "There is no run to resume"),
        ("{", "run.json is damaged"),
        ("[]", "run.json is damaged"),
        (json.dumps({"config": {"split": [0.9, 0.05, 0.05], "gates": 4}, "corpus": []}), "run.json is damaged"),
        (json.dumps({"corpus": [], "corpus_key": "k"}), "run.json is damaged"),
    ],
)
def test_a_run_that_cannot_be_resumed_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], content: str | None, words: str
) -> None:
    (tmp_path / "a").mkdir()
    if content is not None:
        (tmp_path / "a/run.json").write_text(content)
    assert words in failure(monkeypatch, capfd, "train", "--name", "a", "--resume", "--runs", str(tmp_path))

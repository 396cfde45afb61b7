"""The run that `train` trains: resumed, extended, or refused. test_train.py has new runs."""

import json
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tests.texts import write_corpus
from tests.training.commands.cli import failure, refusal
from tests.training.commands.small_runs import BEGIN, SETTINGS, plan_of, run_of
from tests.training.data.encoded import encode_all
from training.commands.runs import Target, resumed_run
from training.config import TrainConfig
from training.data.join import join
from training.errors import InputError
from training.learning.checkpoint import Checkpoint
from training.learning.folder import CHECKPOINT, CORPUS, Plan
from training.learning.loop import train
from training.learning.run import TrainingRun


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


def test_a_run_without_replicas_keeps_those_of_its_first_resume(tmp_path: Path) -> None:
    folder = run_of(tmp_path, steps=60)
    replace(Plan.load(folder), replicas=None).save(folder)
    plan, _ = resumed_run(target(tmp_path), {})
    assert Plan.load(folder).replicas == plan.replicas is not None


def test_a_run_with_teachers_is_not_resumed_by_several_workers(tmp_path: Path) -> None:
    folder = run_of(tmp_path, steps=60)
    replace(Plan.load(folder), teachers=("a/1", "b/1")).save(folder)
    with pytest.raises(InputError, match=r"^--teachers is for one worker"):
        resumed_run(replace(target(tmp_path), workers=SimpleNamespace(replicas=[1, 1])), {"steps": 80})


def run_on_parts(folder: Path, steps: int) -> None:
    """A run like that of `run_of`, on two encoded parts."""
    text, config, run_folder = write_corpus(folder / "corpus.txt"), TrainConfig(**SETTINGS), folder / "runs/mine"
    encode_all(str(text), config, folder / "parts", 2)
    corpus = join(str(folder / "parts"), config, run_folder / CORPUS)
    run = TrainingRun(config, corpus, run_folder)
    train(run, should_stop=lambda: run.step >= steps)
    Plan(config, ("parts",), corpus.key, replicas=run.trainer.replicas).save(run_folder)


@pytest.mark.slow  # tests/training/data/test_encoded_parts.py compares the windows, also after a resume
def test_a_run_on_encoded_parts_is_resumed_to_the_bits_of_a_run_on_the_text(tmp_path: Path) -> None:
    on_text, on_parts = tmp_path / "text", tmp_path / "parts"
    for folder in (on_text, on_parts):
        folder.mkdir()
    expected = Checkpoint.load(run_of(on_text, steps=30) / CHECKPOINT)
    run_on_parts(on_parts, steps=12)
    _, run = resumed_run(target(on_parts), {})
    train(run, should_stop=lambda: run.step >= 30)
    found = Checkpoint.load(on_parts / "runs/mine" / CHECKPOINT)
    assert found.arrays.keys() == expected.arrays.keys()
    for name, arrays in expected.arrays.items():
        for one, other in zip(found.arrays[name], arrays, strict=True):
            np.testing.assert_array_equal(one, other, err_msg=name)
    assert found.values["windows"] == expected.values["windows"]
    write_corpus(on_parts / "corpus.txt", words=601)
    encode_all(str(on_parts / "corpus.txt"), run.config, on_parts / "parts", 2)
    with pytest.raises(InputError, match=r"The encoded parts in .*parts have changed"):
        resumed_run(target(on_parts), {})


def test_flags_that_choose_files_do_not_apply_to_encoded_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    encode_all(str(write_corpus(tmp_path / "corpus.txt")), TrainConfig(), tmp_path / "parts", 2)
    said = failure(monkeypatch, capfd, *BEGIN[:3], "--corpus", "parts", "--skip-unreadable")
    assert said.endswith("--include, --exclude and --skip-unreadable are flags of corpus encode.")
    assert not (tmp_path / "runs/mine").exists()


def test_a_published_run_without_steps_left_is_not_resumed(tmp_path: Path) -> None:
    folder = run_of(tmp_path, steps=101)  # more than it has, so that its last evaluation is not interrupted
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

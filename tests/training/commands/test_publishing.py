"""Publishing: versions that are worse than a unigram model or than the served version are refused."""

import shutil
from pathlib import Path

import pytest

from tests.processes import training
from tests.training.commands.small_runs import BEGIN
from training.learning.folder import CHECKPOINT, Plan
from training.release.store import versions

STANDSTILL = ["--optimizer", "sgd", "--learning-rate", "1e-30", "--schedule", "constant"]


@pytest.mark.slow
def test_a_version_worse_than_a_unigram_model_is_kept_and_not_published(tmp_path: Path, after_one: Path) -> None:
    shutil.copy(after_one / "corpus.txt", tmp_path)
    refused = training(*BEGIN, *STANDSTILL, cwd=tmp_path, check=False)
    assert refused.returncode == 3
    assert len(refused.stderr.splitlines()) == 1
    assert "unigram model" in refused.stderr
    assert "-m training publish mine --from runs/mine --force" in refused.stderr
    assert not versions(tmp_path / "models", "mine")
    assert (tmp_path / "runs/mine" / CHECKPOINT).exists()
    assert training("train", "--name", "mine", "--resume", cwd=tmp_path, check=False).returncode == 3
    assert training("publish", "mine", "--from", "runs/mine", cwd=tmp_path, check=False).returncode == 3
    assert "Published" in training("publish", "mine", "--from", "runs/mine", "--force", cwd=tmp_path).stdout


def test_force_publishes_at_the_end_of_a_run(tmp_path: Path, after_one: Path) -> None:
    shutil.copy(after_one / "corpus.txt", tmp_path)
    assert "Published" in training(*BEGIN, *STANDSTILL, "--force", cwd=tmp_path).stdout


@pytest.mark.slow
def test_a_version_worse_than_the_served_one_is_not_published(finished: Path) -> None:
    """In the new text, every symbol has another id than in the old version."""
    text = (finished / "corpus.txt").read_text()
    (finished / "corpus.txt").write_text("!?" * 20 + text)
    flags = ["--split", "0.7,0.25,0.05", "--steps", "40"]
    refused = training(*BEGIN, *flags, cwd=finished, check=False)
    assert refused.returncode == 3, refused.stdout
    assert "On the validation text it loses" in refused.stderr
    assert "and version 1 " in refused.stderr
    assert "--force" in refused.stderr
    assert versions(finished / "models", "mine") == [1]
    assert Plan.load(finished / "runs/mine").published is None
    assert (finished / "runs/mine/old/1" / CHECKPOINT).exists()
    training("publish", "mine", "--from", "runs/mine", "--force", cwd=finished)
    assert versions(finished / "models", "mine") == [1, 2]


@pytest.mark.slow
def test_a_version_of_another_unit_is_published_without_a_comparison(finished: Path) -> None:
    assert "Published models/mine/2" in training(*BEGIN, "--unit", "byte", "--epochs", "8", cwd=finished).stdout


def test_a_version_is_not_published_into_a_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run/run.json").touch()
    refused = training("publish", "mine", "--from", "run", "--models", "/proc", cwd=tmp_path, check=False)
    assert refused.stderr.startswith("Error: --models: /proc/mine cannot be created: ")

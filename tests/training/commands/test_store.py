"""`list`, `publish`, `rollback` and `prune`; tests/contract/test_versions.py follows them through a service."""

import shutil
from pathlib import Path

import pytest

from tests.training.commands.cli import failure, refusal, run
from training.release.store import versions


@pytest.fixture
def models(tiny: Path, tmp_path: Path) -> Path:
    """A store with the versions 1, 2 and 3 of `tiny`, all the same."""
    for number in (1, 2, 3):
        shutil.copytree(tiny / "models/tiny/1", tmp_path / f"models/tiny/{number}")
    return tmp_path / "models"


def test_list_shows_each_version_and_the_damage_of_one(models: Path) -> None:
    (models / "tiny/2/assets.extra/manifest.json").write_text("{}")
    (models / "tiny/3/assets.extra/manifest.json").write_text("[")
    head, first, second, third = run("list", "--models", str(models)).output.splitlines()
    assert head.split() == ["model", "version", "nats/symbol", "parent", "parameters", "created"]
    assert first.split()[:2] == ["tiny", "1"]
    assert second.endswith("Its manifest is damaged: KeyError 'metrics'.")
    assert "cannot be read" in third


def test_list_of_an_empty_store_is_a_sentence(tmp_path: Path) -> None:
    assert run("list", "--models", str(tmp_path)).output == f"There is no model in {tmp_path} yet.\n"
    assert "for example a-b" in refusal("list", "A B", "--models", str(tmp_path))


def test_rollback_withdraws_every_version_above_the_target(models: Path) -> None:
    result = run("rollback", "tiny", "--to", "1", "--models", str(models))
    assert result.output == "Withdrawn: 3, 2. Version 1 of tiny is served again.\n"
    assert versions(models, "tiny") == [1]


def test_rollback_to_the_newest_or_from_the_only_version_is_refused(models: Path) -> None:
    newest = run("rollback", "tiny", "--to", "3", "--models", str(models))
    assert str(newest.exception) == "Version 3 of tiny is the newest version already."
    for number in (1, 2):
        shutil.rmtree(models / f"tiny/{number}")
    only = run("rollback", "tiny", "--models", str(models))
    assert str(only.exception) == "tiny has only version 3: there is no version to return to."


def test_rollback_to_a_damaged_version_is_refused(models: Path) -> None:
    (models / "tiny/2/saved_model.pb").write_bytes(b"")
    result = run("rollback", "tiny", "--models", str(models))
    assert str(result.exception).startswith("Version 2 of tiny is damaged, and the service would refuse it")
    assert versions(models, "tiny") == [1, 2, 3]


def test_prune_keeps_the_newest_versions(models: Path) -> None:
    assert run("prune", "tiny", "--keep", "2", "--models", str(models)).output == "Deleted: 1.\n"
    assert run("prune", "tiny", "--keep", "2", "--models", str(models)).output == "There was nothing to delete.\n"
    assert versions(models, "tiny") == [2, 3]


@pytest.mark.parametrize("command", ["rollback", "prune"])
def test_an_unknown_backend_is_one_sentence(
    models: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], command: str
) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    line = failure(monkeypatch, capfd, command, "tiny", "--models", str(models))
    assert line == "Error: KERAS_BACKEND must be tensorflow or jax, not torch."


def test_publish_of_a_folder_without_a_run_or_without_a_checkpoint_is_refused(tiny: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    arguments = ["publish", "new", "--from", str(tmp_path / "run"), "--models", str(tmp_path / "models")]
    message = str(run(*arguments).exception)
    assert message.startswith(f"{tmp_path}/run is not the folder of a run or a version: it has no run.json or ")
    shutil.copy(tiny / "runs/tiny/run.json", tmp_path / "run")
    assert str(run(*arguments).exception).endswith("has learned nothing yet: it has no checkpoint.npz.")


def test_publish_of_a_damaged_version_is_refused(tiny: Path, tmp_path: Path) -> None:
    version = shutil.copytree(tiny / "models/tiny/1", tmp_path / "models/tiny/1")
    (version / "saved_model.pb").write_bytes(b"")
    refused = run("publish", "tiny", "--from", str(version), "--models", str(tmp_path / "models"))
    assert str(refused.exception) == f"{version} is damaged: it does not load, or does not repeat its probe."
    assert versions(tmp_path / "models", "tiny") == [1]

"""Publishing: a version that was checked, or none."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.training.learning.runs import run_in
from training import jsonl
from training.learning.evaluate import Loss
from training.learning.loop import train
from training.learning.stages import Stages, Stopped
from training.release.publish import HISTORY, ExportDiffers, Release, placed_before, publish, republish
from training.release.published import PublishedModel
from training.release.store import manifest_of, write_manifest


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Release:
    run = run_in(tmp_path_factory.mktemp("run"), steps=30)
    assert train(run)
    return Release("tale", run.result(), run.config, run.corpus, parent=4)


@pytest.fixture(scope="module")
def after_one(tmp_path_factory: pytest.TempPathFactory, release: Release) -> Path:
    """A store with one version of `release`. Tests must not change it."""
    models = tmp_path_factory.mktemp("models")
    publish(release, models)
    return models


@pytest.fixture
def first(after_one: Path, tmp_path: Path) -> Path:
    """The only version in the store `tmp_path`, which tests may change."""
    shutil.copytree(after_one, tmp_path, dirs_exist_ok=True)
    return tmp_path / "tale/1"


def test_versions_are_numbered_and_have_a_manifest_a_history_and_a_probe(tmp_path: Path, release: Release) -> None:
    assert publish(release, tmp_path) == tmp_path / "tale/1"
    assert publish(release, tmp_path) == tmp_path / "tale/2"
    manifest = manifest_of(tmp_path / "tale/2")
    assert (manifest["name"], manifest["version"], manifest["parent"]) == ("tale", 2, 4)
    assert manifest["metrics"]["validation"]["nats_per_char"] == pytest.approx(
        release.trained.validation.nats_per_char, abs=1e-4
    )
    assert manifest["metrics"]["test"]["characters"] == len(release.corpus.test)
    history = (tmp_path / "tale/2" / HISTORY).read_text()
    assert [json.loads(line) for line in history.splitlines()] == release.trained.history
    assert PublishedModel(tmp_path / "tale/2").repeats_probe()


def test_the_newest_version_is_recognised_by_the_history_of_its_run(tmp_path: Path, release: Release) -> None:
    assert placed_before(release, tmp_path) is None
    for number, line in (("1", {"step": 1}), ("2", {"step": 2})):
        path = tmp_path / "tale" / number / HISTORY
        path.parent.mkdir(parents=True)
        path.write_text(jsonl.line(line))

    def release_with(*history: dict[str, int]) -> Release:
        return replace(release, trained=replace(release.trained, history=list(history)))

    assert placed_before(release_with({"step": 2}), tmp_path) == tmp_path / "tale/2"
    assert placed_before(release_with({"step": 1}), tmp_path) is None
    assert placed_before(release_with(), tmp_path) is None


def test_a_judge_that_refuses_leaves_nothing(tmp_path: Path, release: Release) -> None:
    def refuse(new: PublishedModel) -> None:
        assert new.weights().parameters == release.trained.weights.parameters
        raise PermissionError("not this one")

    with pytest.raises(PermissionError, match="not this one"):
        publish(release, tmp_path, refuse)
    assert not [*(tmp_path / "tale").iterdir()]


def test_an_export_with_another_loss_than_the_network_is_not_published(tmp_path: Path, release: Release) -> None:
    loss = release.trained.validation
    other = replace(release.trained, validation=Loss(loss.nats_per_char + 0.001, loss.characters))
    with pytest.raises(ExportDiffers, match="nats/char on the validation text"):
        publish(replace(release, trained=other), tmp_path)
    assert not [*(tmp_path / "tale").iterdir()]


@pytest.mark.parametrize("stage", ["validation text", "publishing"])
def test_a_stop_in_any_stage_publishes_nothing(tmp_path: Path, release: Release, stage: str) -> None:
    stages = Stages()
    stages.should_stop = lambda: stages.current == stage
    with pytest.raises(Stopped):
        publish(release, tmp_path, stages=stages)
    assert not [*(tmp_path / "tale").iterdir()]


def test_a_version_that_is_published_again_has_the_same_weights_and_texts(tmp_path: Path, first: Path) -> None:
    again, renamed = republish(first, "tale", tmp_path), republish(first, "copy", tmp_path)
    assert (again, renamed) == (tmp_path / "tale/2", tmp_path / "copy/1")
    old, new, copied = (manifest_of(folder) for folder in (first, again, renamed))
    assert (new["version"], new["parent"]) == (2, 1)
    assert (copied["name"], copied["version"], copied["parent"]) == ("copy", 1, None)
    changed = {"version", "parent", "created", "git_commit"}
    assert {name: value for name, value in new.items() if name not in changed} == {
        name: value for name, value in old.items() if name not in changed
    }
    assert (again / HISTORY).read_text() == (first / HISTORY).read_text()
    before, after = PublishedModel(first), PublishedModel(again)
    for ours, theirs in zip(after.weights().arrays, before.weights().arrays, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    for seed in range(6):
        texts = ["".join(model.generate("the", length=50, temperature=1, seed=seed)) for model in (before, after)]
        assert texts[0] == texts[1]


def test_a_version_that_does_not_repeat_its_probe_is_not_published_again(tmp_path: Path, first: Path) -> None:
    manifest = manifest_of(first)
    write_manifest(first, manifest | {"probe": manifest["probe"] | {"seed": 1}})
    with pytest.raises(ExportDiffers, match="does not repeat the probe"):
        republish(first, "tale", tmp_path)
    assert [child.name for child in (tmp_path / "tale").iterdir()] == ["1"]

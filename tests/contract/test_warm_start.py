"""Training that starts from the weights of a published version."""

import json
import os
import shutil
import signal
from pathlib import Path

import pytest

from tests.contract.published import history_of, manifest_of, says_loss
from tests.processes import started, training
from tests.texts import random_words

LEARNING = ["--epochs", "1", "--batch-size", "4", "--window", "20", "--learning-rate", "0.001", "--warmup-steps", "0"]


@pytest.fixture(scope="module")
def folder(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tiny model, and texts of its words and of some characters that it does not know."""
    folder = tmp_path_factory.mktemp("warm")
    shutil.copytree(tiny / "models", folder / "models")
    (folder / "texts").mkdir()
    for number in range(6):
        text = random_words(seed=number, count=130) + "Über Žižek\n"
        (folder / f"texts/{number}.txt").write_text(text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def next_version(folder: Path) -> Path:
    """Version 2 of the tiny model, trained from version 1."""
    training("train", "--name", "tiny", "--init-from", "tiny/1", "--corpus", "texts", *LEARNING, cwd=folder)
    return folder / "models/tiny/2"


def test_the_parent_is_recorded(next_version: Path) -> None:
    assert manifest_of(next_version)["parent"] == 1
    plan = json.loads((next_version.parents[2] / "runs/tiny/run.json").read_text())
    assert (plan["init_from"], plan["published"]) == ("tiny/1", "models/tiny/2")


def test_known_symbols_keep_their_ids_and_new_ones_follow(next_version: Path) -> None:
    old = manifest_of(next_version.parent / "1")["vocabulary"]
    new = manifest_of(next_version)["vocabulary"]
    assert new[: len(old)] == old
    assert new[len(old) :] == sorted(set("Über Žižek") - set(old[1:]))


def test_the_shape_of_the_network_is_the_parents(next_version: Path) -> None:
    old, new = manifest_of(next_version.parent / "1"), manifest_of(next_version)
    for field in ("layers", "units", "cell", "unit", "normalization"):
        assert new[field] == old[field]
    assert new["config"]["embedding"] == old["config"]["embedding"] == 4


def test_its_loss_starts_near_the_end_of_the_parents_training(next_version: Path) -> None:
    parent = [line["validation_nats_per_char"] for line in history_of(next_version.parent / "1")]
    (warm,) = [line["validation_nats_per_char"] for line in history_of(next_version)]
    assert warm < (parent[0] + parent[-1]) / 2


def without_trained_weights(_: None) -> None:
    """In the process that trains: load versions as if they did not hold their trained weights."""
    from training.release import published

    load = published.tf.saved_model.load

    def load_without(folder: str) -> object:
        loaded = load(folder)
        del loaded.gates
        return loaded

    published.tf.saved_model.load = load_without


def test_a_version_without_trained_weights_is_refused_before_the_old_run_changes(tiny: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny, tmp_path, dirs_exist_ok=True)
    (tmp_path / "another.txt").write_text("another text\n" * 500)
    before = {path: path.read_bytes() for path in (tmp_path / "runs").rglob("*") if path.is_file()}
    flags = ["--name", "tiny", "--init-from", "tiny/1", "--corpus", "another.txt", "--restart"]
    log = tmp_path / "log"
    process = started("train", *flags, cwd=tmp_path, out=log, err=log, before=(without_trained_weights, None))
    process.join()
    assert process.exitcode == 1
    assert log.read_text() == "Error: tiny 1 does not hold its trained weights: train it anew to start from it.\n"
    assert {path: path.read_bytes() for path in (tmp_path / "runs").rglob("*") if path.is_file()} == before


def die_at_the_first_step(_: None) -> None:
    """In the process that trains: kill it at its first step."""
    from training.learning import run

    run.TrainingRun.take_step = lambda self: os.kill(os.getpid(), signal.SIGKILL)  # type: ignore[method-assign]


@pytest.mark.slow
def test_killed_before_its_first_step_it_resumes_with_the_parents_weights(folder: Path, next_version: Path) -> None:
    flags = ["--name", "killed", "--init-from", "tiny/1", "--corpus", "texts", *LEARNING]
    log = folder / "killed.log"
    process = started("train", *flags, cwd=folder, out=log, err=log, before=(die_at_the_first_step, None))
    process.join()
    assert process.exitcode == -signal.SIGKILL, log.read_text()
    training("train", "--name", "killed", "--resume", cwd=folder)
    assert manifest_of(folder / "models/killed/1")["probe"] == manifest_of(next_version)["probe"]


@pytest.mark.slow
def test_another_model_can_start_from_the_newest_version_and_split_by_file(folder: Path, next_version: Path) -> None:
    split = ["--split-by", "file", "--split", "0.6,0.2,0.2"]
    flags = ["--name", "tale", "--init-from", "tiny", "--corpus", "texts", *split]
    training("train", *flags, *LEARNING, cwd=folder)
    manifest = manifest_of(folder / "models/tale/1")
    assert json.loads((folder / "runs/tale/run.json").read_text())["init_from"] == "tiny/2"
    assert manifest["vocabulary"] == manifest_of(next_version)["vocabulary"]
    ends = {sum(chosen) for chosen in _subset_sums([len(path.read_text()) for path in folder.glob("texts/*")])}
    assert {end for _, end in manifest["corpus"]["split"].values()} <= ends
    printed = training("evaluate", "tale", "--corpus", "texts", cwd=folder).stdout
    assert says_loss(printed, "tale 1", "validation", manifest)
    assert says_loss(printed, "tale 1", "test", manifest)


def _subset_sums(sizes: list[int]) -> list[list[int]]:
    """Every choice of files."""
    chosen: list[list[int]] = [[]]
    for size in sizes:
        chosen += [[*before, size] for before in chosen]
    return chosen


@pytest.mark.parametrize(
    ("flags", "code", "words"),
    [
        (["--init-from", "tiny", "--units", "9"], 2, "--units 9 contradicts --init-from, whose model has 8."),
        (["--init-from", "tiny", "--cell", "gru"], 2, "--cell gru contradicts --init-from, whose model has lstm."),
        (["--init-from", "tiny/7"], 1, "There is no version 7 of tiny in models"),
        (["--init-from", "other"], 1, "There is no model 'other' in models"),
    ],
)
def test_an_impossible_start_is_an_error_of_one_sentence(folder: Path, flags: list[str], code: int, words: str) -> None:
    refused = training("train", "--name", "no", "--corpus", "texts", *flags, cwd=folder, check=False)
    assert refused.returncode == code
    assert words in refused.stderr.splitlines()[-1]
    assert not (folder / "runs/no/run.json").exists()

"""The folders of a model's runs."""

import shutil
from pathlib import Path

import pytest

from training.config import TrainConfig
from training.data.prepare import prepare
from training.errors import InputError
from training.learning.folder import CORPUS, PLAN, Plan
from training.retraining.folders import Folders, plan_in

CONFIG = TrainConfig(layers=1, units=4, batch_size=2, window=5, split=(0.5, 0.5, 0.0))
TEXT = "abcdefgh" * 50


def write_run(folder: Path, published: str | None = None) -> None:
    """A run with a plan and a text, and no weights."""
    folder.mkdir(parents=True)
    (folder / "text.txt").write_text(TEXT)
    corpus = prepare([str(folder / "text.txt")], CONFIG, folder / CORPUS)
    Plan(CONFIG, ("text.txt",), corpus.key, published=published).save(folder)


def test_without_a_run_there_is_no_plan_text_or_reference(tmp_path: Path) -> None:
    folders = Folders(tmp_path)
    assert plan_in(folders.candidate) is None
    assert folders.served_corpus() is None
    assert len(folders.reference("mine", 1)) == 0


def test_a_candidate_takes_the_place_of_the_run_that_it_succeeds(tmp_path: Path) -> None:
    folders = Folders(tmp_path)
    write_run(folders.served, published="models/mine/1")
    write_run(folders.candidate, published="models/mine/2")
    folders.keep_candidate_as(folders.served)
    assert not folders.candidate.exists()
    plan = plan_in(folders.served)
    assert plan is not None
    assert plan.published == "models/mine/2"
    folders_2 = Folders(tmp_path / "other")
    write_run(folders_2.candidate)
    folders_2.keep_candidate_as(folders_2.refused)
    assert plan_in(folders_2.refused) is not None


def test_the_reference_is_the_validation_text_of_the_served_version_and_no_other(tmp_path: Path) -> None:
    folders = Folders(tmp_path)
    write_run(folders.served, published="models/mine/2")
    corpus = folders.served_corpus()
    assert corpus is not None
    assert len(folders.reference("mine", 2)) == len(TEXT) // 2
    assert folders.reference("mine", 2).tolist() == corpus.validation.tolist()
    assert len(folders.reference("mine", 1)) == 0
    assert len(folders.reference("other", 2)) == 0


@pytest.mark.parametrize("name", [PLAN, "corpus/ids.bin"])
def test_a_damaged_run_of_the_served_version_is_refused_until_it_is_removed(tmp_path: Path, name: str) -> None:
    folders = Folders(tmp_path)
    write_run(folders.served, published="models/mine/2")
    (folders.served / name).write_text("{")
    for read in (folders.served_corpus, lambda: folders.reference("mine", 2)):
        with pytest.raises(InputError, match=f"is damaged.*: restore {folders.served} from a backup, or remove it;"):
            read()
    shutil.rmtree(folders.served)
    assert folders.served_corpus() is None
    assert len(folders.reference("mine", 2)) == 0

"""The candidate: begun on new text, resumed after an interruption, and not begun without new text."""

import random
import time
from pathlib import Path
from typing import Any

import pytest

from tests.texts import random_words
from tests.training.retraining.toy_model import SETTINGS
from training.learning.folder import PLAN, Plan
from training.retraining.candidate import Retraining, Unchanged, candidate_of
from training.retraining.config import Job
from training.retraining.folders import Folders
from training.retraining.gate import Refused
from training.retraining.record import Record


def retraining(folder: Path, **fields: Any) -> Retraining:
    """Of a model that has no version yet."""
    (folder / "texts").mkdir(exist_ok=True)
    job = Job(name="mine", corpus=(str(folder / "texts"),), settings=SETTINGS, **fields)
    folders, record = Folders(folder / "runs/mine"), Record("mine", "2026-11-20T02:00:00+00:00")
    return Retraining(job, folders, folder / "models", None, record, time.monotonic() + 20, lambda: False)


def test_a_candidate_is_saved_when_it_begins_and_resumed_by_the_next_retraining(tmp_path: Path) -> None:
    first = retraining(tmp_path)
    (tmp_path / "texts/1.txt").write_text(random_words(1, 1500))
    begun = candidate_of(first)
    assert (begun.run.step, begun.plan.init_from, first.record.resumed) == (0, None, False)
    assert Plan.load(first.folders.candidate) == begun.plan
    assert first.record.characters == len(begun.corpus)
    (tmp_path / "texts/2.txt").write_text("text for a later run")
    begun.run.take_step()
    begun.run.save()
    second = retraining(tmp_path)
    resumed = candidate_of(second)
    assert (resumed.run.step, resumed.plan, second.record.resumed) == (1, begun.plan, True)


def test_without_text_no_candidate_is_begun(tmp_path: Path) -> None:
    work = retraining(tmp_path)
    with pytest.raises(Unchanged, match=r"There is no text in .*texts yet"):
        candidate_of(work)
    assert not (work.folders.candidate / PLAN).exists()


def test_noise_begins_no_candidate(tmp_path: Path) -> None:
    work = retraining(tmp_path)
    (tmp_path / "texts/1.txt").write_bytes(random.Random(1).randbytes(9000))
    with pytest.raises(Refused, match=r"looks like noise"):
        candidate_of(work)
    assert not (work.folders.candidate / PLAN).exists()


def test_the_text_of_the_refused_run_begins_no_candidate_unless_that_run_is_damaged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    work = retraining(tmp_path)
    (tmp_path / "texts/1.txt").write_text(random_words(1, 1500))
    candidate_of(work)
    work.folders.keep_candidate_as(work.folders.refused)
    with pytest.raises(Unchanged, match=r"^The last run was refused for the same text"):
        candidate_of(retraining(tmp_path))
    (work.folders.refused / PLAN).write_text("{")
    assert candidate_of(retraining(tmp_path)).run.step == 0
    assert "refused/run.json is damaged" in caplog.text

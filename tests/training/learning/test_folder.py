"""The folder of a run: its plan, its position, its lock and its older runs."""

import fcntl
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.training.learning.runs import run_in
from training.config import TrainConfig
from training.errors import DamagedRun, InputError
from training.learning.checkpoint import Checkpoint
from training.learning.folder import (
    CHECKPOINT,
    CORPUS,
    HISTORY,
    OLD,
    PLAN,
    REPORT,
    TENSORBOARD,
    Plan,
    Position,
    adopt_corpus,
    discard,
    is_being_moved,
    is_unfinished,
    keep_as_old,
    locked,
    next_corpus,
)

PLANNED = Plan(
    TrainConfig(layers=1, split=(0.8, 0.1, 0.1)), ("a.txt", "-"), "key", "mine/3", "models/mine/4", 50, ("a/1", "b/2")
)


def run_at(folder: Path, step: int, losses: list[float], **changes: Any) -> Plan:
    """A run of 40 steps, 20 an epoch, that was evaluated every 10 steps and stopped after `step`."""
    plan = replace(PLANNED, config=TrainConfig(steps=40, **changes))
    plan.save(folder)
    history = [
        {"step": 10 * i, "epoch": i / 2, "validation_nats_per_char": loss} for i, loss in enumerate(losses, start=1)
    ]
    Checkpoint({}, {"step": step, "history": history}).save(folder / CHECKPOINT)
    return plan


def test_a_plan_comes_back(tmp_path: Path) -> None:
    PLANNED.save(tmp_path)
    assert Plan.load(tmp_path) == PLANNED


def test_a_plan_knows_its_versions_by_the_models_name() -> None:
    assert (PLANNED.version_of("mine"), PLANNED.version_of("other")) == (4, None)
    assert (PLANNED.parent_of("mine"), PLANNED.parent_of("other")) == (3, None)


@pytest.mark.parametrize(("step", "is_published"), [(50, True), (60, False)])
def test_a_plan_knows_the_step_it_was_published_at(step: int, is_published: bool) -> None:
    assert PLANNED.is_published_at(step) == is_published


def test_a_folder_without_a_plan_or_with_a_damaged_one_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no run to resume"):
        Plan.load(tmp_path)
    PLANNED.save(tmp_path)
    (tmp_path / PLAN).write_text((tmp_path / PLAN).read_text()[:-20])
    with pytest.raises(InputError, match=r"run\.json is damaged.*--restart"):
        Plan.load(tmp_path)
    (tmp_path / PLAN).write_text("null")
    with pytest.raises(InputError, match=r"run\.json is damaged.*--restart"):
        Plan.load(tmp_path)


def test_the_text_of_another_run_is_refused(tmp_path: Path) -> None:
    run = run_in(tmp_path)
    assert Plan(run.config, ("text.txt",), run.corpus.key).open_corpus(tmp_path).key == run.corpus.key
    with pytest.raises(InputError, match="is not the text that this run began with"):
        PLANNED.open_corpus(tmp_path)
    (tmp_path / CORPUS / "ids.bin").write_bytes(b"")
    with pytest.raises(DamagedRun, match=r"is damaged \(.*: restore it from a backup, or .*`train --restart`\.$"):
        PLANNED.open_corpus(tmp_path)


def test_a_run_without_a_checkpoint_is_at_step_0(tmp_path: Path) -> None:
    assert Position.of(tmp_path, PLANNED) == Position(0, is_finished=False)


@pytest.mark.parametrize(
    ("step", "losses", "is_finished"),
    [
        (5, [], False),
        (39, [3.0, 2.0, 1.0], False),
        (40, [3.0, 2.0, 2.5], False),  # interrupted in the last evaluation
        (40, [3.0, 2.0, 2.5, 2.6], True),
    ],
)
def test_the_position_is_that_of_the_checkpoint(
    tmp_path: Path, step: int, losses: list[float], is_finished: bool
) -> None:
    plan = run_at(tmp_path, step, losses)
    assert Position.of(tmp_path, plan) == Position(step, is_finished=is_finished)
    assert is_unfinished(tmp_path) != is_finished


def test_a_run_that_patience_ended_is_finished(tmp_path: Path) -> None:
    plan = run_at(tmp_path, 30, [3.0, 2.0, 2.5], patience=1)
    assert Position.of(tmp_path, plan) == Position(30, is_finished=True)


def test_a_checkpoint_of_another_program_is_refused(tmp_path: Path) -> None:
    Checkpoint({}, {"step": 3}).save(tmp_path / CHECKPOINT)
    with pytest.raises(InputError, match="is not the checkpoint of a run"):
        Position.of(tmp_path, PLANNED)


def test_a_discarded_run_leaves_its_text(tmp_path: Path) -> None:
    run_at(tmp_path, 5, [])
    for name in (CORPUS, TENSORBOARD):
        (tmp_path / name).mkdir()
    (tmp_path / HISTORY).touch()
    discard(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [CORPUS]
    discard(tmp_path)  # a second time too


def test_a_kill_while_a_run_is_discarded_leaves_no_plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_at(tmp_path, 5, [])
    unlink = Path.unlink

    def killed(path: Path, missing_ok: bool = False) -> None:
        unlink(path, missing_ok=missing_ok)
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "unlink", killed)
    with pytest.raises(KeyboardInterrupt):
        discard(tmp_path)
    assert not (tmp_path / PLAN).exists()


def test_the_folders_of_retraining_and_the_lock_are_not_moved(tmp_path: Path) -> None:
    for name in ("candidate", "served", "refused", "corpus"):
        (tmp_path / name).mkdir()
    for name in (".lock", PLAN, CHECKPOINT, HISTORY, REPORT):
        (tmp_path / name).touch()
    assert keep_as_old(tmp_path) == tmp_path / OLD / "1"
    assert {path.name for path in tmp_path.iterdir()} == {"candidate", "served", "refused", ".lock", OLD}
    (tmp_path / PLAN).touch()
    assert keep_as_old(tmp_path) == tmp_path / OLD / "2"


def test_a_killed_move_is_completed_by_the_next(tmp_path: Path) -> None:
    for name in (PLAN, CHECKPOINT, HISTORY):
        (tmp_path / name).touch()
    (tmp_path / ".old").mkdir()
    (tmp_path / PLAN).rename(tmp_path / ".old" / PLAN)
    assert is_being_moved(tmp_path)
    kept = keep_as_old(tmp_path)
    assert {path.name for path in kept.iterdir()} == {PLAN, CHECKPOINT, HISTORY}
    assert not is_being_moved(tmp_path)


def test_the_next_text_starts_as_links_and_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    (tmp_path / CORPUS).mkdir()
    (tmp_path / CORPUS / "ids.bin").write_bytes(b"old")
    with next_corpus(tmp_path) as aside:
        assert (aside / "ids.bin").samefile(tmp_path / CORPUS / "ids.bin")
        (aside / "ids.bin").unlink()
        (aside / "ids.bin").write_bytes(b"new")
        assert (tmp_path / CORPUS / "ids.bin").read_bytes() == b"old"
        adopt_corpus(aside, tmp_path)
    assert (tmp_path / CORPUS / "ids.bin").read_bytes() == b"new"
    assert [path.name for path in tmp_path.iterdir()] == [CORPUS]


def test_a_locked_folder_is_refused_and_an_empty_one_removed(tmp_path: Path) -> None:
    refused = pytest.raises(InputError, match="Another process is training in")
    with locked(tmp_path / "mine"), refused, locked(tmp_path / "mine"):
        pass
    assert not (tmp_path / "mine").exists()
    with locked(tmp_path / "mine"):
        (tmp_path / "mine" / PLAN).write_text(json.dumps({}))
    assert (tmp_path / "mine" / PLAN).exists()


def test_a_lock_whose_file_was_removed_meanwhile_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fcntl, "flock", lambda *_: (tmp_path / "mine/.lock").unlink())
    with pytest.raises(InputError, match="Another process"), locked(tmp_path / "mine"):
        pass

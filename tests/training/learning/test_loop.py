"""The training loop: when it evaluates, saves and stops."""

from pathlib import Path

import pytest

from tests.training.learning.runs import history_of, restored_in, run_in
from training.learning import loop
from training.learning.folder import CHECKPOINT, TENSORBOARD
from training.learning.loop import train


def test_it_takes_every_step_and_evaluates_at_the_end(tmp_path: Path) -> None:
    run = run_in(tmp_path, steps=30)
    assert train(run)
    assert run.step == 30
    assert [line["step"] for line in history_of(tmp_path)] == [30]
    assert restored_in(tmp_path, steps=30).is_finished
    assert list((tmp_path / TENSORBOARD).iterdir())


def test_a_stop_between_two_steps_saves_the_run(tmp_path: Path) -> None:
    run = run_in(tmp_path, steps=30)
    assert not train(run, should_stop=lambda: run.step == 7)
    assert restored_in(tmp_path, steps=30).step == 7
    assert run.history == []


@pytest.mark.parametrize("stage", ["evaluation", "sampling"])
def test_an_interrupted_evaluation_is_repeated_by_the_resumed_run(tmp_path: Path, stage: str) -> None:
    run = run_in(tmp_path, steps=30)
    run.stages.should_stop = lambda: run.stages.current == stage
    assert not train(run)
    resumed = restored_in(tmp_path, steps=30)
    assert (resumed.step, resumed.history) == (30, [])
    assert train(resumed)
    assert [line["step"] for line in history_of(tmp_path)] == [30]


def test_checkpoints_are_written_between_evaluations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "SECONDS_BETWEEN_CHECKPOINTS", -1)
    run = run_in(tmp_path, steps=30)
    existed: list[bool] = []

    def look() -> bool:
        existed.append((tmp_path / CHECKPOINT).exists())
        return len(existed) == 2

    assert not train(run, should_stop=look)
    assert existed == [False, True]

"""The training loop on a fake run: when it evaluates, saves and stops."""

from pathlib import Path
from typing import Any

import pytest

from training.config import TrainConfig
from training.learning.folder import TENSORBOARD
from training.learning.loop import train
from training.learning.stages import Stages


class FakeRun:
    """A run of 6 steps, evaluated after every third, that records its calls."""

    total_steps, steps_per_epoch, config = 6, 3, TrainConfig()

    def __init__(self, folder: Path, step: int = 0) -> None:
        self.folder, self.stages, self.step = folder, Stages(), step
        self.best: Any = None
        self.calls: list[str] = []

    def is_checkpoint_due(self) -> bool:
        return False

    @property
    def is_finished(self) -> bool:
        return self.step == self.total_steps

    def is_evaluation_due(self) -> bool:
        return self.step > 0 and self.step % 3 == 0 and (self.best is None or self.best["step"] < self.step)

    def take_step(self) -> float:
        self.step += 1
        self.calls.append(f"step {self.step}")
        return 1.5

    def evaluate(self) -> dict[str, Any]:
        self.stages.enter("evaluation")
        self.calls.append(f"evaluation {self.step}")
        losses = {"training_nats_per_char": 1.5, "validation_nats_per_char": 1.5 / self.step}
        speed = {"learning_rate": 0.1, "chars_per_second": 9}
        self.best = {"step": self.step, "epoch": self.step / 3, "samples": {"0.8": "to be"}} | losses | speed
        return self.best

    def save(self) -> None:
        self.calls.append("save")


def test_it_takes_every_step_and_saves_after_each_evaluation(tmp_path: Path) -> None:
    run: Any = FakeRun(tmp_path)
    assert train(run)
    first = ["step 1", "step 2", "step 3", "evaluation 3", "save"]
    assert run.calls == [*first, "step 4", "step 5", "step 6", "evaluation 6", "save"]
    assert len(list((tmp_path / TENSORBOARD).iterdir())) == 1


def test_a_finished_run_takes_no_step(tmp_path: Path) -> None:
    run: Any = FakeRun(tmp_path, step=6)
    run.best = {"step": 6}
    assert train(run)
    assert run.calls == []


def test_a_stop_between_two_steps_saves_the_run(tmp_path: Path) -> None:
    run: Any = FakeRun(tmp_path)
    assert not train(run, should_stop=lambda: run.step == 2)
    assert run.calls == ["step 1", "step 2", "save"]


def test_a_stop_in_an_evaluation_saves_the_run_and_the_next_call_repeats_it(tmp_path: Path) -> None:
    run: Any = FakeRun(tmp_path)
    run.stages.should_stop = lambda: run.stages.current == "evaluation"
    assert not train(run)
    assert run.calls == ["step 1", "step 2", "step 3", "save"]
    run.stages.should_stop = lambda: False
    assert train(run)
    assert run.calls[4:6] == ["evaluation 3", "save"]


def test_checkpoints_are_written_between_evaluations(tmp_path: Path) -> None:
    run: Any = FakeRun(tmp_path)
    run.is_checkpoint_due = lambda: True
    assert train(run)
    assert run.calls[:4] == ["step 1", "save", "step 2", "save"]


def test_a_time_limit_corrects_the_steps_after_an_evaluation_and_before_the_checkpoint(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run: Any = FakeRun(tmp_path)

    class Limit:
        def correct(self, corrected: Any) -> bool:
            assert corrected.calls[-1] == f"evaluation {corrected.step}"
            is_first, corrected.total_steps = corrected.total_steps == 6, 4
            return is_first

    limit: Any = Limit()
    assert train(run, limit=limit)
    assert run.step == 4
    assert "4 steps in place of 6, for the run to end in time." in capsys.readouterr().out

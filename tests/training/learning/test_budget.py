"""The steps that fit into a time, measured on a fake run with a fake clock."""

from types import SimpleNamespace
from typing import Any

import pytest

from training.config import TrainConfig
from training.learning import budget
from training.learning.budget import (
    CHECKS,
    EXPORT_SECONDS,
    MIN_EVALUATIONS,
    MIN_STEPS,
    TOLERATED_SHARE,
    TimeLimit,
    of_steps,
    within,
)
from training.learning.stages import Stages, Stopped

STEP_S, FIRST_STEPS_S, EVALUATION_S, FIRST_EVALUATION_S = 0.125, 2.0, 0.5, 3.0


class FakeRun:
    """A run whose first steps and first evaluation take longer; its clock is `now_s`."""

    steps_per_epoch = 40
    trainer = SimpleNamespace(steps_in_flight=1)

    def __init__(self) -> None:
        self.stages = Stages()
        self.now_s, self._steps, self._evaluations = 1000.0, 0, 0

    def take_step(self) -> None:
        self._steps += 1
        self.now_s += FIRST_STEPS_S if self._steps <= budget.STEPS_COMPILED else STEP_S

    def wait(self) -> None:
        pass

    def score(self) -> None:
        self._evaluations += 1
        self.now_s += FIRST_EVALUATION_S if self._evaluations == 1 else EVALUATION_S


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Any:
    run = FakeRun()
    monkeypatch.setattr(budget, "time", SimpleNamespace(monotonic=lambda: run.now_s))
    return run


def seconds_of(config: TrainConfig, run: Any) -> float:
    """The time of the configured run on the fake machine, compiled again and published."""
    compiled_s = budget.STEPS_COMPILED * FIRST_STEPS_S + FIRST_EVALUATION_S - EVALUATION_S
    evaluations = config.steps / run.steps_per_epoch / config.eval_every
    return compiled_s + config.steps * STEP_S + (evaluations + CHECKS) * EVALUATION_S + EXPORT_SECONDS


@pytest.mark.parametrize("reserve", [0.0, 0.25])
def test_steps_and_evaluations_fill_the_time(run: Any, reserve: float) -> None:
    config = within(TrainConfig(epochs=99), run, run.now_s + 300, reserve=reserve)
    left_s = (1 - reserve) * (1300 - run.now_s)
    assert left_s - 2 * STEP_S < seconds_of(config, run) <= left_s


def test_evaluations_take_at_most_a_tenth(run: Any) -> None:
    config = within(TrainConfig(eval_every=0.01), run, run.now_s + 300)
    evaluations = config.steps / run.steps_per_epoch / config.eval_every
    assert evaluations * EVALUATION_S <= 0.1 * 300


def test_a_time_that_is_too_short_still_trains_and_evaluates(run: Any) -> None:
    config = within(TrainConfig(), run, run.now_s + 1)
    assert config.steps == MIN_STEPS
    assert config.steps / run.steps_per_epoch / config.eval_every == pytest.approx(MIN_EVALUATIONS)


def test_a_stop_ends_the_measurement(run: Any) -> None:
    run.stages.should_stop = lambda: True
    with pytest.raises(Stopped):
        within(TrainConfig(), run, run.now_s + 300)


def test_of_steps_spreads_the_evaluations() -> None:
    config = of_steps(TrainConfig(epochs=9), steps=100, steps_per_epoch=50, evaluations=4)
    assert (config.steps, config.eval_every) == (100, 0.5)


def evaluated_run(*elapsed_seconds: float, step: int = 400, total_steps: int = 1000) -> Any:
    """A run that was evaluated each 200 steps, after so many seconds."""
    history = [
        {"step": 200 * number, "elapsed_seconds": seconds, "seconds": {"evaluation": 0.5}}
        for number, seconds in enumerate(elapsed_seconds, 1)
    ]
    config = TrainConfig(steps=total_steps, minutes=5)
    return SimpleNamespace(history=history, step=step, total_steps=total_steps, config=config, is_finished=False)


@pytest.mark.parametrize(
    ("step_s", "steps"),
    [
        (0.5, 1000),  # the pace of the plan: 300 seconds more for 600 steps
        (1.0, 700),  # half as fast
        (0.25, 1600),  # twice as fast
        (0.5 * (1 + 0.9 * TOLERATED_SHARE), 1000),
        (400.0, 401),  # at least one more step, whose rate is almost 0
    ],
)
def test_a_run_whose_pace_changes_gets_the_steps_that_end_in_time(run: Any, step_s: float, steps: int) -> None:
    slowed, saved = evaluated_run(100, 100 + 200 * step_s), []
    left_s = 300 + EXPORT_SECONDS + CHECKS * 0.5
    limit = TimeLimit(300, run.now_s + left_s, saved.append)
    assert limit.correct(slowed) == (steps != 1000)
    assert slowed.config.steps == steps
    assert saved == ([slowed.config] if steps != 1000 else [])


def test_the_first_evaluation_corrects_nothing_because_its_time_includes_compiling(run: Any) -> None:
    assert not TimeLimit(300, run.now_s + 1, lambda config: None).correct(evaluated_run(100, step=200))


def test_a_finished_run_is_not_corrected(run: Any) -> None:
    finished = evaluated_run(100, 900)
    finished.is_finished = True
    assert not TimeLimit(300, run.now_s + 1, lambda config: None).correct(finished)

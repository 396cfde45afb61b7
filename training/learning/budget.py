"""How many steps there is time for. They are fixed before a run begins, so that its rate ends at nothing in time."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from training.config import TrainConfig
from training.learning.run import TrainingRun

STEPS_COMPILED = 3
MIN_STEPS = 25
MEASURED_SHARE, MAX_SECONDS_MEASURED = 0.02, 10.0
EVALUATIONS = 2  # at least
EVALUATED_SHARE = 0.1
# To write the SavedModel, load it twice and place it; and the parts of a text that it is checked on, as evaluations.
EXPORT_SECONDS, CHECKS = 8.0, 2


@dataclass(frozen=True)
class Speed:
    """Seconds that the parts of a run take on this machine."""

    compile_s: float
    step_s: float
    evaluation_s: float


def measured(run: TrainingRun, seconds: float) -> Speed:
    """Take steps of `run`, which cannot be used after it, for a small share of `seconds`, and evaluate it twice.

    Raises:
        Stopped: the run's stages were asked to stop.
    """
    run.stages.enter("speed measurement")
    compile_s = _timed(lambda: _steps(run, STEPS_COMPILED))
    limit_s, took_s, taken = min(MAX_SECONDS_MEASURED, MEASURED_SHARE * seconds), 0.0, 0
    while not taken or took_s < limit_s:
        took_s += _timed(lambda: _steps(run, 1))
        taken += 1
    first_s, again_s = _timed(lambda: run.score()), _timed(lambda: run.score())
    return Speed(compile_s + max(0.0, first_s - again_s), took_s / taken, again_s)


def within(config: TrainConfig, run: TrainingRun, deadline_s: float, *, reserve: float = 0.0) -> TrainConfig:
    """The configuration of a run like `run` that ends at `deadline_s`, of time.monotonic, with its publishing.

    `reserve` is a share of the time to leave for other work. At least `MIN_STEPS` are taken.

    Raises:
        Stopped: the run's stages were asked to stop.
    """
    speed = measured(run, deadline_s - time.monotonic())
    left_s = (1 - reserve) * (deadline_s - time.monotonic())
    left_s -= speed.compile_s + EXPORT_SECONDS + CHECKS * speed.evaluation_s
    by_epoch = left_s / speed.step_s / run.steps_per_epoch / config.eval_every
    evaluations = max(EVALUATIONS, math.floor(min(by_epoch, EVALUATED_SHARE * left_s / speed.evaluation_s)))
    steps = max(MIN_STEPS, int((left_s - evaluations * speed.evaluation_s) / speed.step_s))
    return of_steps(config, steps, run.steps_per_epoch, evaluations)


def of_steps(config: TrainConfig, steps: int, steps_per_epoch: int, evaluations: int) -> TrainConfig:
    """The same run over `steps` steps."""
    return replace(
        config,
        steps=steps,
        warmup_steps=min(config.warmup_steps, steps // 10),
        eval_every=steps / steps_per_epoch / evaluations,
    )


def _steps(run: TrainingRun, count: int) -> None:
    for _ in range(count):
        run.take_step()
        run.stages.advance()


def _timed(work: Callable[[], object]) -> float:
    began_s = time.monotonic()
    work()
    return time.monotonic() - began_s

"""The number of steps that fit into a time: measured before a run begins, and corrected at its evaluations."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from training.config import TrainConfig
from training.learning.run import TrainingRun

STEPS_COMPILED = 3
MIN_STEPS = 25
MEASURED_SHARE, MAX_SECONDS_MEASURED = 0.02, 10.0
MIN_EVALUATIONS = 2
EVALUATED_SHARE = 0.1
# Publishing writes the SavedModel, loads it twice, and reads the validation and the test text.
EXPORT_SECONDS, CHECKS = 8.0, 2
TOLERATED_SHARE = 0.02  # of the time, by which a run may end earlier or later before its steps are corrected


@dataclass(frozen=True)
class Speed:
    """The seconds that the parts of a run take on this machine."""

    compile_s: float
    step_s: float
    evaluation_s: float


def measured(run: TrainingRun, seconds: float) -> Speed:
    """Take steps of `run` for a small share of `seconds`, and score it twice. `run` cannot be used afterwards.

    Raises:
        Stopped: the run's stages were asked to stop.
    """
    run.stages.enter("speed measurement")
    compile_s = _timed(lambda: _steps(run, STEPS_COMPILED))
    limit_s, steps_s, steps = min(MAX_SECONDS_MEASURED, MEASURED_SHARE * seconds), 0.0, 0
    count = run.trainer.steps_in_flight
    while not steps or steps_s < limit_s:
        steps_s += _timed(lambda: _steps(run, count))
        steps += count
    first_s, second_s = _timed(lambda: run.score()), _timed(lambda: run.score())  # the first compiles
    return Speed(compile_s + max(0.0, first_s - second_s), steps_s / steps, second_s)


def within(config: TrainConfig, run: TrainingRun, deadline_s: float, *, reserve: float = 0.0) -> TrainConfig:
    """The configuration with as many steps as fit before a deadline, publishing included, and at least `MIN_STEPS`.

    Args:
        config: the configuration of `run`.
        run: a run at step 0, to measure with; it cannot be used afterwards.
        deadline_s: of time.monotonic().
        reserve: the share of the time that other work needs.

    Raises:
        Stopped: the run's stages were asked to stop.
    """
    speed = measured(run, deadline_s - time.monotonic())
    left_s = (1 - reserve) * (deadline_s - time.monotonic())
    left_s -= speed.compile_s + EXPORT_SECONDS + CHECKS * speed.evaluation_s
    by_epoch = left_s / speed.step_s / run.steps_per_epoch / config.eval_every
    evaluations = max(MIN_EVALUATIONS, int(min(by_epoch, EVALUATED_SHARE * left_s / speed.evaluation_s)))
    steps = max(MIN_STEPS, int((left_s - evaluations * speed.evaluation_s) / speed.step_s))
    return of_steps(config, steps, run.steps_per_epoch, evaluations)


def of_steps(config: TrainConfig, steps: int, steps_per_epoch: int, evaluations: int) -> TrainConfig:
    """The configuration of a run of so many steps and evaluations."""
    return replace(config, steps=steps, eval_every=steps / steps_per_epoch / evaluations)


@dataclass(frozen=True)
class TimeLimit:
    """The time at which a run should end, publishing included."""

    seconds: float  # of the whole run
    end_s: float  # of time.monotonic()
    save: Callable[[TrainConfig], None]  # writes a corrected configuration into the plan of the run

    def correct(self, run: TrainingRun) -> bool:
        """Change the steps of a run that has just been evaluated, if at its present pace it would end at another time.

        Other programs may slow the machine down, or leave it, while a run trains. The learning rate then follows the
        schedule of the new total. The first evaluation changes nothing: the time before it includes compiling.

        Returns:
            Whether the run's configuration was changed.
        """
        if len(run.history) < 2 or run.is_finished:
            return False
        before, last = run.history[-2:]
        # Evaluations are included.
        step_s = (last["elapsed_seconds"] - before["elapsed_seconds"]) / (last["step"] - before["step"])
        left_s = self.end_s - time.monotonic() - EXPORT_SECONDS - CHECKS * last["seconds"].get("evaluation", 0.0)
        early_s = left_s - step_s * (run.total_steps - run.step)
        if abs(early_s) <= TOLERATED_SHARE * self.seconds:
            return False
        run.config = replace(run.config, steps=max(run.step + 1, run.total_steps + int(early_s / step_s)))
        self.save(run.config)
        return True


def _steps(run: TrainingRun, count: int) -> None:
    for _ in range(count):
        run.take_step()
        run.stages.advance()
    run.wait()


def _timed(work: Callable[[], object]) -> float:
    started_s = time.monotonic()
    work()
    return time.monotonic() - started_s

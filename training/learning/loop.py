"""The training loop: takes a run to its end, and decides when it is evaluated, saved and stopped."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

from training.learning.folder import TENSORBOARD
from training.learning.progress import RunProgress
from training.learning.run import TrainingRun
from training.learning.stages import Stopped
from training.packages import is_installed

if TYPE_CHECKING:
    from training.learning.tensorboard import EventLog

SECONDS_BETWEEN_CHECKPOINTS = 60


def train(run: TrainingRun, should_stop: Callable[[], bool] = lambda: False) -> bool:
    """Take the run to its end.

    Returns:
        Whether it is finished; False where `should_stop` or the run's stages asked for a stop. It is saved then, and an
        interrupted evaluation is repeated by the call that resumes it.

    Raises:
        Diverged: the loss or the gradient is not finite; the last checkpoint is kept.
    """
    saved_at_s = time.monotonic()
    with ExitStack() as closing:
        log = _event_log(run)
        if log:
            closing.enter_context(log)
        progress = closing.enter_context(RunProgress(run.stages, run.total_steps, run.step, run.steps_per_epoch))
        try:
            while True:
                if run.is_evaluation_due():
                    record = run.evaluate()
                    run.save()  # first: printing may block
                    saved_at_s = time.monotonic()
                    if log:
                        log.evaluation(record)
                    progress.evaluation(record, best=record is run.best)
                if run.is_finished:
                    return True
                run.stages.enter("training")
                progress.step(run.take_step())
                if should_stop():
                    break
                if time.monotonic() - saved_at_s > SECONDS_BETWEEN_CHECKPOINTS:
                    run.save()
                    saved_at_s = time.monotonic()
        except Stopped:
            pass
        run.save()
        return False


def _event_log(run: TrainingRun) -> "EventLog | None":
    """The run's log for TensorBoard; None without TensorFlow, which writes it."""
    if not is_installed("tensorflow"):
        return None
    from training.learning.tensorboard import EventLog

    return EventLog(run.folder / TENSORBOARD)

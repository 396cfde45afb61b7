"""The training loop: takes a run to its end, and decides when it is evaluated, saved and stopped."""

import time
from collections.abc import Callable

from training.learning.folder import TENSORBOARD
from training.learning.progress import RunProgress
from training.learning.run import TrainingRun
from training.learning.stages import Stopped
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
    with (
        RunProgress(run.stages, run.total_steps, run.step, run.steps_per_epoch) as progress,
        EventLog(run.folder / TENSORBOARD) as log,
    ):
        try:
            while True:
                if run.is_evaluation_due():
                    record = run.evaluate()
                    run.save()  # first: printing may block
                    saved_at_s = time.monotonic()
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

"""The training loop: takes a run to its end, and decides when it is evaluated, saved and stopped."""

from collections.abc import Callable

from training.learning.budget import TimeLimit
from training.learning.folder import TENSORBOARD
from training.learning.progress import RunProgress
from training.learning.run import TrainingRun
from training.learning.stages import Stopped
from training.learning.tensorboard import EventLog


def train(run: TrainingRun, should_stop: Callable[[], bool] = lambda: False, *, limit: TimeLimit | None = None) -> bool:
    """Take the run to its end.

    Args:
        run: the run.
        should_stop: asked after each step.
        limit: the time at which the run should end. Its steps are corrected at evaluations to end then.

    Returns:
        Whether it is finished; False where `should_stop` or the run's stages asked for a stop. It is saved then, and an
        interrupted evaluation is repeated by the call that resumes it.

    Raises:
        Diverged: the loss or the gradient is not finite; the last checkpoint is kept.
    """
    with (
        RunProgress(
            run.stages,
            run.total_steps,
            run.step,
            run.steps_per_epoch,
            unit=run.config.unit,
            with_estimate=limit is None,
        ) as progress,
        EventLog(run.folder / TENSORBOARD) as log,
    ):
        try:
            while True:
                if run.is_evaluation_due():
                    record = run.evaluate()
                    is_corrected = limit is not None and limit.correct(run)
                    run.save()  # first: printing may block
                    log.evaluation(record)
                    progress.evaluation(record, best=record is run.best)
                    if is_corrected:
                        progress.correction(run.total_steps)
                if run.is_finished:
                    return True
                run.stages.enter("training")
                progress.step(run.take_step())
                if should_stop():
                    break
                if run.is_checkpoint_due():
                    run.save()
        except Stopped:
            pass
        run.save()
        return False

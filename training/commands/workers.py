"""`train` on several workers: how this process joins the others, and the part of a worker that is not the chief."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from training.commands.options import use_devices
from training.commands.runs import NothingToResume, Target, require_unpublished, run_of
from training.errors import InputError
from training.learning.cluster import WorkerLost, cluster_of
from training.learning.cores import cores
from training.learning.folder import Plan
from training.packages import is_installed
from training.terminal import Stop, quietly, stop_on_signal

if TYPE_CHECKING:
    from training.learning.collectives import Workers
    from training.learning.run import TrainingRun


def joined(
    workers: str | None, worker: int | None, replicas: int | None, resumed: Path | None = None
) -> "Workers | None":
    """The other workers, once all are connected; None where this process trains alone.

    Ends the process with exit code 0 if `resumed` is published: a launcher restarts a worker that was lost after that,
    and the others, which have ended, do not connect to it.

    Args:
        workers: the value of --workers.
        worker: the value of --worker.
        replicas: those of the run, on all workers together; None for a new run: one for each core of all workers.
        resumed: the folder of a run that is resumed without further steps.

    Raises:
        InputError: the flags or TF_CONFIG are invalid, or Keras does not run on TensorFlow.
    """
    cluster = cluster_of(workers, worker)
    if cluster is None:
        return None
    if os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow" or not is_installed("tensorflow"):
        raise InputError("Training on several workers needs TensorFlow: KERAS_BACKEND must be tensorflow.")
    if os.environ.get("TF_CPP_MIN_LOG_LEVEL") == "2":  # one sentence reports a lost worker, not TensorFlow's errors
        os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    use_devices(replicas or cores() * len(cluster.workers))
    if resumed is not None:  # after the imports, during which the chief may have published it
        _end_if_published(resumed)
    click.echo(f"Worker {cluster.worker} of {len(cluster.workers)} waits for the others.", err=True)
    # Python's own handler does not run while TensorFlow waits: for the others here, and later for the chief.
    handler = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        with quietly():
            from training.learning.collectives import Workers

            connected = Workers(cluster)
    except WorkerLost as error:
        _end_at_once(error)
    if connected.is_chief:
        signal.signal(signal.SIGINT, handler)
    return connected


@contextmanager
def ended_together(workers: "Workers | None") -> Iterator[None]:
    """Let no worker end before the others have its last results; end at once where another worker is lost."""
    try:
        try:
            yield
        except SystemExit:  # stopped, after the same step on all workers
            if workers is not None:
                workers.leave()
            raise
        if workers is not None:
            workers.leave()
    except WorkerLost as error:
        _end_at_once(error)


def _end_at_once(error: WorkerLost) -> NoReturn:
    """End the process without TensorFlow's own shutdown, which would wait for the lost worker."""
    print(f"Error: {error}", file=sys.stderr, flush=True)
    sys.stdout.flush()
    os._exit(error.exit_code)


def begun(workers: "Workers | None", begin: "Callable[[], tuple[Plan, TrainingRun]]") -> "tuple[Plan, TrainingRun]":
    """The plan and the run that `begin` returns, and a message to the other workers that they can start."""
    made = []

    def announced() -> dict[str, Any]:
        made.append(begin())
        plan, run = made[0]
        return {"step": run.step, "replicas": plan.replicas}

    if workers is None:
        return begin()
    workers.from_chief(announced)
    return made[0]


def _end_if_published(folder: Path) -> None:
    try:
        require_unpublished(folder)
    except NothingToResume as error:
        click.echo(error)
        sys.exit(0)


def stopping(workers: "Workers | None", run: "TrainingRun", stop: Stop) -> Callable[[], bool]:
    """Whether training should stop: all workers stop after the same step."""
    if workers is None:
        run.stages.should_stop = stop
        return stop
    workers.should_stop = stop
    return workers.is_stopping


def follow_chief(target: Target) -> None:
    """Train a run that the chief has prepared in a folder that this worker shares, until the chief has published it.

    Raises:
        InputError: the run in the folder is not the chief's.
    """
    workers = target.workers
    assert workers is not None
    with quietly():
        from training.learning.distribute import follow
        from training.learning.stages import Stopped

    start = workers.from_chief(dict)
    plan = replace(Plan.load(target.folder), replicas=start["replicas"])
    run = run_of(plan, plan.open_corpus(target.folder), target)
    run.restore()
    if run.step != start["step"]:
        raise InputError(
            f"The run in {target.folder} is at step {run.step:,} and worker 0's at {start['step']:,}: "
            "--runs must be a folder that all workers share."
        )
    with stop_on_signal() as stop:
        workers.should_stop = stop
        try:
            if not follow(run):  # type: ignore[arg-type]  # with workers, a run is a DistributedRun
                raise Stopped
            workers.from_chief(dict)
        except Stopped:
            click.echo(f"Stopped at step {run.step:,} of {run.total_steps:,}; worker 0 has saved the run.", err=True)
            sys.exit(stop.exit_code)

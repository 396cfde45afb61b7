"""Retrains one model: starts from the served version, trains within the time limit, passes the gate, and publishes.

If the process is killed at any moment, the store has the versions that it had or one more, and the next retraining
continues.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from training.errors import ReportedError
from training.files import sentence
from training.learning.folder import discard, locked
from training.learning.loop import train
from training.learning.run import Diverged, TrainingRun
from training.learning.stages import Stopped
from training.release import store
from training.release.publish import Release, publish
from training.release.published import PublishedModel, newest_valid
from training.retraining import gate, record
from training.retraining.candidate import Candidate, Retraining, Unchanged, candidate_of
from training.retraining.config import Job
from training.retraining.folders import Folders
from training.retraining.gate import Refused
from training.retraining.record import Record

LOG = logging.getLogger(__name__)


class Interrupted(ReportedError):
    """A stop was asked for; the run is saved."""


DECISION_OF: dict[type[Exception], str] = {
    Unchanged: record.UNCHANGED,
    Refused: record.REFUSED,
    Interrupted: record.INTERRUPTED,
    Stopped: record.INTERRUPTED,
}


def retrain(job: Job, *, runs: Path, models: Path, should_stop: Callable[[], bool] = lambda: False) -> Record:
    """Retrain one model and append a record to its file.

    Args:
        job: The model's table in nightly.toml.
        runs: Folder of runs.
        models: Folder of published models.
        should_stop: Asked after each step; True saves the run and ends it.

    Returns:
        The record. Its decision says how the run ended: no error is raised, so that other models can be retrained.
    """
    done = Record(job.name, datetime.now(UTC).isoformat(timespec="seconds"))
    began_s = time.monotonic()
    try:
        with locked(runs / job.name):
            parent = newest_valid(models, job.name)
            served = PublishedModel(store.folder_of(models, job.name, parent)) if parent else None
            done.parent = parent
            deadline_s = began_s + 60 * job.minutes
            _retrain(Retraining(job, Folders(runs / job.name), models, served, done, deadline_s, should_stop))
        done.decision = record.PUBLISHED
    except ReportedError as error:
        done.decision, done.reason = DECISION_OF.get(type(error), record.FAILED), str(error)
    except OSError as error:
        done.reason = sentence(error)
    except Exception as error:  # unexpected
        LOG.exception("%s: retraining failed.", job.name)
        done.decision, done.reason = record.FAILED, f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
    done.seconds = round(time.monotonic() - began_s, 1)
    try:
        done.append(models)
    except OSError as error:
        done.reason = f"{done.reason} Its record cannot be written: {sentence(error)}"
        if done.decision != record.PUBLISHED:
            done.decision = record.FAILED
    return done


def _retrain(retraining: Retraining) -> None:
    name, folders, models = retraining.job.name, retraining.folders, retraining.models
    candidate = candidate_of(retraining)
    _train(candidate.run, retraining)
    plan, run = candidate.plan, candidate.run
    release = Release(name, run.result(), plan.config, candidate.corpus, parent=retraining.record.parent)
    try:
        version = publish(release, models, lambda new: _pass_gate(new, candidate, retraining), stages=run.stages)
    except Refused:
        folders.keep_candidate_as(folders.refused)
        raise
    replace(plan, published=str(version), published_step=run.step).save(folders.candidate)
    folders.keep_candidate_as(folders.served)
    retraining.record.version = int(version.name)
    store.prune(models, name, keep=retraining.job.keep, spare=retraining.record.version)


def _train(run: TrainingRun, retraining: Retraining) -> None:
    """Train the candidate to its last step, or until the deadline.

    Raises:
        Interrupted: a stop was asked for; the run is saved.
    """
    run.stages.should_stop = retraining.should_stop
    try:
        finished = train(run, lambda: retraining.should_stop() or time.monotonic() > retraining.deadline_s)
    except Diverged:
        discard(run.folder)  # a resumed run would diverge again
        raise
    finally:
        retraining.record.steps = run.step
    if not finished and retraining.should_stop():
        raise Interrupted(f"Stopped at step {run.step:,} of {run.total_steps:,}; the next retraining resumes the run.")
    if not finished and (not run.history or run.history[-1]["step"] != run.step):
        run.evaluate()


def _pass_gate(new: PublishedModel, candidate: Candidate, retraining: Retraining) -> None:
    """Record the losses of both versions.

    Raises:
        Refused: the new version is worse than the gate allows.
    """
    done, served = retraining.record, retraining.served
    if served is None:
        done.reason = "It is the first version."
        return
    texts = {
        "fresh": gate.validation_of_new_files(served, candidate.corpus, candidate.plan.config),
        "reference": retraining.folders.reference(retraining.job.name, done.parent),
    }
    done.losses = gate.losses(served, new, texts)
    done.reason = gate.verdict(done.losses, served.manifest, allowed=retraining.job.gate)

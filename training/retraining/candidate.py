"""The run that may become the next version of a model: begun on new text, or resumed after an interruption."""

import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from training.config import TrainConfig
from training.data.corpus import Corpus
from training.data.prepare import prepare
from training.data.sources import NoText
from training.errors import DamagedRun, InputError, ReportedError
from training.learning.disk_space import require_disk_space
from training.learning.folder import CORPUS, Plan, discard
from training.learning.run import TrainingRun
from training.network.weights import NetworkWeights
from training.release import store
from training.release.published import PublishedModel
from training.retraining import gate
from training.retraining.budget import config_of, within_budget
from training.retraining.config import Job
from training.retraining.folders import Folders, plan_in
from training.retraining.gate import fingerprints
from training.retraining.record import Record

LOG = logging.getLogger(__name__)


class Unchanged(ReportedError):
    """There is no new text to train on."""


@dataclass(frozen=True)
class Candidate:
    """A run with its plan and its text."""

    plan: Plan
    corpus: Corpus
    run: TrainingRun


@dataclass(frozen=True)
class Retraining:
    """One retraining of one model."""

    job: Job
    folders: Folders
    models: Path
    served: PublishedModel | None
    record: Record  # filled in on the way
    deadline_s: float  # of time.monotonic()
    should_stop: Callable[[], bool]

    @property
    def start(self) -> str | None:
        """NAME/VERSION of the served version, from which the run starts."""
        return f"{self.job.name}/{self.record.parent}" if self.record.parent else None


def candidate_of(retraining: Retraining) -> Candidate:
    """The interrupted candidate, or a new one.

    Raises:
        Unchanged: there is no new text.
        Refused: a file looks like noise.
        InputError: a text cannot be read, the settings contradict the served version, or the disk is too small.
        Stopped: `should_stop` asked for it.
    """
    return _interrupted(retraining) or _new(retraining)


def _interrupted(retraining: Retraining) -> Candidate | None:
    """The candidate that an earlier retraining left. One that cannot be resumed is discarded."""
    try:
        _settle(retraining)
        return _resumed(retraining)
    except (InputError, ValueError, KeyError) as error:  # the last two: files of another version of Charloom
        LOG.warning("%s: the run in progress cannot be resumed and is discarded. %s", retraining.job.name, error)
        shutil.rmtree(retraining.folders.candidate)
        return None


def _settle(retraining: Retraining) -> None:
    """Remove a candidate that a killed process had already published, or that starts from another version."""
    name, folders = retraining.job.name, retraining.folders
    plan = plan_in(folders.candidate)
    if plan is None or (plan.version_of(name) is None and plan.init_from == retraining.start):
        return
    parent = retraining.record.parent
    manifest = store.manifest_of(store.folder_of(retraining.models, name, parent)) if parent else {}
    is_served = manifest and fingerprints(manifest) == plan.open_corpus(folders.candidate).fingerprints
    if is_served and manifest["parent"] == plan.parent_of(name):
        folders.keep_candidate_as(folders.served)
    else:
        discard(folders.candidate)


def _resumed(retraining: Retraining) -> Candidate | None:
    folder = retraining.folders.candidate
    plan = plan_in(folder)
    if plan is None:
        return None
    corpus = plan.open_corpus(folder)
    run = TrainingRun(plan.config, corpus, folder, replicas=plan.replicas)
    run.restore()
    retraining.record.resumed = True
    _record_text(retraining, corpus)
    return Candidate(plan, corpus, run)


def _new(retraining: Retraining) -> Candidate:
    job, folder, served = retraining.job, retraining.folders.candidate, retraining.served
    config = config_of(job, served.manifest if served else None)
    corpus = _encoded(retraining, config)
    _record_text(retraining, corpus)
    _require_new_text(retraining, corpus)
    require_disk_space(config, len(corpus.vocabulary), retraining.models / job.name, run=folder)
    weights = served.weights() if served else None
    config = within_budget(config, _started(retraining, config, corpus, weights), retraining.deadline_s)
    run = _started(retraining, config, corpus, weights)
    plan = Plan(config, job.corpus, corpus.key, retraining.start, replicas=run.trainer.replicas)
    discard(folder)
    run.save()  # before the plan, so that a resumed run always has these weights
    plan.save(folder)
    return Candidate(plan, corpus, run)


def _started(
    retraining: Retraining, config: TrainConfig, corpus: Corpus, weights: NetworkWeights | None
) -> TrainingRun:
    run = TrainingRun(config, corpus, retraining.folders.candidate, start_from=weights)
    run.stages.should_stop = retraining.should_stop
    return run


def _encoded(retraining: Retraining, config: TrainConfig) -> Corpus:
    """The text of the job as ids. The vocabulary is that of the served version, with new symbols at its end."""
    job, served = retraining.job, retraining.served
    try:
        if not job.noise:
            gate.refuse_noise(job.corpus, config, job.selection)
        return prepare(
            job.corpus,
            config,
            retraining.folders.candidate / CORPUS,
            vocabulary=served.vocabulary if served else None,
            extend=served is not None,
            selection=job.selection,
            earlier=retraining.folders.served_corpus(),
        )
    except NoText as missing:
        if served is not None:
            raise
        raise Unchanged(f"There is no text in {missing.display_path} yet.") from missing


def _require_new_text(retraining: Retraining, corpus: Corpus) -> None:
    served = retraining.served
    if served and corpus.fingerprints == fingerprints(served.manifest):
        raise Unchanged(f"The text is the one that version {retraining.record.parent} was trained on.")
    try:
        refused = plan_in(retraining.folders.refused)
    except DamagedRun as error:
        LOG.warning(
            "%s: the text is not compared with that of the last refused run. %s.", retraining.job.name, error.fact
        )
        return
    if refused and (refused.corpus_key, refused.init_from) == (corpus.key, retraining.start):
        raise Unchanged("The last run was refused for the same text.")


def _record_text(retraining: Retraining, corpus: Corpus) -> None:
    record, served = retraining.record, retraining.served
    record.characters = len(corpus)
    if served:
        before, now = {*fingerprints(served.manifest)}, {*corpus.fingerprints}
        record.new_files, record.gone_files = len(now - before), len(before - now)
        record.new_symbols = len(corpus.vocabulary) - len(served.vocabulary)

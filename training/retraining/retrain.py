"""One night for one model: warm start, train within the budget, judge old and new on the same text, publish or refuse.

    runs/<name>/night/      the run under way; a night that was interrupted is gone on with by the next
    runs/<name>/served/     the run that became the version that serves; what it was judged by is judged by again
    runs/<name>/refused/    the last run that the gate refused, for inspection

Killed at any moment, the store holds what it held or one version more, and the next night goes on.
"""

import logging
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.config import TrainConfig
from training.data.corpus import Corpus
from training.data.prepare import prepare
from training.data.sources import NoText
from training.errors import InputError, ReportedError
from training.learning.disk_space import require_disk_space
from training.learning.folder import CORPUS, PLAN, Plan, discard, locked
from training.learning.loop import train
from training.learning.run import Diverged, TrainingRun
from training.learning.stages import Stopped
from training.release import store
from training.release.publish import Release, publish
from training.release.published import PublishedModel, newest_valid
from training.retraining import gate, record
from training.retraining.budget import config_of, within_budget
from training.retraining.config import Job
from training.retraining.gate import Refused, fingerprints
from training.retraining.record import Night

LOG = logging.getLogger(__name__)

Begun = tuple[Plan, Corpus, TrainingRun]


class Interrupted(ReportedError):
    """Somebody asked for a stop; the run is saved."""


class Unchanged(ReportedError):
    """There is nothing to learn that was not learned."""


DECISION_OF: dict[type[Exception], str] = {
    Unchanged: record.UNCHANGED,
    Refused: record.REFUSED,
    Interrupted: record.INTERRUPTED,
    Stopped: record.INTERRUPTED,
}


def retrain(job: Job, *, runs: Path, models: Path, should_stop: Callable[[], bool] = lambda: False) -> Night:
    """Spend a night on one model and record it; returns the record, whose decision says how it ended."""
    night = Night(job.name, datetime.now(UTC).isoformat(timespec="seconds"))
    began_s = time.monotonic()
    try:
        with locked(runs / job.name):
            _Work(job, night, runs / job.name, models, began_s, should_stop).do()
        night.decision = record.PUBLISHED
    except (ReportedError, OSError) as ended:
        night.decision, night.reason = DECISION_OF.get(type(ended), record.FAILED), str(ended)
    except Exception as error:  # nobody foresaw it: the other models have their nights all the same
        LOG.exception("%s: the night failed.", job.name)
        night.decision, night.reason = record.FAILED, f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
    night.seconds = round(time.monotonic() - began_s, 1)
    night.append(models)
    return night


@dataclass
class _Work:
    """A night under way."""

    job: Job
    night: Night
    folder: Path
    models: Path
    began_s: float
    should_stop: Callable[[], bool]

    def do(self) -> None:
        parent = newest_valid(self.models, self.job.name)
        self.night.parent = parent
        old = PublishedModel(self.models / self.job.name / str(parent)) if parent else None
        plan, corpus, run = self._left_by_another(parent, old) or self._begun(old)
        self._train(run)
        release = Release(self.job.name, run.result(), plan.config, corpus, parent=parent)
        try:
            place = publish(release, self.models, lambda new: self._judge(old, new, plan, corpus), stages=run.stages)
        except Refused:
            self._keep_as("refused")
            raise
        replace(plan, published=str(place), published_step=run.step).save(self.work)
        self._keep_as("served")
        self.night.version = int(place.name)
        store.prune(self.models, self.job.name, keep=self.job.keep, spare=self.night.version)

    @property
    def work(self) -> Path:
        return self.folder / "night"

    @property
    def seconds_left(self) -> float:
        return self.began_s + 60 * self.job.minutes - time.monotonic()

    def _start(self, parent: int | None) -> str | None:
        return f"{self.job.name}/{parent}" if parent else None

    def _left_by_another(self, parent: int | None, old: PublishedModel | None) -> Begun | None:
        """The run that a night before this one began and did not end; one that cannot be read is begun anew."""
        try:
            self._settle(parent)
            return self._resumed(old)
        except (InputError, ValueError, KeyError) as damaged:  # or of a Charloom that kept other things
            LOG.warning("%s: the run that was under way is given up. %s", self.job.name, damaged)
            shutil.rmtree(self.work)
            return None

    def _settle(self, parent: int | None) -> None:
        """What a killed night left: its run may have become a version already, or start from one that is no more."""
        if not (self.work / PLAN).exists():
            return
        plan = Plan.load(self.work)
        if plan.version_of(self.job.name) is None and plan.init_from == self._start(parent):
            return
        manifest = store.manifest_of(self.models / self.job.name / str(parent)) if parent else {}
        is_served = manifest and fingerprints(manifest) == plan.open_corpus(self.work).fingerprints
        if is_served and manifest["parent"] == plan.parent_of(self.job.name):
            self._keep_as("served")
        else:
            discard(self.work)

    def _resumed(self, old: PublishedModel | None) -> Begun | None:
        if not (self.work / PLAN).exists():
            return None
        plan = Plan.load(self.work)
        corpus = plan.open_corpus(self.work)
        run = TrainingRun(plan.config, corpus, self.work)
        run.restore()
        self.night.resumed = True
        self._note(corpus, old)
        return plan, corpus, run

    def _begun(self, old: PublishedModel | None) -> Begun:
        config = config_of(self.job, old.manifest if old else None)
        try:
            corpus = self._encoded(config, old)
        except NoText as missing:
            if old is not None:
                raise
            raise Unchanged(f"There is no text in {missing.display_path} yet.") from missing
        self._note(corpus, old)
        if old and corpus.fingerprints == fingerprints(old.manifest):
            raise Unchanged(f"The text is what version {self.night.parent} learned from.")
        start = self._start(self.night.parent)
        if (refused := self._plan_of("refused")) and (refused.corpus_key, refused.init_from) == (corpus.key, start):
            raise Unchanged("The text is what the last night's run was refused for.")
        require_disk_space(config, len(corpus.vocabulary), self.models / self.job.name, run=self.work)
        weights = old.weights() if old else None
        config = within_budget(config, corpus, self.work, weights, self.seconds_left, self.should_stop)
        plan = Plan(config, self.job.corpus, corpus.key, start)
        run = TrainingRun(config, corpus, self.work, start_from=weights)
        discard(self.work)
        run.save()  # before the plan: whatever is resumed begins with these weights
        plan.save(self.work)
        return plan, corpus, run

    def _encoded(self, config: TrainConfig, old: PublishedModel | None) -> Corpus:
        if not self.job.noise:
            gate.refuse_noise(self.job.corpus, config, self.job.selection)
        served = self._plan_of("served")
        return prepare(
            self.job.corpus,
            config,
            self.work / CORPUS,
            vocabulary=old.vocabulary if old else None,
            extend=old is not None,
            selection=self.job.selection,
            earlier=served.open_corpus(self.folder / "served") if served else None,
        )

    def _train(self, run: TrainingRun) -> None:
        """To its end, or to where the budget ends it.

        Raises:
            Interrupted: it was asked to stop; the run is saved.
        """
        run.stages.should_stop = self.should_stop
        try:
            finished = train(run, lambda: self.should_stop() or self.seconds_left < 0)
        except Diverged:
            discard(self.work)  # it would do so again
            raise
        finally:
            self.night.steps = run.step
        if not finished and self.should_stop():
            raise Interrupted(f"Stopped at step {run.step:,} of {run.total_steps:,}: the next night goes on.")
        if not finished and (not run.history or run.history[-1]["step"] != run.step):
            run.evaluate()

    def _judge(self, old: PublishedModel | None, new: PublishedModel, plan: Plan, corpus: Corpus) -> None:
        if old is None:
            self.night.reason = "It is the first version."
            return
        texts = {"fresh": gate.fresh(old, corpus, plan.config), "reference": self._reference()}
        self.night.losses = gate.losses(old, new, texts)
        self.night.reason = gate.verdict(self.night.losses, old.manifest["version"], allowed=self.job.gate)

    def _reference(self) -> NDArray[Any]:
        """What the version that serves was judged by, where its run is still here: what it knew must not be lost."""
        plan = self._plan_of("served")
        if plan is None or plan.version_of(self.job.name) != self.night.parent:
            return np.zeros(0, np.int32)
        return plan.open_corpus(self.folder / "served").validation

    def _plan_of(self, name: str) -> Plan | None:
        return Plan.load(self.folder / name) if (self.folder / name / PLAN).exists() else None

    def _keep_as(self, name: str) -> None:
        if (self.folder / name).exists():
            shutil.rmtree(self.folder / name)
        self.work.rename(self.folder / name)

    def _note(self, corpus: Corpus, old: PublishedModel | None) -> None:
        self.night.characters = len(corpus)
        if old:
            before, now = {*fingerprints(old.manifest)}, {*corpus.fingerprints}
            self.night.new_files, self.night.gone_files = len(now - before), len(before - now)
            self.night.new_symbols = len(corpus.vocabulary) - len(old.vocabulary)

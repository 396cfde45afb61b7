"""Publishes a run after it has passed the quality gate. Loads TensorFlow, so it is imported inside commands."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from training.commands.hints import command
from training.data.corpus import Corpus
from training.learning.folder import Plan
from training.learning.run import TrainingRun
from training.release.publish import Release, placed_before, publish
from training.release.published import PublishedModel, newest_valid
from training.release.store import folder_of
from training.report.ngrams import baselines
from training.retraining import gate
from training.retraining.config import Job
from training.retraining.gate import Refused

ALLOWED_LOSS = float(Job.model_fields["gate"].default)


def publish_run(run: TrainingRun, plan: Plan, *, name: str, models: Path, force: bool) -> Path:
    """Publish the best weights so far as the next version of model `name`, and record that in the run's plan.

    Raises:
        Refused: the version is worse than a unigram model or than the served version. Never with `force`.
    """
    parent = plan.parent_of(name)
    release = Release(name, run.result(), plan.config, run.corpus, parent=parent, teachers=plan.teachers)
    unrecorded = None if plan.is_published_at(run.step) else placed_before(release, models)
    try:
        version = unrecorded or publish(release, models, None if force else _gate(release, models), stages=run.stages)
    except Refused as refused:
        again = command("publish", name, "--from", run.folder, "--force", models=models)
        raise Refused(f"Not published. {refused} The run is kept; to publish it anyway: {again}") from None
    replace(plan, published=str(version), published_step=run.step).save(run.folder)
    return version


def _gate(release: Release, models: Path) -> Callable[[PublishedModel], None]:
    def gate_(new: PublishedModel) -> None:
        _require_better_than_unigram(release)
        number = newest_valid(models, release.name)
        if number is not None:
            _require_not_worse(PublishedModel(folder_of(models, release.name, number)), new, release.corpus)

    return gate_


def _require_better_than_unigram(release: Release) -> None:
    corpus, found = release.corpus, release.trained.validation
    (unigram,) = baselines(
        corpus.training, corpus.validation[: found.characters], len(corpus.vocabulary), orders=[1]
    ).values()
    if not found.nats_per_char <= unigram:
        raise Refused(
            f"On the validation text it loses {found.nats_per_char:.4f} nats/{corpus.vocabulary.unit}, more than the "
            f"{unigram:.4f} of a unigram model, which knows only the frequency of each symbol."
        )


def _require_not_worse(old: PublishedModel, new: PublishedModel, corpus: Corpus) -> None:
    """Apply the gate of retraining to the new run's validation text.

    Models of different units (characters and bytes) cannot be compared on the same text, and pass.
    """
    if old.vocabulary.unit == new.vocabulary.unit:
        losses = gate.losses(old, new, {"validation": corpus.validation})
        gate.verdict(losses, old.manifest, allowed=ALLOWED_LOSS)

"""The run that `train` trains: a new one from its flags, or the one that --resume continues."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from training.commands.options import published, use_devices
from training.commands.selection import selection_of
from training.commands.teaching import teachers_of
from training.config import TrainConfig
from training.data.corpus import Corpus
from training.data.join import join
from training.data.parts import location_of_parts
from training.data.prepare import prepare
from training.data.sources import ALL
from training.data.teacher_targets import TeacherTargets
from training.data.vocabulary import Vocabulary
from training.errors import InputError
from training.flags import config_of
from training.learning.cluster import replicas_of
from training.learning.folder import (
    PLAN,
    TEACHERS,
    Plan,
    Position,
    adopt_corpus,
    discard,
    is_being_moved,
    is_unfinished,
    keep_as_old,
    next_corpus,
)
from training.terminal import quietly

if TYPE_CHECKING:
    from training.learning.collectives import Workers
    from training.learning.run import TrainingRun
    from training.network.weights import NetworkWeights


class NothingToResume(InputError):
    """The run is finished and published."""


def require_unpublished(folder: Path) -> None:
    """Check that the run in `folder` has something left to do: steps, or its publication.

    Raises:
        NothingToResume: it has nothing left.
        InputError: a file of the run is damaged.
    """
    plan = Plan.load(folder)
    position = Position.of(folder, plan)
    if position.is_finished and plan.is_published_at(position.step):
        raise NothingToResume(
            f"The run in {folder} is finished after {position.step:,} steps and published as "
            f"{plan.published}: nothing to resume. To extend it, add --epochs or --steps with its new total."
        )


@dataclass(frozen=True)
class Target:
    """The name of a run, its folder, and where it is published."""

    name: str
    folder: Path  # of the run
    models: Path
    force: bool
    began_s: float  # of time.monotonic()
    workers: "Workers | None" = None  # that train it too

    @property
    def runs(self) -> Path:
        """Folder of all runs."""
        return self.folder.parent

    @property
    def store(self) -> Path:
        """Folder of the model's versions."""
        return self.models / self.name


def resumed_run(target: Target, longer: dict[str, Any]) -> "tuple[Plan, TrainingRun]":
    """The run in the folder, with the settings `longer` (epochs, steps) in place of its own.

    Raises:
        NothingToResume: there is nothing left to train.
        InputError: a file of the run is damaged.
    """
    if not longer:
        require_unpublished(target.folder)
    before = Plan.load(target.folder)
    position = Position.of(target.folder, before)
    plan = replace(
        before,
        config=replace(before.config, **longer),
        published_step=before.published_step or (position.step if before.published else None),
        replicas=before.replicas or _replicas(target),
    )
    _refuse_minutes(plan.config, target)
    if before.teachers:
        _require_one_worker_for_teachers(target)
    teachers = before.open_teachers(target.folder)
    run = run_of(plan, before.open_corpus(target.folder), target, teachers=teachers, saved=True)
    run.restore()
    if longer:
        _extend(run, before, plan)
    elif plan.replicas != before.replicas:  # a run that JAX or an older version began: from now on, it keeps these
        plan.save(run.folder)
    return plan, run


def _extend(run: "TrainingRun", before: Plan, plan: Plan) -> None:
    """Save the new total of steps.

    Raises:
        InputError: it leaves no step to take.
    """
    old_total = before.config.total_steps(run.steps_per_epoch)
    flag = f"--steps {plan.config.steps}" if plan.config.steps else f"--epochs {plan.config.epochs}"
    if run.total_steps <= run.step:
        raise InputError(
            f"{flag} means {run.total_steps:,} steps, and the run in {run.folder} has taken {run.step:,} already: "
            "only a larger total extends it."
        )
    if run.is_finished:
        raise InputError(
            f"--patience {plan.config.patience} ended the run in {run.folder} at step {run.step:,}, "
            f"and {flag} does not change that: train a new one, for example with --init-from."
        )
    plan.save(run.folder)
    if run.total_steps != old_total:
        click.echo(
            f"The run now has {run.total_steps:,} steps in place of {old_total:,}: "
            f"from step {run.step:,} on, the learning rate follows the schedule of the new total."
        )


def new_run(context: click.Context, options: dict[str, Any], target: Target) -> "tuple[Plan, TrainingRun]":
    """A run at step 0. An error before its first checkpoint leaves the earlier run of this name as it was.

    Args:
        context: Of the command `train`, to tell flags that were given from defaults.
        options: The values of its flags.
        target: Where the run is saved and published.

    Raises:
        InputError: the text cannot be used, or an unfinished run has this name.
    """
    if not options["corpus"]:
        raise click.UsageError("Missing option '--corpus': the text to train on.")
    keeps_old = _keeps_old(target.folder, restart=options["restart"])
    if options["init_from"] and target.workers is None:
        use_devices()  # before the model is loaded, which computes
    parent = published(target.models, *options["init_from"].split("/")) if options["init_from"] else None
    config = config_of(context, options, options["preset"], parent.manifest["config"] if parent else None)
    _refuse_minutes(config, target)
    if options["teachers"]:
        _require_one_worker_for_teachers(target)
    vocabulary, weights = (parent.vocabulary, parent.weights()) if parent else (None, None)
    start = f"{parent.manifest['name']}/{parent.manifest['version']}" if parent else None
    with next_corpus(target.folder) as encoded:
        corpus = _encoded(options, config, encoded, vocabulary)
        plan = Plan(config, options["corpus"], corpus.key, start, replicas=_replicas(target))
        teachers = None
        if options["teachers"]:
            taught_by = teachers_of(options["teachers"], config, corpus, target.models)
            teachers = taught_by.targets(encoded.parent / TEACHERS)
            plan = replace(plan, teachers=taught_by.references)
        run = run_of(plan, corpus, target, start_from=weights, teachers=teachers)
        if config.minutes:
            plan = _within_minutes(plan, run, target.began_s)
            run = run_of(plan, corpus, target, start_from=weights, teachers=teachers)
        if keeps_old:
            click.echo(f"The finished run of this name is kept in {keep_as_old(target.folder)}.")
        else:
            discard(target.folder)
        adopt_corpus(encoded, target.folder)
        if teachers is not None:
            (encoded.parent / TEACHERS).rename(target.folder / TEACHERS)
    run.save()  # before the plan, so that a resumed run always has these weights
    plan.save(target.folder)
    for note in corpus.notes:
        click.echo(note)
    return plan, run


def _encoded(options: dict[str, Any], config: TrainConfig, folder: Path, known: Vocabulary | None) -> Corpus:
    """The text of --corpus, encoded into `folder`, or the parts that `corpus encode` has made of it."""
    selection, extend = selection_of(options), known is not None
    location = location_of_parts(options["corpus"])
    if location is None:
        return prepare(options["corpus"], config, folder, vocabulary=known, extend=extend, selection=selection)
    if selection != ALL:
        raise InputError(
            f"--corpus {location} holds encoded parts: --include, --exclude and --skip-unreadable are flags of "
            "corpus encode."
        )
    return join(location, config, folder, vocabulary=known, extend=extend)


def _refuse_minutes(config: TrainConfig, target: Target) -> None:
    """Only one process corrects its steps to end in time.

    Raises:
        InputError: several workers are to train for `--minutes`.
    """
    if config.minutes and target.workers is not None:
        raise InputError("--minutes is for one worker: give several workers --steps or --epochs.")


def _keeps_old(folder: Path, *, restart: bool) -> bool:
    """Whether the folder holds a finished run, which is kept.

    Raises:
        InputError: it holds an unfinished or damaged run, and --restart was not given.
    """
    if is_being_moved(folder):
        return True
    try:
        unfinished = is_unfinished(folder)
    except InputError:
        if restart:
            return False
        raise
    if unfinished and not restart:
        raise InputError(f"{folder} holds an unfinished run: --resume goes on with it, --restart discards it.")
    return not unfinished and (folder / PLAN).exists()


def run_of(
    plan: Plan,
    corpus: Corpus,
    target: Target,
    *,
    start_from: "NetworkWeights | None" = None,
    teachers: TeacherTargets | None = None,
    saved: bool = False,
) -> "TrainingRun":
    """The run of a plan at step 0, if the disk has enough free space."""
    use_devices(plan.replicas)
    with quietly():
        from training.learning.disk_space import require_disk_space
        from training.learning.run import TrainingRun

    if target.workers is None or target.workers.is_chief:  # the others write nothing
        require_disk_space(plan.config, len(corpus.vocabulary), target.store, run=target.folder, saved=saved)
    if target.workers is not None:
        from training.learning.distribute import DistributedRun

        return DistributedRun(
            plan.config,
            corpus,
            target.folder,
            start_from=start_from,
            replicas=plan.replicas,
            workers=target.workers,
        )
    return TrainingRun(
        plan.config,
        corpus,
        target.folder,
        start_from=start_from,
        teachers=teachers,
        replicas=plan.replicas,
    )


def _require_one_worker_for_teachers(target: Target) -> None:
    if target.workers is not None or _replicas(target) is None:  # None on JAX
        raise InputError("--teachers is for one worker, and for TensorFlow.")


def _replicas(target: Target) -> int | None:
    """The replicas of a new run, those of all workers; None on JAX, which has none."""
    if target.workers is not None:
        return replicas_of(target.workers.replicas)
    use_devices()
    with quietly():
        from training.learning.backend import local_replicas

    return local_replicas()


def _within_minutes(plan: Plan, run: "TrainingRun", began_s: float) -> Plan:
    """The plan with as many steps as fit into --minutes. `run` is used to measure, and cannot be used afterwards."""
    with quietly():
        from training.learning.budget import within
        from training.learning.progress import StageProgress

    with StageProgress(run.stages):
        config = within(plan.config, run, began_s + 60 * plan.config.minutes)
    click.echo(
        f"{config.steps:,} steps in {config.minutes:g} minutes: "
        f"the text is read {config.steps / run.steps_per_epoch:.2g} times."
    )
    return replace(plan, config=config)

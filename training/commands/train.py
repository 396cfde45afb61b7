"""`train`: a run from its flags, or from where it stopped, to a published version."""

import re
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from training.commands.hints import command
from training.commands.options import (
    corpus_help,
    force_option,
    model_name,
    models_option,
    published,
    runs_option,
    use_devices,
)
from training.commands.selection import selection_of, selection_options
from training.data.corpus import Corpus
from training.data.prepare import prepare
from training.errors import InputError
from training.files import require_writable
from training.flags import GroupedCommand, config_of, config_options
from training.learning.folder import (
    PLAN,
    Plan,
    Position,
    adopt_corpus,
    discard,
    is_being_moved,
    is_unfinished,
    keep_as_old,
    locked,
    next_corpus,
)
from training.packages import require
from training.presets import PRESETS
from training.release.store import NAME
from training.terminal import quietly, stop_on_signal

if TYPE_CHECKING:
    from training.learning.run import TrainingRun
    from training.network.weights import NetworkWeights

START = re.compile(NAME + r"(/[1-9][0-9]*)?")


def _start(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    if value is not None and not START.fullmatch(value):
        raise click.BadParameter(f"{value!r} must be NAME or NAME/VERSION of a published model.")
    return value


@click.command(cls=GroupedCommand)
@click.option("--name", required=True, callback=model_name, help="What the model is to be called.")
@click.option("--corpus", multiple=True, help=corpus_help)
@click.option("--preset", type=click.Choice(list(PRESETS)), help="Settings of an experiment; flags go before them.")
@click.option(
    "--init-from", metavar="NAME[/VERSION]", callback=_start, help="Start from the weights of a published model."
)
@config_options
@selection_options
@click.option(
    "--resume",
    is_flag=True,
    help="Go on with the run of this name; takes its settings from there, but for --epochs or --steps to extend it.",
)
@click.option("--restart", is_flag=True, help="Discard the unfinished run of this name and begin anew.")
@force_option
@runs_option
@models_option
@click.pass_context
def train(context: click.Context, /, name: str, runs: Path, models: Path, **options: Any) -> None:
    """Train a model on your text and publish it as the next version."""
    require("tqdm")  # which is imported only after the text is encoded
    job = _Job(name, runs / name, models, options.pop("force"), time.monotonic())
    if options["resume"]:
        longer = _longer(context, options)
        Plan.load(job.folder)  # before it is locked: a name without a run gets no folder
    require_writable(job.folder, "--runs")
    require_writable(job.store, "--models")
    with locked(job.folder):
        plan, run = _resumed(job, longer) if options["resume"] else _begun(context, options, job)
        _finish(plan, run, job)


@dataclass(frozen=True)
class _Job:
    """A run and where it is published."""

    name: str
    folder: Path  # of the run
    models: Path
    force: bool
    began_s: float  # of time.monotonic

    @property
    def runs(self) -> Path:
        return self.folder.parent

    @property
    def store(self) -> Path:
        return self.models / self.name


def _longer(context: click.Context, options: dict[str, Any]) -> dict[str, Any]:
    """The settings that extend a run. With --resume, any other setting is refused."""
    given = {key for key in context.params if _is_given(context, key)}
    for key in given - {"name", "runs", "models", "force", "resume", "epochs", "steps"}:
        flag = key.replace("_", "-")
        raise click.UsageError(f"--resume takes every setting from the run itself: leave out --{flag}.")
    longer = {key: options[key] for key in ("epochs", "steps") if key in given}
    return {"steps": 0} | longer if longer else {}


def _is_given(context: click.Context, key: str) -> bool:
    return context.get_parameter_source(key) == click.core.ParameterSource.COMMANDLINE


def _resumed(job: _Job, longer: dict[str, Any]) -> "tuple[Plan, TrainingRun]":
    """The run as it was saved, or with more steps to take."""
    before = Plan.load(job.folder)
    position = Position.of(job.folder, before)
    if not longer and position.is_finished and before.is_published_at(position.step):
        raise InputError(
            f"The run in {job.folder} is finished after {position.step:,} steps and published as {before.published}: "
            "nothing to resume. To extend it, add --epochs or --steps with its new total."
        )
    plan = replace(
        before,
        config=replace(before.config, **longer),
        published_step=before.published_step or (position.step if before.published else None),
    )
    corpus = before.open_corpus(job.folder)
    run = _made(plan, corpus, job, saved=True)
    run.restore()
    if longer:
        _extend(run, before, plan)
    return plan, run


def _extend(run: "TrainingRun", before: Plan, plan: Plan) -> None:
    """Record the new total of steps.

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


def _begun(context: click.Context, options: dict[str, Any], job: _Job) -> "tuple[Plan, TrainingRun]":
    """A new run at step 0. Whatever fails before its first checkpoint leaves the run of this name as it was."""
    if not options["corpus"]:
        raise click.UsageError("Missing option '--corpus': the text to learn from.")
    keeps_old = _keeps_old(job.folder, restart=options["restart"])
    if options["init_from"]:
        use_devices()  # to load the parent is to compute
    parent = published(job.models, *options["init_from"].split("/")) if options["init_from"] else None
    config = config_of(context, options, options["preset"], parent.manifest["config"] if parent else None)
    vocabulary, weights = (parent.vocabulary, parent.weights()) if parent else (None, None)
    start = f"{parent.manifest['name']}/{parent.manifest['version']}" if parent else None
    with next_corpus(job.folder) as aside:
        corpus = prepare(
            options["corpus"],
            config,
            aside,
            vocabulary=vocabulary,
            extend=parent is not None,
            selection=selection_of(options),
        )
        plan = Plan(config, options["corpus"], corpus.key, start)
        run = _made(plan, corpus, job, start_from=weights)
        if config.minutes:
            plan = _within_minutes(plan, run, job.began_s)
            run = _made(plan, corpus, job, start_from=weights)
        if keeps_old:
            click.echo(f"The finished run of this name is kept in {keep_as_old(job.folder)}.")
        else:
            discard(job.folder)
        adopt_corpus(aside, job.folder)
    run.save()  # before the plan: whatever is resumed begins with these weights
    plan.save(job.folder)
    for note in corpus.notes:
        click.echo(note)
    return plan, run


def _keeps_old(folder: Path, *, restart: bool) -> bool:
    """Whether there is a finished run, which is kept.

    Raises:
        InputError: there is an unfinished one, or one that cannot be read, and no --restart.
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


def _made(
    plan: Plan, corpus: Corpus, job: _Job, *, start_from: "NetworkWeights | None" = None, saved: bool = False
) -> "TrainingRun":
    """The run at step 0, if the disk has enough free space."""
    use_devices()
    with quietly():
        from training.learning.disk_space import require_disk_space
        from training.learning.run import TrainingRun

    require_disk_space(plan.config, len(corpus.vocabulary), job.store, run=job.folder, saved=saved)
    return TrainingRun(plan.config, corpus, job.folder, start_from=start_from)


def _within_minutes(plan: Plan, run: "TrainingRun", began_s: float) -> Plan:
    """The plan with as many steps as there is time for, measured with `run`, which cannot be used after it."""
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


def _finish(plan: Plan, run: "TrainingRun", job: _Job) -> None:
    """Take the run to its end and publish it."""
    with quietly():
        from training.commands.publishing import publish_run
        from training.learning.loop import train as take_to_the_end
        from training.learning.stages import Stopped

    click.echo(
        f"{len(run.corpus):,} {'bytes' if plan.config.unit == 'byte' else 'characters'}, "
        f"{len(run.corpus.vocabulary) - 1:,} of them distinct; "
        f"{run.parameters:,} parameters; step {run.step:,} of {run.total_steps:,}."
    )
    with stop_on_signal() as stop:
        run.stages.should_stop = stop
        try:
            if not take_to_the_end(run, stop):
                raise Stopped
            place = publish_run(run, plan, name=job.name, models=job.models, force=job.force)
        except Stopped:
            click.echo(f"Stopped at step {run.step:,} of {run.total_steps:,}; the run is saved. Go on with:", err=True)
            click.echo(command("train", "--name", job.name, "--resume", runs=job.runs, models=job.models), err=True)
            sys.exit(stop.exit_code)
    click.echo(f"Published {place}. Try: {command('sample', job.name, models=job.models)}")

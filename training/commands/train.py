"""`train`: a run from its flags, or from where it stopped, to a published version."""

import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from training.commands.hints import command
from training.commands.options import (
    corpus_help,
    model_name,
    models_option,
    published,
    runs_option,
    use_devices,
)
from training.data.corpus import Corpus, prepare
from training.errors import InputError
from training.flags import GroupedCommand, config_of, config_options
from training.learning.folder import CORPUS, Plan, discard, is_unfinished, locked
from training.presets import PRESETS
from training.release.store import NAME
from training.terminal import quietly, stop_on_signal

if TYPE_CHECKING:
    from training.learning.network import NetworkWeights

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
@click.option("--resume", is_flag=True, help="Go on with the run of this name; takes all its settings from there.")
@click.option("--restart", is_flag=True, help="Discard the unfinished run of this name and begin anew.")
@runs_option
@models_option
@click.pass_context
def train(context: click.Context, /, name: str, runs: Path, models: Path, **options: Any) -> None:
    """Train a model on your text and publish it as the next version."""
    folder = runs / name
    with locked(folder):
        if options["resume"]:
            _refuse_settings(context)
            plan = Plan.load(folder)
            if plan.published:
                raise InputError(f"The run in {folder} is finished, published as {plan.published}: nothing to resume.")
            _train(plan, plan.open_corpus(folder), name=name, folder=folder, models=models, resume=True)
        else:
            plan, corpus, weights = _planned(context, options, folder, models)
            _train(plan, corpus, name=name, folder=folder, models=models, resume=False, start_from=weights)


def _refuse_settings(context: click.Context) -> None:
    given = click.core.ParameterSource.COMMANDLINE
    own = {"name", "runs", "models", "resume"}
    for key in context.params:
        if key not in own and context.get_parameter_source(key) == given:
            flag = key.replace("_", "-")
            raise click.UsageError(f"--resume takes every setting from the run itself: leave out --{flag}.")


def _planned(
    context: click.Context, options: dict[str, Any], folder: Path, models: Path
) -> tuple[Plan, Corpus, "NetworkWeights | None"]:
    """The plan of a new run, its text and first weights. Of an old run only the copy of its text may be replaced."""
    if not options["corpus"]:
        raise click.UsageError("Missing option '--corpus': the text to learn from.")
    if not options["restart"] and is_unfinished(folder):
        raise InputError(f"{folder} holds an unfinished run: --resume goes on with it, --restart discards it.")
    if options["init_from"]:
        use_devices()  # to load the parent is to compute
    parent = published(models, *options["init_from"].split("/")) if options["init_from"] else None
    config = config_of(context, options, options["preset"], parent.manifest["config"] if parent else None)
    vocabulary, weights = (parent.vocabulary, parent.weights()) if parent else (None, None)
    corpus = prepare(options["corpus"], config, folder / CORPUS, vocabulary=vocabulary, extend=parent is not None)
    start = f"{parent.manifest['name']}/{parent.manifest['version']}" if parent else None
    return Plan(config, options["corpus"], corpus.key, start), corpus, weights


def _train(
    plan: Plan,
    corpus: Corpus,
    *,
    name: str,
    folder: Path,
    models: Path,
    resume: bool,
    start_from: "NetworkWeights | None" = None,
) -> None:
    use_devices()
    with quietly():
        from training.learning.run import TrainingRun
        from training.learning.run import train as take_to_the_end
        from training.release.publish import Release, publish

    run = TrainingRun(plan.config, corpus, folder, start_from=start_from)
    if resume:
        run.restore()
    else:
        discard(folder)
        run.save()  # before the plan: whatever is resumed begins with these weights
        plan.save(folder)
        for note in corpus.notes:
            click.echo(note)
    click.echo(
        f"{len(corpus):,} {'bytes' if plan.config.unit == 'byte' else 'characters'}, "
        f"{len(corpus.vocabulary) - 1:,} of them distinct; "
        f"{run.parameters:,} parameters; step {run.step:,} of {run.total_steps:,}."
    )
    with stop_on_signal() as should_stop:
        finished = take_to_the_end(run, should_stop)
    if not finished:
        click.echo(f"Stopped at step {run.step:,} of {run.total_steps:,}; the run is saved. Go on with:", err=True)
        click.echo(command("train", "--name", name, "--resume", runs=folder.parent, models=models), err=True)
        sys.exit(1)
    place = publish(Release(name, run.result(), plan.config, corpus, parent=plan.parent_of(name)), models)
    replace(plan, published=str(place)).save(folder)
    click.echo(f"Published {place}. Try: {command('sample', name, models=models)}")

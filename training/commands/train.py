"""`train`: trains a run to its end and publishes it."""

import sys
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from training.commands.hints import command
from training.commands.options import (
    corpus_help,
    force_option,
    model_name,
    models_option,
    runs_option,
    version_reference,
    version_references,
)
from training.commands.runs import Target, new_run, resumed_run
from training.commands.selection import selection_options
from training.commands.workers import begun, ended_together, follow_chief, joined, stopping
from training.files import require_writable
from training.flags import GroupedCommand, config_options
from training.learning.folder import Plan, locked
from training.learning.schedule import decay_note
from training.packages import is_installed, require
from training.presets import PRESETS
from training.release.remote import shown
from training.release.store import require_store
from training.terminal import quietly, stop_on_signal

if TYPE_CHECKING:
    from training.learning.budget import TimeLimit
    from training.learning.run import TrainingRun

# The flags that --resume accepts; all other settings are the run's own.
EXTENDING = ("epochs", "steps")
WITH_RESUME = {"name", "runs", "models", "force", "resume", "workers", "worker", *EXTENDING}


@click.command(cls=GroupedCommand)
@click.option(
    "--name", required=True, callback=model_name, help="Name of the run and of the model (char-rnn: savefile)."
)
@click.option("--corpus", multiple=True, help=f"{corpus_help} Or one folder or URL of encoded parts.")
@click.option("--preset", type=click.Choice(list(PRESETS)), help="Settings of an experiment; flags win over them.")
@click.option(
    "--init-from",
    metavar="NAME[/VERSION]",
    callback=version_reference,
    help="Published model to take the first weights from (char-rnn: init_from).",
)
@click.option(
    "--teachers",
    metavar="NAME[/VERSION],...",
    callback=version_references,
    help="Published models whose probabilities the model learns too; each has left out a part of this text.",
)
@config_options
@selection_options
@click.option(
    "--resume",
    is_flag=True,
    help="Continue the run of this name with its own settings; --epochs or --steps extend it.",
)
@click.option("--restart", is_flag=True, help="Discard an unfinished run of this name and start again.")
@click.option(
    "--workers",
    metavar="HOST:PORT,...",
    help="Addresses of all processes that train this run together; docs/scaling.md.  [default: TF_CONFIG's]",
)
@click.option("--worker", type=int, metavar="I", help="Index of this process among --workers; 0 saves and publishes.")
@force_option
@runs_option
@models_option
@click.pass_context
def train(context: click.Context, /, name: str, runs: Path, models: Path, **options: Any) -> None:
    """Train a model on your text and publish it as the next version."""
    require("tqdm")  # imported only after the text is encoded
    began_s = time.monotonic()
    longer = _longer(context, options) if options["resume"] else {}
    before = Plan.load(runs / name) if options["resume"] else None  # before the folder is locked, which creates it
    resumed = runs / name if options["resume"] and not longer else None
    replicas = before.replicas if before else None
    workers = joined(options.pop("workers"), options.pop("worker"), replicas, resumed)
    with ended_together(workers), ExitStack() as stack:
        target = Target(name, runs / name, models, options.pop("force"), began_s, workers)
        if workers is not None and not workers.is_chief:
            follow_chief(target)
            return

        def begin() -> "tuple[Plan, TrainingRun]":
            require_writable(target.folder, "--runs")
            require_store(target.models, target.name)
            stack.enter_context(locked(target.folder))
            return resumed_run(target, longer) if options["resume"] else new_run(context, options, target)

        _train_and_publish(*begun(workers, begin), target)


def _longer(context: click.Context, options: dict[str, Any]) -> dict[str, Any]:
    """The settings that extend a run.

    Raises:
        click.UsageError: another setting was given with --resume.
    """
    from_command_line = click.core.ParameterSource.COMMANDLINE
    given = {key for key in context.params if context.get_parameter_source(key) == from_command_line}
    for key in given - WITH_RESUME:
        flag = key.replace("_", "-")
        raise click.UsageError(f"--resume takes every setting from the run itself: leave out --{flag}.")
    longer = {key: options[key] for key in EXTENDING if key in given}
    return {"steps": 0, "minutes": 0.0} | longer if longer else {}


def _train_and_publish(plan: Plan, run: "TrainingRun", target: Target) -> None:
    with quietly():
        from training.learning.loop import train as train_to_the_end
        from training.learning.stages import Stopped

    click.echo(
        f"{len(run.corpus):,} {'bytes' if plan.config.unit == 'byte' else 'characters'}, "
        f"{len(run.corpus.vocabulary) - 1:,} of them distinct; "
        f"{run.parameters:,} parameters; step {run.step:,} of {run.total_steps:,}."
    )
    if note := decay_note(plan.config, run.steps_per_epoch):
        click.echo(note)
    if run.trainer.network.recurrent[0].is_stock:
        click.echo(f"Recurrent layers: {run.trainer.network.recurrence}.")
    with stop_on_signal() as stop:
        try:
            limit = time_limit(plan, run, target)
            if not train_to_the_end(run, stopping(target.workers, run, stop), limit=limit):
                raise Stopped
            run.stages.should_stop = stop
            plan = replace(plan, config=run.config)
            if target.workers is None:
                message = _published(plan, run, target)
            else:  # the others wait for the end
                message = target.workers.from_chief(lambda: {"message": _published(plan, run, target)})["message"]
        except Stopped:
            click.echo(
                f"Stopped at step {run.step:,} of {run.total_steps:,}; the run is saved. Resume it with:", err=True
            )
            folders = {"runs": target.runs, "models": target.models}
            click.echo(command("train", "--name", target.name, "--resume", **folders), err=True)
            sys.exit(stop.exit_code)
    click.echo(message)


def _published(plan: Plan, run: "TrainingRun", target: Target) -> str:
    """Publish the run, and return the sentence that ends the command."""
    if not is_installed("tensorflow"):
        return _publish_elsewhere(target)
    with quietly():
        from training.commands.publishing import publish_run
    version = publish_run(run, plan, name=target.name, models=target.models, force=target.force)
    return f"Published {shown(version)}. Try: {command('sample', target.name, models=target.models)}"


def time_limit(plan: Plan, run: "TrainingRun", target: Target) -> "TimeLimit | None":
    """The limit of a run with --minutes, None without. The time of each of its commands counts.

    Adds the time since this command began to that of the run's stages, which the checkpoint keeps for a resume.
    """
    from training.learning.budget import TimeLimit

    seconds = 60 * plan.config.minutes
    if not seconds:
        return None
    end_s = target.began_s + seconds - run.stages.elapsed_seconds
    run.stages.elapsed_seconds += time.monotonic() - target.began_s
    return TimeLimit(seconds, end_s, lambda config: replace(plan, config=config).save(run.folder))


def _publish_elsewhere(target: Target) -> str:
    """The sentences that end a run on a machine that can train and not publish."""
    folder = f"runs/{target.name}"
    return (
        f"Finished; the run is saved in {target.folder}. Publishing needs TensorFlow, which is not installed here: "
        f"copy this folder to {folder} on a machine that has it, and publish it there with:\n"
        f"python -m training publish {target.name} --from {folder}"
    )

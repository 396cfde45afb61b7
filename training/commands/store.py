"""`list`, `publish`, `rollback`, `prune`: the versions of a model, by hand."""

import sys
from pathlib import Path
from typing import Any

import click

from training.commands.options import UserPath, force_option, model_argument, models_option, use_devices
from training.errors import InputError
from training.files import require_writable
from training.learning.folder import CHECKPOINT, PLAN, Plan, locked
from training.release import store
from training.terminal import quietly, stop_on_signal

HEADER = f"{'model':24} {'version':>7} {'nats/char':>9} {'parent':>6} {'parameters':>12}  created"


@click.command("list")
@click.argument("name", required=False)
@models_option
def list_models(name: str | None, models: Path) -> None:
    """Name every published version, with its loss on the validation text of its time."""
    if name is not None:
        store.version_folder(models, name)  # or it says that there is none
    rows = [
        _row(model, version, models)
        for model in ([name] if name else store.names(models))
        for version in store.versions(models, model)
    ]
    click.echo("\n".join([HEADER, *rows]) if rows else f"There is no model in {models} yet.")


@click.command()
@model_argument
@click.option(
    "--from",
    "run",
    required=True,
    type=UserPath(path_type=Path, exists=True, file_okay=False),
    help="Folder of the run, finished or not: the best weights so far are published.",
)
@force_option
@models_option
def publish(name: str, run: Path, models: Path, force: bool) -> None:
    """Publish what a run has learned so far; an unfinished run can still be resumed."""
    require_writable(models / name, "--models")
    if not (run / PLAN).exists():
        raise InputError(f"{run} is not the folder of a run: it has no {PLAN}.")
    with locked(run):
        plan = Plan.load(run)
        if not (run / CHECKPOINT).exists():
            raise InputError(f"The run in {run} has learned nothing yet: it has no {CHECKPOINT}.")
        use_devices()
        with quietly():
            from training.commands.publishing import publish_run
            from training.learning.disk_space import require_disk_space
            from training.learning.run import TrainingRun
            from training.learning.stages import Stopped

        corpus = plan.open_corpus(run)
        require_disk_space(plan.config, len(corpus.vocabulary), models / name)
        training_run = TrainingRun(plan.config, corpus, run)
        training_run.restore()
        if training_run.best is None:
            raise InputError(f"The run in {run} was never evaluated, so it has no best weights yet: go on with it.")
        with stop_on_signal() as stop:
            training_run.stages.should_stop = stop
            try:
                place = publish_run(training_run, plan, name=name, models=models, force=force)
            except Stopped:
                click.echo("Stopped; nothing was published.", err=True)
                sys.exit(stop.exit_code)
    more = "" if training_run.is_finished else "; --resume goes on with the run"
    click.echo(f"Published {place}, from step {training_run.step:,} of {training_run.total_steps:,}{more}.")


@click.command()
@model_argument
@click.option("--to", type=click.IntRange(min=1), help="Version that is to serve again.  [default: the one before]")
@models_option
def rollback(name: str, to: int | None, models: Path) -> None:
    """Withdraw the newest version, or all above --to: the service goes back at its next look into the store."""
    store.version_folder(models, name)
    *before, newest = store.versions(models, name)
    if to is None and not before:
        raise InputError(f"{name} has only version {newest}: there is none to go back to.")
    target = before[-1] if to is None else to
    if target == newest:
        raise InputError(f"Version {newest} of {name} is the newest: there is nothing to roll back.")
    folder = store.version_folder(models, name, str(target))
    with quietly():
        from training.release.published import is_valid

    if not is_valid(folder):
        raise InputError(f"Version {target} of {name} is broken, and the service would refuse it: choose another --to.")
    withdrawn = store.withdraw(models, name, target)
    click.echo(f"Withdrawn: {', '.join(map(str, withdrawn))}. Version {target} of {name} serves again.")


@click.command()
@model_argument
@click.option("--keep", type=click.IntRange(min=1), default=5, help="Newest versions to keep.")
@models_option
def prune(name: str, keep: int, models: Path) -> None:
    """Delete old versions, never the one that serves; and what was withdrawn."""
    store.version_folder(models, name)
    with quietly():
        from training.release.published import newest_valid

    gone = store.prune(models, name, keep=keep, spare=newest_valid(models, name))
    click.echo(f"Deleted: {', '.join(map(str, gone))}." if gone else "There was nothing to delete.")


def _row(model: str, version: int, models: Path) -> str:
    try:
        return _described(store.manifest_of(models / model / str(version)))
    except InputError as error:
        return f"{model:24} {version:7} {error}"
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return f"{model:24} {version:7} Its manifest is damaged: {type(error).__name__} {error}."


def _described(manifest: dict[str, Any]) -> str:
    loss = manifest["metrics"].get("validation", {}).get("nats_per_char")
    shown = "" if loss is None else f"{loss:.4f}"
    return (
        f"{manifest['name']:24} {manifest['version']:7} {shown:>9} {manifest['parent'] or '':>6} "
        f"{manifest['parameters']:12,}  {manifest['created']}"
    )

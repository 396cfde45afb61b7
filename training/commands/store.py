"""`list`, `publish`, `rollback`, `prune`: the published versions of a model."""

import sys
from pathlib import Path
from typing import Any

import click

from training.commands.options import UserPath, force_option, model_argument, model_name, models_option, use_devices
from training.errors import InputError
from training.learning.folder import CHECKPOINT, PLAN, Plan, locked
from training.packages import check_backend
from training.release import store
from training.release.remote import shown
from training.terminal import quietly, stop_on_signal

HEADER = f"{'model':24} {'version':>7} {'nats/symbol':>11} {'parent':>6} {'parameters':>12}  created"


def _name_if_given(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    return None if value is None else model_name(context, parameter, value)


@click.command("list")
@click.argument("name", required=False, callback=_name_if_given)
@models_option
def list_models(name: str | None, models: Path) -> None:
    """List the published versions, each with its loss on its own validation text."""
    if name is not None:
        store.version_number(models, name)  # an error without such a model
    rows = [
        _row(model, version, models)
        for model in ([name] if name else store.names(models))
        for version in store.versions(models, model)
    ]
    click.echo("\n".join([HEADER, *rows]) if rows else f"There is no model in {shown(models)} yet.")


@click.command()
@model_argument
@click.option(
    "--from",
    "source",
    required=True,
    type=UserPath(path_type=Path, exists=True, file_okay=False),
    help="Folder of the run, finished or not, or of a published version.",
)
@force_option
@models_option
def publish(name: str, source: Path, models: Path, force: bool) -> None:
    """Publish the best weights of a run so far, or a published version again.

    An unfinished run can still be resumed. A version that is published again has the same weights, so the same text
    for a seed, and the functions of this release of Charloom.
    """
    store.require_store(models, name)
    if (source / store.MANIFEST).exists():
        _republish(name, source, models)
    elif (source / PLAN).exists():
        _publish_run(name, source, models, force=force)
    else:
        raise InputError(f"{source} is not the folder of a run or a version: it has no {PLAN} or {store.MANIFEST}.")


def _republish(name: str, version: Path, models: Path) -> None:
    check_backend()
    with quietly():
        from training.release.publish import republish
        from training.release.published import is_valid

    if not is_valid(version):
        raise InputError(f"{version} is damaged: it does not load, or does not repeat its probe.")
    click.echo(f"Published {shown(republish(version, name, models))}, with the weights of {version}.")


def _publish_run(name: str, run: Path, models: Path, *, force: bool) -> None:
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
        training_run = TrainingRun(plan.config, corpus, run, teachers=plan.open_teachers(run))
        training_run.restore()
        if training_run.best is None:
            raise InputError(f"The run in {run} was never evaluated, so it has no best weights yet: resume it first.")
        with stop_on_signal() as stop:
            training_run.stages.should_stop = stop
            try:
                place = publish_run(training_run, plan, name=name, models=models, force=force)
            except Stopped:
                click.echo("Stopped; nothing was published.", err=True)
                sys.exit(stop.exit_code)
    more = "" if training_run.is_finished else "; --resume goes on with the run"
    click.echo(f"Published {shown(place)}, from step {training_run.step:,} of {training_run.total_steps:,}{more}.")


@click.command()
@model_argument
@click.option("--to", type=click.IntRange(min=1), help="Version to return to.  [default: the one before the newest]")
@models_option
def rollback(name: str, to: int | None, models: Path) -> None:
    """Withdraw the newest version, or all above --to.

    A running service returns to the version before them within seconds.
    """
    check_backend()
    store.version_number(models, name)
    *before, newest = store.versions(models, name)
    if to is None and not before:
        raise InputError(f"{name} has only version {newest}: there is no version to return to.")
    target = before[-1] if to is None else to
    if target == newest:
        raise InputError(f"Version {newest} of {name} is the newest version already.")
    folder = store.version_folder(models, name, str(target))
    with quietly():
        from training.release.published import is_valid

    if not is_valid(folder):
        raise InputError(
            f"Version {target} of {name} is damaged, and the service would refuse it: choose another --to."
        )
    withdrawn = store.withdraw(models, name, target)
    click.echo(f"Withdrawn: {', '.join(map(str, withdrawn))}. Version {target} of {name} is served again.")


@click.command()
@model_argument
@click.option("--keep", type=click.IntRange(min=1), default=5, help="Newest versions to keep.")
@models_option
def prune(name: str, keep: int, models: Path) -> None:
    """Delete all but the newest versions, and withdrawn ones.

    The served version is never deleted.
    """
    check_backend()
    store.version_number(models, name)
    with quietly():
        from training.release.published import newest_valid

    gone = store.prune(models, name, keep=keep, spare=newest_valid(models, name))
    click.echo(f"Deleted: {', '.join(map(str, gone))}." if gone else "There was nothing to delete.")


def _row(model: str, version: int, models: Path) -> str:
    try:
        return _described(store.listed_manifest(models, model, version))
    except InputError as error:
        return f"{model:24} {version:7} {error}"
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return f"{model:24} {version:7} Its manifest is damaged: {type(error).__name__} {error}."


def _described(manifest: dict[str, Any]) -> str:
    loss = manifest["metrics"].get("validation", {}).get("nats_per_char")
    shown = "" if loss is None else f"{loss:.4f}"
    return (
        f"{manifest['name']:24} {manifest['version']:7} {shown:>11} {manifest['parent'] or '':>6} "
        f"{manifest['parameters']:12,}  {manifest['created']}"
    )

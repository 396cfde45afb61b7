"""What several commands take, and how they open a published model."""

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import click

from training.release.store import NAME, version_folder
from training.terminal import quietly

if TYPE_CHECKING:
    from training.release.published import PublishedModel

corpus_help = (
    "A file (also .gz .bz2 .xz .zip .tar), a folder, a glob pattern or - for stdin; repeat the flag for several."
)


def model_name(context: click.Context, parameter: click.Parameter, value: str) -> str:
    """A click callback."""
    if not re.fullmatch(NAME, value):
        raise click.BadParameter(
            f"{value!r} must be 1 to 64 of a-z, 0-9, '.', '_', '-', and begin with a letter or digit."
        )
    return value


models_option = click.option(
    "--models",
    type=click.Path(path_type=Path, file_okay=False),
    default="models",
    help="Folder of published models.",
)
runs_option = click.option(
    "--runs",
    type=click.Path(path_type=Path, file_okay=False),
    default="runs",
    help="Folder of runs.",
)
model_argument = click.argument("name", callback=model_name)


def published(models: Path, name: str, version: str | None = None) -> "PublishedModel":
    """Load a version of a model, by default the newest, without what TensorFlow has to say."""
    with quietly():
        from training.release.published import PublishedModel

    return PublishedModel(version_folder(models, name, version))


@cache
def use_devices() -> None:
    """Set this process up for training: once, and before anything is computed."""
    with quietly():
        from training.learning import backend

    backend.use_devices()

"""What several commands take, and how they open a published model."""

import os
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from training.release.store import NAME, proposed_name, version_folder
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
            f"{value!r} must be 1 to 64 of a-z, 0-9, '.', '_', '-', and begin with a letter or digit, "
            f"for example {proposed_name(value)}."
        )
    return value


class UserPath(click.Path):
    """A path; `~` stands for the home folder also where the shell does not replace it, as in --runs=~/runs."""

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        """A click type's conversion."""
        return super().convert(os.path.expanduser(value), parameter, context)


models_option = click.option(
    "--models",
    type=UserPath(path_type=Path, file_okay=False),
    default="models",
    help="Folder of published models.",
)
runs_option = click.option(
    "--runs",
    type=UserPath(path_type=Path, file_okay=False),
    default="runs",
    help="Folder of runs.",
)
force_option = click.option(
    "--force", is_flag=True, help="Publish also a version that loses more than a unigram model or the one that serves."
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

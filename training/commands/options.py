"""Flags and arguments that several commands share, and how commands open a published model."""

import math
import os
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from training.errors import InputError, ReportedError
from training.object_storage import is_url
from training.packages import check_backend
from training.release.remote import working_copy
from training.release.store import NAME, NAME_RULE, proposed_name, version_folder
from training.terminal import quietly

if TYPE_CHECKING:
    from training.release.published import PublishedModel

corpus_help = (
    "Text: a file (also .gz .bz2 .xz .zip .tar), a folder, a glob pattern, the URL of a bucket or - for stdin; "
    "repeat the flag for several."
)
VERSION_REFERENCE = re.compile(NAME + r"(/[1-9][0-9]*)?")


class FiniteRange(click.FloatRange):
    """A finite number in a range. click.FloatRange accepts nan, which is neither below nor above a limit."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Refuse nan and infinity, then convert as click.FloatRange does."""
        number = click.FLOAT.convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number in the range {self._describe_range()}.", param, ctx)
        return super().convert(number, param, ctx)


def model_name(context: click.Context, parameter: click.Parameter, value: str) -> str:
    """A click callback that refuses an invalid name, and proposes a valid one that is similar."""
    if not re.fullmatch(NAME, value):
        similar = proposed_name(value)
        example = f", for example {similar}" if similar else ""
        raise click.BadParameter(f"{value!r} must be {NAME_RULE}{example}.")
    return value


class UserPath(click.Path):
    """A path. `~` is the home folder even where the shell does not expand it, as in --runs=~/runs."""

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        """Refuse an empty path, which would mean the working directory; expand `~`; convert as click.Path does."""
        if not value:
            self.fail("the path must not be empty.", parameter, context)
        return super().convert(os.path.expanduser(value), parameter, context)


def version_reference(context: click.Context, parameter: click.Parameter, value: str | None) -> str | None:
    """A click callback that refuses a value that is not NAME or NAME/VERSION."""
    if value is not None and not VERSION_REFERENCE.fullmatch(value):
        raise click.BadParameter(f"{value!r} must be NAME or NAME/VERSION of a published model.")
    return value


def version_references(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[str, ...]:
    """A click callback that splits a list of NAME or NAME/VERSION at its commas, and refuses other values."""
    references = tuple(value.split(",")) if value is not None else ()
    for reference in references:
        version_reference(context, parameter, reference)
    return references


class ModelsPath(UserPath):
    """The folder of published models. A URL of a bucket becomes the working copy of the bucket."""

    def convert(self, value: Any, parameter: click.Parameter | None, context: click.Context | None) -> Any:
        """Open the bucket, or convert as UserPath does."""
        if isinstance(value, str) and is_url(value):
            return working_copy(value)
        return super().convert(value, parameter, context)


models_option = click.option(
    "--models",
    type=ModelsPath(path_type=Path, file_okay=False),
    default="models",
    help="Folder of published models, or the URL of a bucket: s3://bucket/prefix, gs://... or az://...",
)
runs_option = click.option(
    "--runs",
    type=UserPath(path_type=Path, file_okay=False),
    default="runs",
    help="Folder of runs.",
)
force_option = click.option(
    "--force",
    is_flag=True,
    help="Publish even a version that is worse than a unigram model or than the served version.",
)
model_argument = click.argument("name", callback=model_name)


def published(models: Path, name: str, version: str | None = None, *, precision: str = "float32") -> "PublishedModel":
    """Load a version of a model, by default the newest, with TensorFlow's output hidden.

    Raises:
        InputError: there is no such version, or it is damaged.
    """
    check_backend()
    with quietly():
        from training.release.published import PublishedModel

    folder = version_folder(models, name, version)
    try:
        return PublishedModel(folder, precision)
    except (ReportedError, MemoryError):
        raise
    except Exception as error:  # TensorFlow's errors of damaged files have many types
        raise InputError(f"{folder} is damaged ({type(error).__name__}: {error}): withdraw or remove it.") from error


@cache
def use_devices(replicas: int | None = None) -> None:
    """Set up the devices of this process, once, before anything is computed: for a run, with its replicas."""
    check_backend()
    with quietly():
        from training.learning import backend

    backend.use_devices(replicas)

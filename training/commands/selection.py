"""The flags that choose files of a corpus."""

from collections.abc import Callable, Mapping
from typing import Any

import click

from training.data.selection import Selection

_PATTERN = "a name, or a path within the folder if it has a slash; ** matches any folders; repeat the flag for several."


def selection_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --include, --exclude and --skip-unreadable to a command."""
    for option in (
        click.option(
            "--skip-unreadable", is_flag=True, help="Leave out files that cannot be read as text, and list them."
        ),
        click.option("--exclude", multiple=True, metavar="GLOB", help=f"Leave out these files and folders: {_PATTERN}"),
        click.option("--include", multiple=True, metavar="GLOB", help=f"Read only these files and folders: {_PATTERN}"),
    ):
        command = option(command)
    return command


def selection_of(options: Mapping[str, Any]) -> Selection:
    """The selection that the values of these flags make."""
    return Selection(options["include"], options["exclude"], options["skip_unreadable"])

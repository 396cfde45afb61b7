"""The flags that choose files of a corpus, and what they choose."""

from collections.abc import Callable, Mapping
from typing import Any

import click

from training.data.selection import Selection

_PATTERN = "a name, or with a slash a path within the folder; ** stands for any folders; repeat the flag for several."


def selection_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command --include, --exclude and --skip-unreadable."""
    for option in (
        click.option("--skip-unreadable", is_flag=True, help="Leave out and list files that are no readable text."),
        click.option("--exclude", multiple=True, metavar="GLOB", help=f"Leave out the files and folders of {_PATTERN}"),
        click.option("--include", multiple=True, metavar="GLOB", help=f"Read only the files and folders of {_PATTERN}"),
    ):
        command = option(command)
    return command


def selection_of(options: Mapping[str, Any]) -> Selection:
    """The selection that these flags make."""
    return Selection(options["include"], options["exclude"], options["skip_unreadable"])

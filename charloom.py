#!/usr/bin/env python3
"""The command `charloom`: `serve` starts the service, and every other command is one of training.

Imports neither package to start, so that each works where the other is not installed, as in the image of the service.
"""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

import click


@click.command()
@click.option("--models", metavar="FOLDER", help="Folder of published models.  [default: $CHARLOOM_MODELS, or models]")
@click.option("--port", type=click.IntRange(1, 65535), help="Port to listen on.  [default: $PORT, or 8000]")
def serve(models: str | None, port: int | None) -> None:
    """Serve published models over HTTP.

    Every other setting is an environment variable, CHARLOOM_HOST for example; docs/http.md lists them.
    """
    package = find_spec("service")
    if package is None or package.origin is None:
        raise click.ClickException("charloom serve needs the package service, which is not installed here.")
    given = {"CHARLOOM_MODELS": models, "PORT": port}
    settings = {name: str(value) for name, value in given.items() if value is not None}
    config = Path(package.origin).with_name("gunicorn.conf.py")
    # The server takes the place of this process, so that it gets every signal itself.
    command = [sys.executable, "-m", "gunicorn", "--config", str(config)]
    os.execve(sys.executable, command, os.environ | settings)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def without_training() -> None:
    """Serve character-level recurrent networks. To train them, install the package training too."""


def main() -> None:
    """Run one command."""
    without_training.add_command(serve)
    if sys.argv[1:2] == ["serve"] or find_spec("training") is None:
        without_training(prog_name="charloom")
    else:
        from training.__main__ import main as run

        run(serve)


if __name__ == "__main__":
    main()

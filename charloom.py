#!/usr/bin/env python3
"""The command `charloom`: `serve` starts the service, `client` asks one, and every other command is one of training.

Imports neither package to start, so that each works where the other is not installed, as in the image of the service.
"""

import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import click

if TYPE_CHECKING:
    from service.client import Client

INTERRUPTED = 130  # the exit code that shells expect after Ctrl-C


@click.command()
@click.option(
    "--models",
    metavar="FOLDER",
    help="Folder of published models, or the URL of a bucket.  [default: $CHARLOOM_MODELS, or models]",
)
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


@click.group()
def client() -> None:
    """Ask a running service over HTTP."""


def connection_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options of every command that asks a service."""
    url = click.option("--url", default="http://localhost:8000", show_default=True, help="Address of the service.")
    key = click.option("--key", envvar="CHARLOOM_KEY", help="API key.  [default: $CHARLOOM_KEY]")
    return url(key(command))


@contextmanager
def connected(url: str, key: str | None) -> Iterator["Client"]:
    """A client. Its errors end the command with one sentence, and Ctrl-C ends it without one."""
    try:
        from service.client import CharloomError, Client
    except ModuleNotFoundError:
        raise click.ClickException("charloom client needs the package service, which is not installed here.") from None
    try:
        service = Client(url, key)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal may lack a character
    try:
        yield service
    except CharloomError as error:
        raise click.ClickException(str(error)) from error
    except KeyboardInterrupt:
        click.echo()
        sys.exit(INTERRUPTED)


@client.command()
@click.argument("prompt", default="")
@click.option("--model", help="Name of the model.  [default: the service's]")
@click.option("--version", type=int, help="Version of the model.  [default: the newest]")
@click.option("--length", type=int, help="Characters to generate.  [default: 500]")
@click.option("--temperature", type=float, help="0: always the most likely character.  [default: 1]")
@click.option("--top-k", type=int, help="Sample from the k most likely characters.  [default: 0, all]")
@click.option("--top-p", type=float, help="Sample from the likeliest that add up to p.  [default: 1, all]")
@click.option("--seed", type=int, help="The same seed gives the same text.  [default: random]")
@click.option("--stop", multiple=True, metavar="TEXT", help="Text that ends the generation; may be repeated.")
@connection_options
def generate(prompt: str, url: str, key: str | None, stop: tuple[str, ...], **params: Any) -> None:
    """Print text as a model generates it: PROMPT (default: empty) continued."""
    with connected(url, key) as service, service.stream(prompt, stop=list(stop), **params) as stream:
        click.echo(prompt, nl=False)
        for character in stream:
            click.echo(character.text, nl=False)
        click.echo()
        assert stream.completion is not None
        click.echo(f"seed {stream.completion.seed}", err=True)


@client.command()
@click.argument("file", type=click.File("rb"), default="-")
@click.option("--model", help="Name of the model.  [default: the service's]")
@click.option("--version", type=int, help="Version of the model.  [default: the newest]")
@connection_options
def score(file: BinaryIO, url: str, key: str | None, **params: Any) -> None:
    """Print the loss of a model on the text in FILE, in UTF-8 (default: standard input)."""
    try:
        text = file.read().decode()
    except UnicodeDecodeError as error:
        raise click.ClickException(f"{file.name} is not UTF-8: byte {error.start + 1} is invalid.") from None
    with connected(url, key) as service:
        scored = service.score(text, **params)
        if scored["finish_reason"] != "length":
            message = f"The service ran out of time after {scored['chars']:,} of {len(text):,} characters."
            raise click.ClickException(message)
        click.echo(
            f"{scored['model']} {scored['version']}: {scored['nats_per_char']:.4f} nats/char, "
            f"{scored['bits_per_char']:.4f} bits/char, perplexity {scored['perplexity']:.3f}, "
            f"{scored['chars']:,} characters, {scored['unknown_chars']:,} unknown"
        )


@client.command()
@connection_options
def models(url: str, key: str | None) -> None:
    """List the models and versions of a service."""
    with connected(url, key) as service:
        listed = service.models()
        for model in listed["models"]:
            default = " (default)" if model["name"] == listed["default"] else ""
            for version in model["versions"]:
                served = " (served)" if version["version"] == model["served"] else ""
                refused = f" (refused: {version['refused']})" if version["refused"] else ""
                click.echo(f"{model['name']}{default} {version['version']}{served}{refused}")


@client.command()
@connection_options
def health(url: str, key: str | None) -> None:
    """Print whether a service is ready; exit code 1 if it is not."""
    with connected(url, key) as service:
        status = service.health()
        click.echo(f"{status['status']}: {status['model']} {status['version']}")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def without_training() -> None:
    """Serve character-level recurrent networks. To train them, install the package training too."""


def main() -> None:
    """Run one command."""
    without_training.add_command(serve)
    without_training.add_command(client)
    if sys.argv[1:2] in (["serve"], ["client"]) or find_spec("training") is None:
        without_training(prog_name="charloom")
    else:
        from training.__main__ import main as run

        run(serve, client)


if __name__ == "__main__":
    main()

"""`sample`: text from a published version or from a run."""

import os
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import click

from training.commands.options import (
    FiniteRange,
    UserPath,
    models_option,
    published,
    use_devices,
    version_reference,
)
from training.errors import InputError
from training.terminal import quietly

if TYPE_CHECKING:
    from training.release.published import PublishedModel

MAX_SEED = 2**63 - 1
MAX_UNKNOWN_SHOWN = 10


@click.command()
@click.argument("name", metavar="[NAME[/VERSION]]", required=False, callback=version_reference)
@click.option("--prompt", default="", help="Text to continue (char-rnn: primetext).")
@click.option("--prompt-file", metavar="FILE", help="UTF-8 file with the prompt; -: stdin.")
@click.option(
    "--temperature",
    type=FiniteRange(0, 5),
    default=1.0,
    help="Sampling temperature; 0: always the most likely character.",
)
@click.option(
    "--top-k",
    type=click.IntRange(0, 2**31 - 1),
    default=0,
    help="Sample from the k most likely characters; 0: from all.",
)
@click.option(
    "--top-p",
    type=FiniteRange(0, 1, min_open=True),
    default=1.0,
    help="Sample from the most likely characters whose probabilities add up to p; 1: from all.",
)
@click.option("--length", type=click.IntRange(min=1), default=500, help="Characters to generate (char-rnn: length).")
@click.option("--seed", type=click.IntRange(0, MAX_SEED), help="The same seed gives the same text.  [default: random]")
@click.option(
    "--count", type=click.IntRange(min=1), default=1, help="Texts to generate, with the seeds seed, seed+1, ..."
)
@click.option(
    "--run",
    type=UserPath(path_type=Path, exists=True, file_okay=False),
    help="Folder of a run, whose best weights so far are used instead of a published model.",
)
@models_option
def sample(
    name: str | None,
    prompt: str,
    prompt_file: str | None,
    seed: int | None,
    count: int,
    run: Path | None,
    models: Path,
    **rule: float,
) -> None:
    """Generate text with a published model, by default its newest version, or with a run."""
    if (name is None) == (run is None):
        raise click.UsageError("Give either NAME of a published model or --run FOLDER.")
    if prompt_file is not None and prompt:
        raise click.UsageError("Give either --prompt or --prompt-file.")
    seed = int.from_bytes(os.urandom(7)) if seed is None else seed
    if seed + count - 1 > MAX_SEED:
        raise click.UsageError(f"--seed {seed} with --count {count} exceeds the highest seed, {MAX_SEED}.")
    content = None if prompt_file is None else _read(prompt_file)
    model = _of_run(run) if run else published(models, *str(name).split("/"))
    if content is not None:
        prompt = _as_prompt(content, str(prompt_file), model.vocabulary.unit)
    _warn_of_unknown(model.unknown(prompt), model.vocabulary.unit)
    for each in range(seed, seed + count):
        click.echo(prompt, nl=False)
        for text in model.generate(prompt, seed=each, **rule):  # type: ignore[arg-type]  # length is an int
            click.echo(text, nl=False)
            sys.stdout.flush()
        click.echo()
        click.echo(f"seed {each}", err=True)


def _of_run(folder: Path) -> "PublishedModel":
    use_devices()
    with quietly():
        from training.release.unpublished import model_of_run

    return model_of_run(folder)


def _read(path: str) -> bytes:
    if path == "-":
        if sys.stdin is None:  # closed, as by <&-
            raise InputError("--prompt-file - needs standard input, which is closed.")
        return sys.stdin.buffer.read()
    try:
        return Path(path).expanduser().read_bytes()
    except OSError as error:
        raise InputError(f"--prompt-file {path} cannot be read: {error.strerror}.") from error


def _as_prompt(content: bytes, path: str, unit: str) -> str:
    """The text of a prompt file, normalized as a corpus is: no byte order mark, and LF at the ends of lines."""
    try:
        text = content.decode("utf-8" if unit == "byte" else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"--prompt-file {path} is not UTF-8: byte {error.start:,} cannot be decoded.") from error
    return text if unit == "byte" else text.replace("\r\n", "\n").replace("\r", "\n")


def _warn_of_unknown(unknown: Counter[str], unit: str) -> None:
    """Print the characters of the prompt that the model does not know, if any."""
    if not unknown:
        return
    noun = ("byte" if unit == "byte" else "character") + ("s" if unknown.total() > 1 else "")
    shown = ", ".join(f"{symbol} ({count:,})" for symbol, count in unknown.most_common(MAX_UNKNOWN_SHOWN))
    more = f" and {len(unknown) - MAX_UNKNOWN_SHOWN:,} more" if len(unknown) > MAX_UNKNOWN_SHOWN else ""
    click.echo(f"Warning: the model does not know {unknown.total():,} {noun} of the prompt: {shown}{more}.", err=True)

"""What is done with a model or a run that is there: write from it, judge it, look at how it learned."""

import os
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from training.commands.options import (
    FiniteRange,
    corpus_help,
    model_name,
    models_option,
    published,
    runs_option,
    use_devices,
    version_reference,
)
from training.commands.selection import selection_of, selection_options
from training.errors import InputError
from training.terminal import quietly

if TYPE_CHECKING:
    from training.release.published import PublishedModel

MAX_SEED = 2**63 - 1
UNKNOWN_SHOWN = 10  # distinct characters that a warning names


@click.command()
@click.argument("name", metavar="[NAME[/VERSION]]", required=False, callback=version_reference)
@click.option("--prompt", default="", help="Text to continue.")
@click.option("--prompt-file", metavar="FILE", help="Read the prompt from this UTF-8 file, or from stdin (-).")
@click.option("--temperature", type=FiniteRange(0, 5), default=1.0, help="0: the likeliest character always.")
@click.option(
    "--top-k", type=click.IntRange(0, 2**31 - 1), default=0, help="Sample from the k likeliest characters; 0: from all."
)
@click.option(
    "--top-p",
    type=FiniteRange(0, 1, min_open=True),
    default=1.0,
    help="Sample from the fewest characters whose probabilities reach p; 1: from all.",
)
@click.option("--length", type=click.IntRange(min=1), default=500, help="Characters to write.")
@click.option("--seed", type=click.IntRange(0, MAX_SEED), help="Same seed, same text.  [default: drawn]")
@click.option("--count", type=click.IntRange(min=1), default=1, help="Texts to write: with seed, seed+1, and so on.")
@click.option(
    "--run",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Sample from the best weights so far of the run in this folder, instead of from a published model.",
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
    """Write text to the terminal, from a published model (its newest version if none is named) or from a run."""
    if (name is None) == (run is None):
        raise click.UsageError("Give either NAME of a published model or --run FOLDER.")
    if prompt_file is not None and prompt:
        raise click.UsageError("Give either --prompt or --prompt-file.")
    seed = int.from_bytes(os.urandom(7)) if seed is None else seed
    if seed + count - 1 > MAX_SEED:
        raise click.UsageError(f"--seed {seed} and --count {count} pass the highest seed, {MAX_SEED}.")
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


@click.command()
@click.argument("name", metavar="NAME[/VERSION]", callback=version_reference)
@click.option("--corpus", required=True, multiple=True, help=corpus_help)
@click.option("--encoding", default="utf-8", help="Encoding of the files.")
@selection_options
@click.option(
    "--part",
    "parts",
    multiple=True,
    type=click.Choice(["train", "validation", "test"]),
    help="Part to read of the corpus that the model was trained on; repeat the flag for several.  "
    "[default: validation and, if there is one, test]",
)
@models_option
def evaluate(
    name: str, corpus: tuple[str, ...], encoding: str, parts: tuple[str, ...], models: Path, **options: Any
) -> None:
    """Say how well a version, by default the newest, predicts a text, its state carried through all of it."""
    model = published(models, *name.split("/"))  # first: it loads TensorFlow, quietly
    from training.release.score import score

    for part, loss, unknown in score(model, corpus, encoding=encoding, parts=parts, selection=selection_of(options)):
        click.echo(
            f"{model.manifest['name']} {model.manifest['version']}, {part}: {loss.nats_per_char:.4f} nats/char, "
            f"{loss.bits_per_char:.4f} bits/char, perplexity {loss.perplexity:.3f}, "
            f"{loss.characters:,} characters, {unknown:,} unknown"
        )


def _names(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(model_name(context, parameter, value) for value in values))


@click.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True, callback=_names)
@runs_option
def report(names: tuple[str, ...], runs: Path) -> None:
    """Write one page about a run: loss curves, n-gram baselines, the samples as they evolved.

    Of several runs, the page shows their curves together; it is written to report.html in --runs.
    """
    from training.report.compare import write_comparison
    from training.report.write import write_report

    folders = [runs / name for name in names]
    click.echo(f"Wrote {write_report(folders[0]) if len(folders) == 1 else write_comparison(folders, runs)}")


def _of_run(folder: Path) -> "PublishedModel":
    use_devices()
    with quietly():
        from training.release.unpublished import model_of_run

    return model_of_run(folder)


def _read(path: str) -> bytes:
    if path == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(path).expanduser().read_bytes()
    except OSError as error:
        raise InputError(f"--prompt-file {path} cannot be read: {error.strerror}.") from error


def _as_prompt(content: bytes, path: str, unit: str) -> str:
    """The text of a prompt file, read as training reads a corpus: without byte order mark, lines ending in LF."""
    try:
        text = content.decode("utf-8" if unit == "byte" else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"--prompt-file {path} is not UTF-8: byte {error.start:,} cannot be decoded.") from error
    return text if unit == "byte" else text.replace("\r\n", "\n").replace("\r", "\n")


def _warn_of_unknown(unknown: Counter[str], unit: str) -> None:
    """A prompt in another alphabet than the corpus tells the model nothing: say so."""
    if not unknown:
        return
    noun = ("byte" if unit == "byte" else "character") + ("s" if unknown.total() > 1 else "")
    shown = ", ".join(f"{symbol} ({count:,})" for symbol, count in unknown.most_common(UNKNOWN_SHOWN))
    more = f" and {len(unknown) - UNKNOWN_SHOWN:,} more" if len(unknown) > UNKNOWN_SHOWN else ""
    click.echo(f"Warning: the model does not know {unknown.total():,} {noun} of the prompt: {shown}{more}.", err=True)

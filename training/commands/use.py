"""What is done with a model or a run that is there: write from it, judge it, look at how it learned."""

import os
import sys
from pathlib import Path
from typing import Any

import click

from training.commands.options import corpus_help, model_argument, models_option, published, runs_option
from training.commands.selection import selection_of, selection_options


@click.command()
@model_argument
@click.option("--prompt", default="", help="Text to go on from.")
@click.option("--temperature", type=click.FloatRange(0, 5), default=1.0, help="0: the likeliest character always.")
@click.option("--length", type=click.IntRange(min=1), default=500, help="Characters to write.")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), help="Same seed, same text.  [default: drawn]")
@models_option
def sample(name: str, prompt: str, temperature: float, length: int, seed: int | None, models: Path) -> None:
    """Write text to the terminal, from the newest version of a published model."""
    model = published(models, name)
    seed = int.from_bytes(os.urandom(7)) if seed is None else seed
    click.echo(prompt, nl=False)
    for text in model.generate(prompt, length=length, temperature=temperature, seed=seed):
        click.echo(text, nl=False)
        sys.stdout.flush()
    click.echo()
    click.echo(f"seed {seed}", err=True)


@click.command()
@model_argument
@click.option("--corpus", required=True, multiple=True, help=corpus_help)
@click.option("--encoding", default="utf-8", help="Encoding of the files.")
@selection_options
@click.option(
    "--part",
    "parts",
    multiple=True,
    type=click.Choice(["train", "validation", "test"]),
    default=["validation", "test"],
    help="Of the corpus that the model was trained on: the part to read; repeat the flag for several.",
)
@models_option
def evaluate(
    name: str, corpus: tuple[str, ...], encoding: str, parts: tuple[str, ...], models: Path, **options: Any
) -> None:
    """Say how well the newest version predicts a text, its state carried through all of it."""
    model = published(models, name)  # first: it loads TensorFlow, quietly
    from training.release.score import score

    for part, loss, unknown in score(model, corpus, encoding=encoding, parts=parts, selection=selection_of(options)):
        click.echo(
            f"{name} {model.manifest['version']}, {part}: {loss.nats_per_char:.4f} nats/char, "
            f"{loss.bits_per_char:.4f} bits/char, perplexity {loss.perplexity:.3f}, "
            f"{loss.characters:,} characters, {unknown:,} unknown"
        )


@click.command()
@model_argument
@runs_option
def report(name: str, runs: Path) -> None:
    """Write one page about a run: loss curves, n-gram baselines, the samples as they evolved."""
    from training.report.write import write_report

    click.echo(f"Wrote {write_report(runs / name)}")

"""`evaluate`: the loss of a published version on a text."""

from pathlib import Path
from typing import Any

import click

from training.commands.options import corpus_help, models_option, published, version_reference
from training.commands.selection import selection_of, selection_options


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
    help="Part of the corpus that the model was trained on; repeat the flag for several.  "
    "[default: validation, and test if it has one]",
)
@models_option
def evaluate(
    name: str, corpus: tuple[str, ...], encoding: str, parts: tuple[str, ...], models: Path, **options: Any
) -> None:
    """Measure the loss of a published model, by default its newest version, on a text.

    The state is carried through the whole text.
    """
    model = published(models, *name.split("/"))  # before the next import, which would show TensorFlow's output
    from training.release.score import score

    for part, loss, unknown in score(model, corpus, encoding=encoding, parts=parts, selection=selection_of(options)):
        click.echo(
            f"{model.manifest['name']} {model.manifest['version']}, {part}: {loss.nats_per_char:.4f} nats/char, "
            f"{loss.bits_per_char:.4f} bits/char, perplexity {loss.perplexity:.3f}, "
            f"{loss.characters:,} characters, {unknown:,} unknown"
        )

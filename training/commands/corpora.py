"""`corpus`: list and download the blog post's texts, and encode a large text in parts."""

from pathlib import Path
from typing import Any

import click

from training.commands.hints import command
from training.commands.options import UserPath, corpus_help
from training.commands.selection import selection_of, selection_options
from training.config import CHOICES, TrainConfig, part_of
from training.corpora.catalogue import CATALOGUE
from training.data.encode_part import encode_part
from training.flags import HELP


@click.group("corpus")
def corpus_group() -> None:
    """List and download the corpora of the blog post; encode a large text in parts."""


@corpus_group.command("list")
def list_corpora() -> None:
    """List every corpus with its size and licence."""
    rows = [("name", "size", "licence")]
    for entry in CATALOGUE.values():
        rows.append((entry.name, f"{entry.bytes / 1e6:.1f} MB" if entry.bytes else "unknown", entry.licence))
    name_width, size_width = (max(len(row[column]) for row in rows) for column in (0, 1))
    for name, size, licence in rows:
        click.echo(f"{name:{name_width}}  {size:>{size_width}}  {licence}")


@corpus_group.command("fetch")
@click.argument("name", type=click.Choice(list(CATALOGUE)))
@click.option("--to", type=UserPath(path_type=Path, file_okay=False), default="corpora", help="Folder to download to.")
def fetch_corpus(name: str, to: Path) -> None:
    """Download the corpus of a preset. An interrupted download is continued."""
    from tqdm import tqdm

    from training.corpora.download import fetch

    with tqdm(unit="B", unit_scale=True, disable=None) as bar:

        def progress(done: int, total: int | None) -> None:
            bar.total = total
            bar.update(done - bar.n)

        path = fetch(CATALOGUE[name], to, say=lambda sentence: bar.write(sentence), progress=progress)
    if not CATALOGUE[name].note:  # which says how to train on it
        click.echo(f"Train on it: {command('train', '--name', name, '--preset', name, '--corpus', path)}")


def _share(context: click.Context, parameter: click.Parameter, value: str) -> tuple[int, int]:
    """I and N of the value I/N."""
    part = part_of(value)
    if part is None:
        raise click.BadParameter(f"{value!r} must be I/N with I from 0 to N - 1, for example 0/16.")
    return part


@corpus_group.command("encode")
@click.option("--corpus", multiple=True, required=True, help=corpus_help)
@click.option(
    "--part",
    metavar="I/N",
    required=True,
    callback=_share,
    help="Which of N equal shares of the text to encode, from 0/N on. Run the command once for each.",
)
@click.option("--to", required=True, metavar="FOLDER|URL", help="Folder of the parts, or its URL in a bucket.")
@click.option("--unit", type=click.Choice(CHOICES["unit"]), default=TrainConfig.unit, help=HELP["unit"])
@click.option(
    "--normalization",
    type=click.Choice(CHOICES["normalization"]),
    default=TrainConfig.normalization,
    help=HELP["normalization"],
)
@click.option("--encoding", default=TrainConfig.encoding, help=HELP["encoding"])
@selection_options
def encode_corpus(corpus: tuple[str, ...], part: tuple[int, int], to: str, **options: Any) -> None:
    """Encode one part of a text that is too large for one machine; train --corpus reads all parts together."""
    settings = {name: options[name] for name in ("unit", "normalization", "encoding")}
    number, parts = part
    record, notes = encode_part(
        corpus, TrainConfig(**settings), to, part=number, parts=parts, selection=selection_of(options)
    )
    for note in notes:
        click.echo(note)
    unit = "bytes" if record.settings["unit"] == "byte" else "characters"
    click.echo(f"Part {number} of {parts}: {record.symbols:,} {unit} in {to}.")

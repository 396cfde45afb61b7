"""`corpus`: list and download the blog post's texts."""

from pathlib import Path

import click

from training.commands.hints import command
from training.commands.options import UserPath
from training.corpora.catalogue import CATALOGUE


@click.group("corpus")
def corpus_group() -> None:
    """List and download the corpora of the blog post."""


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
    click.echo(f"Train on it: {command('train', '--name', name, '--preset', name, '--corpus', path)}")

"""`report`: one page about a run, or about several."""

from pathlib import Path

import click

from training.commands.options import model_name, runs_option


def _names(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(model_name(context, parameter, value) for value in values))


@click.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True, callback=_names)
@runs_option
def report(names: tuple[str, ...], runs: Path) -> None:
    """Write a page about a run: loss curves, n-gram baselines and samples.

    For several runs, the page compares their loss curves, and is written to report.html in --runs.
    """
    from training.report.compare import write_comparison
    from training.report.write import write_report

    folders = [runs / name for name in names]
    click.echo(f"Wrote {write_report(folders[0]) if len(folders) == 1 else write_comparison(folders, runs)}")

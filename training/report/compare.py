"""The report that compares several runs: validation losses in one chart, tables of results and different settings.

Reads only the runs' folders, as the report of one run does (write.py).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from training.errors import InputError
from training.files import write_atomically
from training.learning.folder import REPORT
from training.report.charts import Chart, Curve, Tooltip
from training.report.configuration import corpus_text, differing
from training.report.curves import for_both_widths, legend, loss_range, shown_levels
from training.report.evaluations import Evaluation
from training.report.numbers import duration, measured, short
from training.report.page import page, shown, table
from training.report.recorded import RunRecord, read_run
from training.report.samples import sample_texts, summary

MAX_RUNS = 6  # colours of curves in the style sheet


def write_comparison(folders: Sequence[Path], runs: Path) -> Path:
    """Write `runs`/report.html about the runs in `folders` and return its path.

    Raises:
        InputError: A folder has no run, or the runs cannot be compared.
    """
    if len(folders) > MAX_RUNS:
        raise InputError(f"A page compares at most {MAX_RUNS} runs, not {len(folders)}: name fewer.")
    path = runs / REPORT
    write_atomically(path, comparison([read_run(folder) for folder in folders]).encode())
    return path


def comparison(runs: list[RunRecord]) -> str:
    """The HTML page.

    Raises:
        InputError: Some losses are nats per character, others nats per byte.
    """
    if len({run.unit for run in runs}) > 1:
        units = ", ".join(f"{run.name} {run.unit}s" for run in runs)
        raise InputError(f"The losses of these runs cannot be compared, because their units differ: {units}.")
    names = ", ".join(run.name for run in runs)
    sections = [
        f"<header><h1>{shown(names)}</h1>{_facts(runs)}</header>",
        _losses(runs),
        _results(runs),
        _settings(runs),
        _samples(runs),
    ]
    return page(f"{names}: training runs compared", "\n".join(sections))


def _facts(runs: list[RunRecord]) -> str:
    first = min(runs, key=lambda run: run.best.validation)
    warning = (
        " The runs were trained on different texts, so their losses cannot be compared directly."
        if _have_different_texts(runs)
        else ""
    )
    return (
        f'<p class="facts">Of {len(runs)} runs, {shown(first.name)} has the best validation loss: '
        f"<b>{first.best.validation:.4f}</b> nats (<b>{first.best.bits:.4f}</b> bits) per {first.unit}.{warning}</p>"
    )


def _have_different_texts(runs: list[RunRecord]) -> bool:
    return len({run.baselines.fingerprint for run in runs}) > 1


def _losses(runs: list[RunRecord]) -> str:
    unit = runs[0].unit
    names = {f"curve run-{index}": shown(run.name) for index, run in enumerate(runs)}
    levels = {} if _have_different_texts(runs) else shown_levels(runs[0])
    if levels:
        names["level"] = "n-gram models, validation"
    axes = [_Axis("loss", f"{unit}s seen", lambda e: e.chars_seen, short)]
    if all(math.isfinite(e.elapsed_seconds) for run in runs for e in run.thinned):
        axes.append(_Axis("loss-in-time", "minutes", lambda e: e.elapsed_seconds / 60, "{:.3g}".format))
    charts = [_chart(runs, axis, levels) for axis in axes]
    drawn = "".join(map(for_both_widths, charts))
    return f"<section><h2>Validation loss</h2>{legend(names)}{drawn}</section>"


@dataclass(frozen=True)
class _Axis:
    """The x axis of a chart: its name, and an evaluation's value on it."""

    chart: str
    name: str
    value_of: Callable[[Evaluation], float]
    text_of: Callable[[float], str]


def _chart(runs: list[RunRecord], axis: _Axis, levels: dict[str, float]) -> Chart:
    ranges = [loss_range(run) for run in runs]
    return Chart(
        name=axis.chart,
        title=f"Validation loss against {axis.name}",
        y_name=f"nats per {runs[0].unit}",
        x_name=axis.name,
        curves=[
            Curve(f"run-{index}", [(axis.value_of(e), e.validation) for e in run.thinned])
            for index, run in enumerate(runs)
        ],
        tooltips=_tooltips(runs, axis),
        levels=levels,
        y_range=(min(low for low, _ in ranges), max(high for _, high in ranges)),
        y_text=lambda value: f"{value:.3g}",
    )


def _tooltips(runs: list[RunRecord], axis: _Axis) -> list[Tooltip]:
    """One for each x at which runs were evaluated, with the losses of these runs."""
    found: dict[float, dict[int, Evaluation]] = {}
    for index, run in enumerate(runs):
        for e in run.thinned:
            found.setdefault(axis.value_of(e), {})[index] = e
    return [
        Tooltip(
            x,
            [f"{axis.text_of(x)} {axis.name}", *(f"{runs[index].name} {e.validation:.3f}" for index, e in at.items())],
            {f"run-{index}": e.validation for index, e in at.items()},
        )
        for x, at in sorted(found.items())
    ]


def _results(runs: list[RunRecord]) -> str:
    head = ["run", "nats", "bits", "at epoch", "epochs", f"{runs[0].unit}s seen", "elapsed"]
    rows = [
        [
            shown(run.name),
            f"{run.best.validation:.4f}",
            f"{run.best.bits:.4f}",
            run.best.epoch_text,
            run.evaluations[-1].epoch_text,
            short(run.evaluations[-1].chars_seen),
            measured(run.evaluations[-1].elapsed_seconds, duration),
        ]
        for run in runs
    ]
    best = min(range(len(runs)), key=lambda index: runs[index].best.validation)
    return f"<section><h2>Results</h2>{table(head, rows, numbers={1, 2, 3, 4, 5, 6}, best=best)}</section>"


def _settings(runs: list[RunRecord]) -> str:
    rows = [[name, *values] for name, values in differing(runs).items()]
    corpora = [corpus_text(run) for run in runs]
    if len(set(corpora)) > 1:
        rows.insert(0, ["corpus", *corpora])
    if not rows:
        return "<section><h2>Settings</h2><p>All settings are the same.</p></section>"
    head = ["setting", *(shown(run.name) for run in runs)]
    cells = [[shown(cell) for cell in row] for row in rows]
    return f"<section><h2>Settings that differ</h2>{table(head, cells, numbers=set())}</section>"


def _samples(runs: list[RunRecord]) -> str:
    entries = "".join(
        f"<details><summary>{shown(run.name)} · {summary(run, run.best)}</summary>{sample_texts(run.best)}</details>"
        for run in runs
        if run.best.samples
    )
    return f"<section><h2>Samples of the best evaluations</h2>{entries}</section>" if entries else ""

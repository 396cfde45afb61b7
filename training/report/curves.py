"""The charts of a run's report: loss, learning rate, speed, novelty. Knows no SVG (charts.py)."""

import math
from collections.abc import Callable, Sequence

from training.report.charts import Chart, Curve, Point, Tooltip, svg
from training.report.evaluations import Evaluation
from training.report.numbers import measured, short
from training.report.page import shown
from training.report.recorded import RunRecord

STEEP_FALL = 0.05  # this first part of a run may have losses above the chart, so that the rest is not flat
MAX_LEVEL = 4  # the n-gram models up to this order are drawn, and the best

LINE = '<svg viewBox="0 0 26 10" aria-hidden="true"><path class="{kind}" d="M1 5H25"/></svg>'


def loss_section(run: RunRecord) -> str:
    """Training and validation loss against the symbols seen, with the n-gram models as dashed lines."""
    chart = Chart(
        name="loss",
        title=f"Training and validation loss against {run.unit}s seen",
        y_name=f"nats per {run.unit}",
        x_name=f"{run.unit}s seen",
        curves=[
            Curve("training", [(e.chars_seen, e.training) for e in run.thinned]),
            Curve("validation", [(e.chars_seen, e.validation) for e in run.thinned]),
        ],
        tooltips=[_loss_tooltip(e, run.unit) for e in run.thinned],
        levels=shown_levels(run),
        best=(run.best.chars_seen, run.best.validation),
        y_range=loss_range(run),
        y_text=lambda value: f"{value:.3g}",
    )
    names = {
        "curve training": "training, with dropout" if run.config.has_dropout else "training",
        "curve validation": "validation; the circle marks the best",
        "level": "n-gram models, validation",
    }
    return f"<section><h2>Loss</h2>{legend(names)}{for_both_widths(chart)}</section>"


def shown_levels(run: RunRecord) -> dict[str, float]:
    """Label -> loss of the n-gram models to draw: the labels of all eight would overlap."""
    losses = run.baselines.nats_per_char
    best = min(losses, key=lambda order: losses[order])
    return {f"{order}-gram": nats for order, nats in losses.items() if order <= MAX_LEVEL or order == best}


def loss_range(run: RunRecord) -> tuple[float, float]:
    """The range of the curves after their first steep fall, with the best n-gram model for comparison."""
    start = STEEP_FALL * run.evaluations[-1].chars_seen
    later = [e for e in run.evaluations if e.chars_seen >= start]
    curves = [nats for e in later for nats in (e.training, e.validation) if math.isfinite(nats)]
    values = [*curves, run.best.validation, min(run.baselines.nats_per_char.values())]
    margin = 0.06 * (max(values) - min(values)) or 0.1
    return min(values) - margin, max(values) + margin


def _loss_tooltip(e: Evaluation, unit: str) -> Tooltip:
    lines = [
        f"epoch {e.epoch_text} · {short(e.chars_seen)} {unit}s · {e.bits:.3f} bits",
        f"training {measured(e.training, '.3f')} · validation {e.validation:.3f}",
    ]
    return Tooltip(e.chars_seen, lines, {"training": e.training, "validation": e.validation})


def progress_section(run: RunRecord) -> str:
    """Learning rate, speed, and for a corpus of lines the share of new ones among the samples."""
    charts = [
        _small(run, "learning rate", lambda e: e.learning_rate, lambda value: f"{value:.3g}", before=run.warm_up),
        _small(run, f"{run.unit}s per second", lambda e: e.chars_per_second, short),
        _novelty(run),
    ]
    drawn = "".join(f"<div>{svg(chart, 370, 230)}</div>" for chart in charts[:2] if chart)
    if charts[2]:
        names = {"curve validation": "new", "curve training": "in the training text"}
        drawn += f"<div>{svg(charts[2], 370, 230)}{legend(names)}</div>"
    if not drawn:
        return ""
    return f'<section><h2>Progress</h2><div class="pair">{drawn}</div>{_time_note(run)}</section>'


def _time_note(run: RunRecord) -> str:
    """The share of each stage in the run's time, if it was measured."""
    stages = dict.fromkeys(stage for evaluation in run.evaluations for stage in evaluation.seconds)
    seconds = {stage: sum(e.seconds.get(stage, 0.0) for e in run.evaluations) for stage in stages}
    total = sum(seconds.values())
    if not total:
        return ""
    shares = ", ".join(f"{shown(stage.replace('_', ' '))} {taken / total:.0%}" for stage, taken in seconds.items())
    return f'<p class="note">Time by stage: {shares}.</p>'


def _small(
    run: RunRecord,
    name: str,
    value_of: Callable[[Evaluation], float],
    text_of: Callable[[float], str],
    before: Sequence[Point] = (),
) -> Chart | None:
    """A chart of one value; `before` are more points of the curve, between the evaluations."""
    measured = [e for e in run.thinned if math.isfinite(value_of(e))]
    if not measured:
        return None
    points = sorted([*before, *((e.chars_seen, value_of(e)) for e in measured)])
    return Chart(
        name=name.replace(" ", "-"),
        title=f"{name} against {run.unit}s seen",
        y_name=name,
        x_name=f"{run.unit}s seen",
        curves=[Curve("third", points)],
        tooltips=[
            Tooltip(e.chars_seen, [f"epoch {e.epoch_text} · {text_of(value_of(e))}"], {"third": value_of(e)})
            for e in measured
        ],
        y_range=(0, 1.08 * max(value for _, value in points) or 1),
        y_text=text_of,
    )


def _novelty(run: RunRecord) -> Chart | None:
    """The shares of sampled lines that are new and that are in the training text, for a corpus of lines."""
    shares = [(e, e.novelty["new"], e.novelty["in_training"]) for e in run.thinned if e.novelty]
    if not shares:
        return None
    return Chart(
        name="novelty",
        title=f"Share of sampled lines that are new against {run.unit}s seen",
        y_name="sampled lines",
        x_name=f"{run.unit}s seen",
        curves=[
            Curve("validation", [(e.chars_seen, new) for e, new, _ in shares]),
            Curve("training", [(e.chars_seen, known) for e, _, known in shares]),
        ],
        tooltips=[
            Tooltip(
                e.chars_seen,
                [f"epoch {e.epoch_text} · new {new:.0%} · in training {known:.0%}"],
                {"validation": new, "training": known},
            )
            for e, new, known in shares
        ],
        y_range=(0, 1.04),
        y_text=lambda value: f"{value:.0%}",
    )


def legend(names: dict[str, str]) -> str:
    """The HTML legend of lines, given as class name -> meaning."""
    return (
        f'<ul class="legend">{"".join(f"<li>{LINE.format(kind=kind)}{name}</li>" for kind, name in names.items())}</ul>'
    )


def for_both_widths(chart: Chart) -> str:
    """The chart in two widths, of which the style sheet shows one, so that text stays readable on a phone."""
    wide, narrow = svg(chart, 760, 380), svg(chart, 360, 320)
    return wide.replace("<svg ", '<svg class="wide" ', 1) + narrow.replace("<svg ", '<svg class="narrow" ', 1)

"""The curves in a run's report: what is drawn of it, and what stands beside each. Knows no SVG (charts.py)."""

import math
from collections.abc import Callable

from training.report.charts import Chart, Curve, Moment, short, svg
from training.report.page import number
from training.report.recorded import Evaluation, RunRecord

# Of the run: the losses of this first part may lie above the chart, or they would press the rest of it flat.
STEEP_FALL = 0.05

LINE = '<svg viewBox="0 0 26 10" aria-hidden="true"><path class="{kind}" d="M1 5H25"/></svg>'


def loss_section(run: RunRecord) -> str:
    """Training and validation against the symbols seen, with the n-gram models as dashed lines."""
    chart = Chart(
        name="loss",
        title=f"Training and validation loss against {run.unit}s seen",
        y_name=f"nats per {run.unit}",
        x_name=f"{run.unit}s seen",
        curves=[
            Curve("training", [(e.chars_seen, e.training) for e in run.thinned]),
            Curve("validation", [(e.chars_seen, e.validation) for e in run.thinned]),
        ],
        moments=[_loss_moment(e, run.unit) for e in run.thinned],
        levels={f"{order}-gram": nats for order, nats in run.baselines.nats_per_char.items()},
        best=(run.best.chars_seen, run.best.validation),
        y_range=_loss_range(run),
        y_text=lambda value: f"{value:.3g}",
    )
    names = {
        "curve training": "training, with dropout" if _drops(run) else "training",
        "curve validation": "validation; the ring is its best",
        "level": "n-gram models, validation",
    }
    return f"<section><h2>Loss</h2>{_legend(names)}{_for_both_widths(chart)}</section>"


def _loss_range(run: RunRecord) -> tuple[float, float]:
    """Around the curves after their first steep fall, and the best n-gram model: it is the distance to compare."""
    start = STEEP_FALL * run.evaluations[-1].chars_seen
    later = [e for e in run.evaluations if e.chars_seen >= start]
    curves = [nats for e in later for nats in (e.training, e.validation) if math.isfinite(nats)]
    values = [*curves, run.best.validation, min(run.baselines.nats_per_char.values())]
    room = 0.06 * (max(values) - min(values)) or 0.1
    return min(values) - room, max(values) + room


def _loss_moment(e: Evaluation, unit: str) -> Moment:
    lines = [
        f"epoch {e.epoch_text} · {short(e.chars_seen)} {unit}s · {e.bits:.3f} bits",
        f"training {number(e.training, '.3f')} · validation {e.validation:.3f}",
    ]
    return Moment(e.chars_seen, lines, {"training": e.training, "validation": e.validation})


def course_section(run: RunRecord) -> str:
    """Rate, speed, and for a corpus of lines their novelty."""
    charts = [
        _small(run, "learning rate", lambda e: e.learning_rate, lambda value: f"{value:.3g}"),
        _small(run, f"{run.unit}s per second", lambda e: e.chars_per_second, short),
        _novelty(run),
    ]
    drawn = "".join(f"<div>{svg(chart, 370, 230)}</div>" for chart in charts[:2] if chart)
    if charts[2]:
        names = {"curve validation": "new", "curve training": "in the training text"}
        drawn += f"<div>{svg(charts[2], 370, 230)}{_legend(names)}</div>"
    return f'<section><h2>The course of the run</h2><div class="pair">{drawn}</div></section>' if drawn else ""


def _small(
    run: RunRecord,
    name: str,
    value_of: Callable[[Evaluation], float],
    text_of: Callable[[float], str],
) -> Chart | None:
    measured = [e for e in run.thinned if math.isfinite(value_of(e))]
    if not measured:
        return None
    return Chart(
        name=name.replace(" ", "-"),
        title=f"{name} against {run.unit}s seen",
        y_name=name,
        x_name=f"{run.unit}s seen",
        curves=[Curve("third", [(e.chars_seen, value_of(e)) for e in measured])],
        moments=[
            Moment(e.chars_seen, [f"epoch {e.epoch_text} · {text_of(value_of(e))}"], {"third": value_of(e)})
            for e in measured
        ],
        y_range=(0, 1.08 * max(map(value_of, measured)) or 1),
        y_text=text_of,
    )


def _novelty(run: RunRecord) -> Chart | None:
    """Which sampled lines the network made up, and which it knew: a corpus of lines has this."""
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
        moments=[
            Moment(
                e.chars_seen,
                [f"epoch {e.epoch_text} · new {new:.0%} · in training {known:.0%}"],
                {"validation": new, "training": known},
            )
            for e, new, known in shares
        ],
        y_range=(0, 1.04),
        y_text=lambda value: f"{value:.0%}",
    )


def _legend(names: dict[str, str]) -> str:
    return (
        f'<ul class="legend">{"".join(f"<li>{LINE.format(kind=kind)}{name}</li>" for kind, name in names.items())}</ul>'
    )


def _drops(run: RunRecord) -> bool:
    return any(run.plan["config"].get(name) for name in ("dropout", "weight_dropout"))


def _for_both_widths(chart: Chart) -> str:
    """Drawn twice, so that a phone need not shrink its letters; the style sheet shows one."""
    wide, narrow = svg(chart, 760, 380), svg(chart, 360, 320)
    return wide.replace("<svg ", '<svg class="wide" ', 1) + narrow.replace("<svg ", '<svg class="narrow" ', 1)

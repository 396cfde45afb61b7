"""The report of a run: one HTML page with its curves, what they compare to, and its samples as they evolved.

Written from the run's folder alone, while it trains or after. Knows no framework and starts no training.
"""

import math
from pathlib import Path

from training.files import write_atomically
from training.learning.folder import REPORT
from training.report.charts import duration, short
from training.report.configuration import configuration_section
from training.report.curves import course_section, loss_section
from training.report.page import number, page, shown, table
from training.report.recorded import Evaluation, RunRecord, read_run
from training.report.samples import samples_section

CELLS = {"lstm": "An LSTM", "gru": "A GRU", "rnn": "A plain recurrent network"}


def write_report(folder: Path) -> Path:
    """Write `folder`/report.html and return its path; the n-gram baselines are kept beside it.

    Raises:
        InputError: there is no run in `folder`, or no evaluation yet.
    """
    path = folder / REPORT
    write_atomically(path, report(read_run(folder)).encode())
    return path


def report(run: RunRecord) -> str:
    """The page."""
    sections = [
        f"<header><h1>{shown(run.name)}</h1>{_facts(run)}</header>",
        loss_section(run),
        _baselines(run),
        samples_section(run),
        course_section(run),
        configuration_section(run),
        _evaluations(run),
    ]
    return page(f"{run.name}: training report", "\n".join(section for section in sections if section))


def _facts(run: RunRecord) -> str:
    config, best, last = run.plan["config"], run.best, run.evaluations[-1]
    parameters = f" ({run.parameters:,} parameters)" if run.parameters else ""
    published = f", published as {shown(run.plan['published'])}" if run.plan.get("published") else ""
    asked = "" if config.get("steps") else f" of {config['epochs']}"
    time = f" in {duration(last.elapsed_seconds)}" if math.isfinite(last.elapsed_seconds) else ""
    layers = f"{config['layers']} layer{'s' if config['layers'] > 1 else ''} of {config['units']} units"
    return (
        f'<p class="facts">{CELLS.get(config.get("cell", "lstm"), "A network")} of {layers}{parameters}, trained for '
        f"{last.epoch_text}{asked} epochs{time} on {run.text.training:,} of {run.text.symbols:,} "
        f"{run.unit}s: its best validation loss is <b>{best.validation:.4f}</b> nats (<b>{best.bits:.4f}</b> bits) "
        f"per {run.unit}, at epoch {best.epoch_text}{published}.</p>"
    )


def _baselines(run: RunRecord) -> str:
    losses = run.baselines.nats_per_char
    best = min(losses, key=lambda order: losses[order])
    gap = losses[best] - run.best.validation
    verdict = f"{abs(gap):.3f} nats {'below' if gap > 0 else 'above'}"
    rows = [
        [f"{order}-gram", f"{nats:.4f}", f"{nats / math.log(2):.4f}", _beaten(run, nats)]
        for order, nats in losses.items()
    ]
    head = ["model", "nats", "bits", "first beaten by the network"]
    return (
        "<section><h2>What loss is good?</h2>"
        f"<p>An n-gram model knows what followed the last n−1 {run.unit}s each time they stood in the training text, "
        f"and nothing else. The best of these is the {best}-gram; the network is <b>{verdict}</b> it: "
        f"{_meaning(gap, run.unit)}</p>"
        f"{table(head, rows, numbers={1, 2}, best=list(losses).index(best))}{_baselines_note(run)}</section>"
    )


def _meaning(gap: float, unit: str) -> str:
    if gap > 0:
        return f"what it has learned reaches further than counting {unit}s does."
    return "it has not learned yet what counting would tell."


def _baselines_note(run: RunRecord) -> str:
    counted, predicted = run.baselines.counted, run.baselines.predicted
    parts = [f"Interpolated Kneser–Ney models, counted on the training part ({run.text.training:,} {run.unit}s"]
    parts.append(f", of which the last {counted:,})" if counted < run.text.training else ")")
    parts.append(f" and measured on the validation part ({run.text.validation:,}")
    parts.append(f", of which the first {predicted:,})" if predicted < run.text.validation else ")")
    return f'<p class="note">{"".join(parts)}: the split that the network has.</p>'


def _beaten(run: RunRecord, nats: float) -> str:
    for evaluation in run.evaluations:
        if evaluation.validation < nats:
            return f"epoch {evaluation.epoch_text}, {short(evaluation.chars_seen)} {run.unit}s"
    return "not yet"


def _evaluations(run: RunRecord) -> str:
    head = ["epoch", "step", f"{run.unit}s", "training", "validation", "bits", "rate", f"{run.unit}s/s", "logit scale"]
    head.append("elapsed")
    rows = [_evaluation_cells(evaluation) for evaluation in run.thinned]
    count = len(run.evaluations)
    all_of = (
        f"{len(rows)} of {count} evaluations" if len(rows) < count else f"{count} evaluation{'s' if count > 1 else ''}"
    )
    best = next(index for index, evaluation in enumerate(run.thinned) if evaluation is run.best)
    cells = table(head, rows, numbers=set(range(len(head))), best=best)
    folded = f"<details><summary>{all_of}, the best in bold</summary>{cells}</details>"
    return f"<section><h2>Evaluations</h2>{folded}</section>"


def _evaluation_cells(evaluation: Evaluation) -> list[str]:
    return [
        evaluation.epoch_text,
        f"{evaluation.step:,}",
        f"{evaluation.chars_seen:,}",
        number(evaluation.training, ".4f"),
        f"{evaluation.validation:.4f}",
        f"{evaluation.bits:.4f}",
        number(evaluation.learning_rate, ".3g"),
        number(evaluation.chars_per_second, ",.0f"),
        number(evaluation.logit_scale, ".3f"),
        number(evaluation.elapsed_seconds, duration),
    ]

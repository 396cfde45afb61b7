"""The report of one run: an HTML page with its losses, n-gram baselines, samples and settings.

Reads only the run's folder, during training or afterwards. Knows no framework.
"""

import math
from pathlib import Path

from training.files import write_atomically
from training.learning.folder import REPORT
from training.report.configuration import configuration_section
from training.report.curves import loss_section, progress_section
from training.report.evaluations import Evaluation
from training.report.numbers import duration, measured, short
from training.report.page import page, shown, table
from training.report.recorded import RunRecord, read_run
from training.report.samples import samples_section

CELLS = {"lstm": "An LSTM", "gru": "A GRU", "rnn": "A plain recurrent network"}


def write_report(folder: Path) -> Path:
    """Write `folder`/report.html and return its path; keeps the n-gram baselines in `folder`, too.

    Raises:
        InputError: There is no run in `folder`, or no evaluation yet.
    """
    path = folder / REPORT
    write_atomically(path, report(read_run(folder)).encode())
    return path


def report(run: RunRecord) -> str:
    """The HTML page."""
    sections = [
        f"<header><h1>{shown(run.name)}</h1>{_facts(run)}</header>",
        loss_section(run),
        _baselines(run),
        samples_section(run),
        progress_section(run),
        configuration_section(run),
        _evaluations(run),
    ]
    return page(f"{run.name}: training report", "\n".join(section for section in sections if section))


def _facts(run: RunRecord) -> str:
    config, best, last = run.plan["config"], run.best, run.evaluations[-1]
    parameters = f" ({run.parameters:,} parameters)" if run.parameters else ""
    published = f", published as {shown(run.plan['published'])}" if run.plan.get("published") else ""
    planned = "" if config.get("steps") else f" of {config['epochs']}"
    time = f" in {duration(last.elapsed_seconds)}" if math.isfinite(last.elapsed_seconds) else ""
    layers = f"{config['layers']} layer{'s' if config['layers'] > 1 else ''} of {config['units']} units"
    return (
        f'<p class="facts">{CELLS.get(config.get("cell", "lstm"), "A network")} with {layers}{parameters}, trained for '
        f"{last.epoch_text}{planned} epochs{time} on {run.text.training:,} of {run.text.symbols:,} "
        f"{run.unit}s. Its best validation loss is <b>{best.validation:.4f}</b> nats (<b>{best.bits:.4f}</b> bits) "
        f"per {run.unit}, at epoch {best.epoch_text}{published}.</p>"
    )


def _baselines(run: RunRecord) -> str:
    losses = run.baselines.nats_per_char
    best = min(losses, key=lambda order: losses[order])
    gap = losses[best] - run.best.validation
    difference = f"{abs(gap):.3f} nats {'below' if gap > 0 else 'above'}"
    meaning = "predicts better than these counts" if gap > 0 else "does not yet predict better than these counts"
    rows = [
        [f"{order}-gram", f"{nats:.4f}", f"{nats / math.log(2):.4f}", _beaten(run, nats)]
        for order, nats in losses.items()
    ]
    head = ["model", "nats", "bits", "first beaten by the network"]
    return (
        "<section><h2>N-gram baselines</h2>"
        f"<p>An n-gram model predicts a {run.unit} from counts of the {run.unit}s that followed the same n−1 "
        f"{run.unit}s in the training text. The best one is the {best}-gram. The network's best validation loss is "
        f"<b>{difference}</b> its loss: the network {meaning}.</p>"
        f"{table(head, rows, numbers={1, 2}, best=list(losses).index(best))}{_baselines_note(run)}</section>"
    )


def _baselines_note(run: RunRecord) -> str:
    counted, predicted = run.baselines.counted, run.baselines.predicted
    parts = [f"Interpolated Kneser–Ney models, counted on the training part ({run.text.training:,} {run.unit}s"]
    parts.append(f", of which the last {counted:,})" if counted < run.text.training else ")")
    parts.append(f" and measured on the validation part ({run.text.validation:,}")
    parts.append(f", of which the first {predicted:,})" if predicted < run.text.validation else ")")
    return f'<p class="note">{"".join(parts)}, the same split as the network\'s.</p>'


def _beaten(run: RunRecord, nats: float) -> str:
    for evaluation in run.evaluations:
        if evaluation.validation < nats:
            return f"epoch {evaluation.epoch_text}, {short(evaluation.chars_seen)} {run.unit}s"
    return "not yet"


def _evaluations(run: RunRecord) -> str:
    head = ["epoch", "step", f"{run.unit}s", "training", "validation", "bits"]
    head += ["learning rate", f"{run.unit}s/s", "logit scale", "elapsed"]
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
        measured(evaluation.training, ".4f"),
        f"{evaluation.validation:.4f}",
        f"{evaluation.bits:.4f}",
        measured(evaluation.learning_rate, ".3g"),
        measured(evaluation.chars_per_second, ",.0f"),
        measured(evaluation.logit_scale, ".3f"),
        measured(evaluation.elapsed_seconds, duration),
    ]

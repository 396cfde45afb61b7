"""The samples of a run's evaluations as HTML. Knows no charts."""

import re

from training.report.evaluations import Evaluation
from training.report.numbers import short
from training.report.page import shown
from training.report.recorded import RunRecord

LONGEST_WORD = 30  # more characters without a space are a text in a script without spaces


def samples_section(run: RunRecord) -> str:
    """The samples of all evaluations; with the page's script, one is visible at a time."""
    sampled = [evaluation for evaluation in run.thinned if evaluation.samples]
    if not sampled:
        return ""
    tabs = "".join(
        f'<button type="button" class="quiet" aria-pressed="false" data-temperature="{shown(temperature)}">'
        f"temperature {shown(temperature)}</button>"
        for temperature in run.temperatures
    )
    last = len(sampled) - 1
    stepper = (
        f'<div class="stepper" hidden>{_step(-1, "earlier", "←")}'
        f'<input type="range" min="0" max="{last}" value="{last}" aria-label="evaluation">'
        f'{_step(1, "later", "→")}<div class="bar">{tabs}</div></div>'
    )
    entries = "".join(
        f"<details{' open' if evaluation is sampled[-1] else ''}><summary>{summary(run, evaluation)}</summary>"
        f"{sample_texts(evaluation)}</details>"
        for evaluation in sampled
    )
    return (
        '<section id="samples"><h2>Samples</h2>'
        f"<p>Text that the network generated at each evaluation, without a prompt.</p>{stepper}{entries}</section>"
    )


def _step(by: int, name: str, sign: str) -> str:
    return f'<button type="button" class="quiet" data-by="{by}" aria-label="{name}">{sign}</button>'


def summary(run: RunRecord, evaluation: Evaluation) -> str:
    """Epoch, symbols seen and validation loss in one line."""
    return (
        f"epoch {evaluation.epoch_text} · {short(evaluation.chars_seen)} {run.unit}s seen · "
        f"{evaluation.validation:.3f} nats ({evaluation.bits:.3f} bits)"
    )


def sample_texts(evaluation: Evaluation) -> str:
    """The samples of one evaluation by ascending temperature."""
    return "".join(
        f'<div class="sample" data-temperature="{shown(temperature)}"><h3>temperature {shown(temperature)}</h3>'
        f'<pre dir="auto">\n{shown(until_a_word_ends(evaluation.samples[temperature]))}</pre></div>'
        for temperature in sorted(evaluation.samples, key=float)
    )


def until_a_word_ends(text: str) -> str:
    """The text without its last word, which a sample's fixed length usually cuts."""
    shortened = re.sub(rf"\s+\S{{1,{LONGEST_WORD}}}$", "", text)
    return shortened if shortened.strip() else text

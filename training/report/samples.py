"""The samples of a run's evaluations as HTML. Knows no chart."""

import re

from training.report.charts import short
from training.report.page import shown
from training.report.recorded import Evaluation, RunRecord

# A longer last word is no word cut in two, but a script that has no spaces.
LONGEST_WORD = 30


def samples_section(run: RunRecord) -> str:
    """Every evaluation's samples, one of them visible at a time where there is a script."""
    sampled = [evaluation for evaluation in run.thinned if evaluation.samples]
    if not sampled:
        return ""
    tabs = "".join(
        f'<button type="button" aria-pressed="false" data-temperature="{shown(temperature)}">'
        f"temperature {shown(temperature)}</button>"
        for temperature in run.temperatures
    )
    stepper = (
        f'<div class="stepper" hidden><button type="button" data-by="-1" aria-label="earlier">←</button>'
        f'<input type="range" min="0" max="{len(sampled) - 1}" value="{len(sampled) - 1}" aria-label="evaluation">'
        f'<button type="button" data-by="1" aria-label="later">→</button><div class="tabs">{tabs}</div></div>'
    )
    entries = "".join(
        f"<details{' open' if evaluation is sampled[-1] else ''}><summary>{seen_and_lost(run, evaluation)}</summary>"
        f"{sample_texts(evaluation)}</details>"
        for evaluation in sampled
    )
    return (
        '<section id="samples"><h2>Samples as they evolved</h2>'
        f"<p>What the network wrote by itself at each evaluation.</p>{stepper}{entries}</section>"
    )


def seen_and_lost(run: RunRecord, evaluation: Evaluation) -> str:
    """One line that says which evaluation it is."""
    return (
        f"epoch {evaluation.epoch_text} · {short(evaluation.chars_seen)} {run.unit}s seen · "
        f"{evaluation.validation:.3f} nats ({evaluation.bits:.3f} bits)"
    )


def sample_texts(evaluation: Evaluation) -> str:
    """The samples of one evaluation, the coolest first."""
    return "".join(
        f'<div class="sample" data-temperature="{shown(temperature)}"><h3>temperature {shown(temperature)}</h3>'
        f'<pre dir="auto">\n{shown(until_a_word_ends(evaluation.samples[temperature]))}</pre></div>'
        for temperature in sorted(evaluation.samples, key=float)
    )


def until_a_word_ends(text: str) -> str:
    """The text without its last word: a sample ends after so many symbols, mostly within one."""
    whole = re.sub(rf"\s+\S{{1,{LONGEST_WORD}}}$", "", text)
    return whole if whole.strip() else text

"""The settings of runs as HTML. Knows no charts."""

from dataclasses import asdict
from typing import Any

from training.config import TrainConfig
from training.learning.schedule import decay_note
from training.report.page import shown, table
from training.report.recorded import RunRecord


def configuration_section(run: RunRecord) -> str:
    """A table of the text and the settings that differ from their defaults; a folded table of the others."""
    defaults = TrainConfig().to_json()
    config = run.plan["config"]
    changed = {name: value for name, value in config.items() if name not in defaults or value != defaults[name]}
    rows = [
        ["corpus", corpus_text(run), ""],
        ["vocabulary", f"{run.text.vocabulary:,} symbols", ""],
        *([setting_name(name), setting(value), setting(defaults.get(name, ""))] for name, value in changed.items()),
    ]
    same = [[setting_name(name), setting(value)] for name, value in config.items() if name not in changed]
    note = decay_note(run.config, run.steps_per_epoch)
    folded = table(["setting at its default", "value"], _escaped(same), numbers=set())
    return (
        f"<section><h2>Configuration</h2>{table(['setting', 'value', 'default'], _escaped(rows), numbers=set())}"
        f"<details><summary>{len(same)} settings at their defaults</summary>{folded}</details>"
        f"{f'<p>{note}</p>' if note else ''}</section>"
    )


def differing(runs: list[RunRecord]) -> dict[str, list[str]]:
    """Setting -> its value in each run, for the settings that differ between the runs."""
    defaults = asdict(TrainConfig())  # for settings that a run is too old to have
    names = dict.fromkeys(name for run in runs for name in run.plan["config"])
    values = {name: [setting(run.plan["config"].get(name, defaults.get(name, ""))) for run in runs] for name in names}
    return {setting_name(name): found for name, found in values.items() if len(set(found)) > 1}


def corpus_text(run: RunRecord) -> str:
    """The entries of --corpus."""
    return ", ".join(map(str, run.plan.get("corpus", [])))


def setting_name(name: str) -> str:
    """A field of the configuration in words."""
    return name.replace("_", " ")


def setting(value: Any) -> str:
    """A setting's value in words."""
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _escaped(rows: list[list[str]]) -> list[list[str]]:
    return [[shown(cell) for cell in row] for row in rows]

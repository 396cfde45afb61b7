"""`retrain` and `schedule`: exit codes, and which models are retrained."""

import sys
from pathlib import Path
from typing import Any

import pytest

from tests.training.commands.cli import run
from training.commands.retraining import exit_code
from training.retraining.config import Job
from training.retraining.record import FAILED, INTERRUPTED, PUBLISHED, REFUSED, UNCHANGED, Record

NOW = "2026-11-20T02:00:00+00:00"
CONFIG = """
[[model]]
name = "a"
corpus = "texts"
[[model]]
name = "b"
corpus = "texts"
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with a nightly.toml of two models."""
    (tmp_path / "nightly.toml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("decisions", "code"),
    [
        ([PUBLISHED, UNCHANGED], 0),
        ([PUBLISHED, REFUSED], 3),
        ([REFUSED, FAILED, PUBLISHED], 1),
        ([INTERRUPTED], 1),
    ],
)
def test_a_failure_counts_more_than_a_refusal(decisions: list[str], code: int) -> None:
    assert exit_code([Record("a", NOW, decision=decision) for decision in decisions]) == code


@pytest.mark.parametrize(("names", "expected"), [([], ["a", "b"]), (["b"], ["b"])])
def test_the_named_models_are_retrained(
    folder: Path, monkeypatch: pytest.MonkeyPatch, names: list[str], expected: list[str]
) -> None:
    def retrained(job: Job, **_: Any) -> Record:
        return Record(job.name, NOW, REFUSED, "Worse.", 1234.5)

    monkeypatch.setattr("training.commands.retraining.use_devices", lambda: None)
    monkeypatch.setattr("training.retraining.retrain.retrain", retrained)
    result = run("retrain", *names)
    assert result.exit_code == 3, result.output
    assert result.output.splitlines() == [f"{name}: refused after 1,234 s. Worse." for name in expected]


@pytest.mark.parametrize(("last", "at_once"), [(None, True), ("2999-01-01T00:00:00+00:00", False)])
def test_schedule_runs_retrain_every_day_and_a_missed_run_at_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch, last: str | None, at_once: bool
) -> None:
    calls: list[Any] = []

    class FakeSchedule:
        def __init__(self, *arguments: Any) -> None:
            calls.append(arguments)

        def run(self, *, at_once: bool) -> None:
            calls.append(at_once)

    monkeypatch.setattr("training.retraining.schedule.Schedule", FakeSchedule)
    if last:
        for name in ("a", "b"):
            Record(name, last, decision=PUBLISHED).append(folder / "models")
    result = run("schedule", "--metrics-port", "0")
    (command, at, zone), found = calls
    folders = ["--config", "nightly.toml", "--runs", "runs", "--models", "models"]
    assert command == [sys.executable, "-m", "training", "retrain", *folders]
    assert (f"{at:%H:%M}", str(zone), found) == ("03:00", "UTC", at_once)
    assert result.output == f"Retraining a, b every day at 03:00 UTC{', and now' if at_once else ''}.\n"

"""The metrics of retraining, as Prometheus scrapes them."""

import math
from pathlib import Path

from prometheus_client import CollectorRegistry, generate_latest

from training.retraining.metrics import RetrainingMetrics
from training.retraining.record import PUBLISHED, REFUSED, Record

LOSSES = {"fresh": {"old": 2.0, "new": 1.5, "characters": 1000.0}}


def scraped(models: Path, *names: str) -> list[str]:
    registry = CollectorRegistry()
    registry.register(RetrainingMetrics(models, names))
    return generate_latest(registry).decode().splitlines()


def test_the_last_run_is_exported_and_all_runs_are_counted(tmp_path: Path) -> None:
    Record("a", "2026-11-20T02:00:00+00:00", decision=PUBLISHED, losses=LOSSES, seconds=60.0).append(tmp_path)
    Record("a", "2026-11-21T02:00:00+00:00", decision=REFUSED, seconds=90.0, characters=7).append(tmp_path)
    lines = scraped(tmp_path, "a")
    assert {line for line in lines if not line.startswith("#") and not line.endswith(" 0.0")} == {
        'charloom_retraining_runs_total{decision="published",model="a"} 1.0',
        'charloom_retraining_runs_total{decision="refused",model="a"} 1.0',
        'charloom_retraining_start_seconds{model="a"} 1.7952264e+09',
        'charloom_retraining_duration_seconds{model="a"} 90.0',
        'charloom_retraining_corpus_characters{model="a"} 7.0',
        'charloom_retraining_loss_nats{model="a",of="old",text="fresh"} 2.0',
        'charloom_retraining_loss_nats{model="a",of="new",text="fresh"} 1.5',
    }


def test_a_model_without_a_run_has_counters_at_zero(tmp_path: Path) -> None:
    lines = [line for line in scraped(tmp_path, "never") if not line.startswith("#")]
    assert 'charloom_retraining_runs_total{decision="failed",model="never"} 0.0' in lines
    assert all("charloom_retraining_runs_total" in line for line in lines)


def test_a_loss_that_is_not_finite_is_exported(tmp_path: Path) -> None:
    losses = {"fresh": {"old": 2.0, "new": math.nan, "characters": 9.0}}
    Record("a", "2026-11-20T02:00:00+00:00", losses=losses).append(tmp_path)
    assert 'charloom_retraining_loss_nats{model="a",of="new",text="fresh"} NaN' in scraped(tmp_path, "a")

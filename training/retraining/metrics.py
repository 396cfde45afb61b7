"""Prometheus metrics of retraining, read from the records at each scrape, so that a restart loses nothing."""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from training.retraining.record import DECISIONS, records


def _gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"charloom_retraining_{name}", text, labels=("model", *labels))


class RetrainingMetrics(Collector):
    """A collector over the records of the models `names`."""

    def __init__(self, models: Path, names: Sequence[str]) -> None:
        self._models, self._names = models, names

    def collect(self) -> Iterator[Metric]:
        """One counter of all retraining runs, and gauges of the last one."""
        runs = CounterMetricFamily("charloom_retraining_runs", "Runs, by decision.", labels=("model", "decision"))
        start = _gauge("start_seconds", "When the last run began.")
        duration = _gauge("duration_seconds", "Duration of the last run.")
        characters = _gauge("corpus_characters", "Characters of the text at the last run.")
        loss = _gauge("loss_nats", "Nats per character of the served and the new version.", "text", "of")
        for name in self._names:
            found = records(self._models, name)
            counts = Counter(record["decision"] for record in found)
            for decision in DECISIONS:  # zeros too: a series that begins at 1 has no increase
                runs.add_metric((name, decision), counts[decision])
            if not found:
                continue
            last = found[-1]
            start.add_metric((name,), datetime.fromisoformat(last["started"]).timestamp())
            duration.add_metric((name,), last["seconds"])
            characters.add_metric((name,), last["characters"])
            for text, losses in _last_losses(found).items():
                for version in ("old", "new"):
                    loss.add_metric((name, text, version), losses[version])
        yield from (runs, start, duration, characters, loss)


def _last_losses(found: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """The losses of the last run that compared two versions, by text."""
    return next((record["losses"] for record in reversed(found) if record["losses"]), {})

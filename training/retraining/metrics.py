"""What Prometheus may know of the nights, read from their records whenever it asks: a restart forgets nothing."""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from training.retraining.record import DECISIONS, nights


class Nights(Collector):
    """A collector over the records of some models."""

    def __init__(self, models: Path, names: Sequence[str]) -> None:
        self._models, self._names = models, names

    def collect(self) -> Iterator[Metric]:
        """One family for each fact of the last night, and one that counts all of them."""
        spent = CounterMetricFamily("charloom_retraining_runs", "Runs, by decision.", labels=("model", "decision"))
        at = GaugeMetricFamily("charloom_retraining_start_seconds", "When the last run began.", labels=("model",))
        took = GaugeMetricFamily(
            "charloom_retraining_duration_seconds", "How long the last night took.", labels=("model",)
        )
        characters = GaugeMetricFamily("charloom_retraining_corpus_characters", "Text found.", labels=("model",))
        labels = ("model", "text", "of")
        loss = GaugeMetricFamily("charloom_retraining_loss_nats", "Nats a character: served and new.", labels=labels)
        for name in self._names:
            records = nights(self._models, name)
            counts = Counter(record["decision"] for record in records)
            for decision in DECISIONS:  # of a series that begins with 1 Prometheus sees no increase
                spent.add_metric((name, decision), counts[decision])
            if not records:
                continue
            last = records[-1]
            at.add_metric((name,), datetime.fromisoformat(last["started"]).timestamp())
            took.add_metric((name,), last["seconds"])
            characters.add_metric((name,), last["characters"])
            judged: dict[str, dict[str, float]] = next(
                (record["losses"] for record in reversed(records) if record["losses"]), {}
            )
            for text, losses in judged.items():
                for which in ("old", "new"):
                    loss.add_metric((name, text, which), losses[which])
        yield from (spent, at, took, characters, loss)

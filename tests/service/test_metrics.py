"""The metrics of a version are removed together. Every metric's count is tested beside the code that changes it."""

from pathlib import Path

from prometheus_client import REGISTRY
from prometheus_client.metrics import MetricWrapperBase

from service import metrics


def test_every_metric_with_a_version_forgets_it() -> None:
    labels = {"model": "forgotten", "version": "1", "reason": "stop"}
    every = [found for found in vars(metrics).values() if isinstance(found, MetricWrapperBase)]
    versioned = [metric for metric in every if "version" in metric._labelnames]
    assert len(versioned) > 10
    for metric in versioned:
        metric.labels(*(labels[name] for name in metric._labelnames))
        assert "forgotten" in models_of(metric)
    metrics.forget("forgotten", "1")
    for metric in versioned:
        assert "forgotten" not in models_of(metric)


def models_of(metric: MetricWrapperBase) -> set[str]:
    return {sample.labels["model"] for family in metric.collect() for sample in family.samples if sample.labels}


def test_another_version_is_kept() -> None:
    for version in ("1", "2"):
        metrics.LOADS.labels("kept", version).inc()
    metrics.forget("kept", "1")
    assert REGISTRY.get_sample_value("charloom_model_loads_total", {"model": "kept", "version": "1"}) is None
    assert REGISTRY.get_sample_value("charloom_model_loads_total", {"model": "kept", "version": "2"}) == 1


def test_counters_by_reason_begin_at_zero() -> None:
    """Prometheus sees no increase in a series that begins with 1."""
    for reason in ("queue_full", "rate_limit", "slow_clients", "connections", "timeout", "texts"):
        assert REGISTRY.get_sample_value("charloom_rejected_total", {"reason": reason}) is not None
    for part in ("join", "call", "engine"):
        assert REGISTRY.get_sample_value("charloom_engine_failures_total", {"part": part}) is not None


def test_the_docs_list_every_metric() -> None:
    listed = (Path(__file__).parents[2] / "docs/http.md").read_text(encoding="utf-8")
    every = [found for found in vars(metrics).values() if isinstance(found, MetricWrapperBase)]
    assert len(every) > 20
    for metric in every:
        name = metric._name + ("_total" if metric._type == "counter" else "")
        assert f"`{name}`" in listed

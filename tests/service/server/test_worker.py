"""The worker's report to its master. tests/system tests the worker on a real gunicorn."""

from types import SimpleNamespace

import pytest

from service.server.worker import Worker


@pytest.mark.parametrize(
    ("booted", "faults", "reports"),
    [(False, ["Thread engine-0 has ended."], 1), (True, [], 1), (True, ["Thread engine-0 has ended."], 0)],
)
def test_a_booted_worker_with_a_fault_does_not_report(booted: bool, faults: list[str], reports: int) -> None:
    worker, reported = Worker.__new__(Worker), []
    worker.booted = booted
    worker.wsgi = SimpleNamespace(extensions={"faults": lambda: faults})
    worker.tmp = SimpleNamespace(notify=lambda: reported.append(True))
    worker.notify()
    assert len(reported) == reports

"""The worker's report to its master; the rest of it is tested on a real gunicorn (tests/system)."""

from types import SimpleNamespace

import pytest

from service.server.worker import Worker


@pytest.mark.parametrize(
    ("booted", "faults", "reports"),
    [(False, ["Thread engine-0 has ended."], 1), (True, [], 1), (True, ["Thread engine-0 has ended."], 0)],
)
def test_a_worker_with_a_fault_is_silent_so_that_the_master_restarts_it(
    booted: bool, faults: list[str], reports: int
) -> None:
    worker, reported = Worker.__new__(Worker), []
    worker.booted = booted
    worker.wsgi = SimpleNamespace(extensions={"faults": lambda: faults})
    worker.tmp = SimpleNamespace(notify=lambda: reported.append(True))
    worker.notify()
    assert len(reported) == reports

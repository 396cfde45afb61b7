"""The worker's report to its master and its start. tests/system tests the worker on a real gunicorn."""

import socket
from types import SimpleNamespace

import pytest
from gunicorn.arbiter import Arbiter

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


def test_a_port_that_another_process_takes_during_the_start_ends_the_worker(
    caplog: pytest.LogCaptureFixture,
) -> None:
    worker = Worker.__new__(Worker)
    worker.cfg = SimpleNamespace(backlog=8)
    with socket.socket() as other, socket.socket() as own:
        for sock in (other, own):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", 0))
        own.bind(other.getsockname())  # allowed, because neither listens
        worker.sockets = [other]
        worker.listen()
        worker.sockets = [own]
        with pytest.raises(SystemExit) as ended:
            worker.listen()
        assert f"port {own.getsockname()[1]} cannot be used on 127.0.0.1 (address already in use)" in caplog.text
    assert ended.value.code == Arbiter.WORKER_BOOT_ERROR

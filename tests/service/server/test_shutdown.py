"""The drain of a scheduler that has hand-made streams."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from prometheus_client import REGISTRY

from service.server.shutdown import Drain


class FakeScheduler:
    """Two streams that run and one that waits, until `finish`."""

    def __init__(self) -> None:
        self.running, self.waiting = 2, 1
        self.calls: list[str] = []
        self.is_draining = threading.Event()

    @property
    def is_idle(self) -> bool:
        return not self.running and not self.waiting

    def finish(self) -> None:
        self.running = self.waiting = 0

    def drain(self) -> None:
        self.calls.append("drain")
        self.is_draining.set()

    def close(self) -> None:
        self.calls.append("close")


def test_a_drain_waits_for_the_streams_and_then_stops_the_engines(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    scheduler = FakeScheduler()
    drain = Drain(scheduler, seconds=60)
    assert (drain.has_begun, drain.remaining_s) == (False, float("inf"))
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(drain.run)
        assert scheduler.is_draining.wait(10)
        assert drain.has_begun
        assert 0 < drain.remaining_s <= 60
        assert scheduler.calls == ["drain"]
        scheduler.finish()
        running.result(10)
    assert scheduler.calls == ["drain", "close"]
    assert caplog.messages == ["Draining for at most 60 s: 2 streams run and 1 wait.", "Drained."]
    assert REGISTRY.get_sample_value("charloom_draining") == 1


def test_a_drain_stops_the_engines_at_its_deadline(caplog: pytest.LogCaptureFixture) -> None:
    scheduler = FakeScheduler()
    drain = Drain(scheduler, seconds=0.01)
    drain.run()
    assert drain.remaining_s == 0
    assert scheduler.calls == ["drain", "close"]
    assert caplog.messages == ["The drain has timed out: 2 streams that run and 1 that wait fail."]


def test_an_abort_waits_for_no_stream() -> None:
    scheduler = FakeScheduler()
    drain = Drain(scheduler, seconds=60)
    drain.abort()
    assert drain.has_begun
    assert scheduler.calls == ["close"]

"""Threads that run, end, fail and get stuck."""

import logging
import threading

import pytest

from service import health
from service.health import WatchedThread


class Target:
    """A thread's target with one task that lasts until `may_end` is set."""

    def __init__(self, error: Exception | None = None) -> None:
        self.begun, self.may_end, self.error = threading.Event(), threading.Event(), error

    def __call__(self, thread: WatchedThread) -> None:
        with thread.task():
            self.begun.set()
            assert self.may_end.wait(10)
            if self.error:
                raise self.error


def test_a_thread_that_returns_has_no_fault() -> None:
    target = Target()
    thread = WatchedThread(target, "test")
    thread.start()
    assert target.begun.wait(10)
    assert thread.fault() is None
    target.may_end.set()
    thread.join(10)
    assert thread.fault() is None
    assert thread.busy_s == 0


def test_a_thread_that_ends_with_an_error_has_a_fault_and_logs_it(caplog: pytest.LogCaptureFixture) -> None:
    target = Target(RuntimeError("an error"))
    thread = WatchedThread(target, "test")
    thread.start()
    target.may_end.set()
    thread.join(10)
    assert thread.fault() == "Thread test has ended."
    assert [record.levelno for record in caplog.records] == [logging.CRITICAL]
    assert [record.message for record in caplog.records] == ["Thread test has ended because of an unexpected error."]


def test_a_task_that_lasts_too_long_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    target = Target()
    thread = WatchedThread(target, "test", stalled_after_s=30)
    thread.start()
    assert target.begun.wait(10)
    with monkeypatch.context() as patch:
        now_s = health.time.monotonic()
        patch.setattr(health.time, "monotonic", lambda: now_s + 31)
        assert thread.fault() == f"Thread test has been busy with one task for {thread.busy_s:.0f} s."
        thread.restart_clock()
        assert thread.fault() is None
    target.may_end.set()
    thread.join(10)


def test_a_task_reports_its_progress_from_any_depth(monkeypatch: pytest.MonkeyPatch) -> None:
    busy_s = []

    def target(thread: WatchedThread) -> None:
        with thread.task(), monkeypatch.context() as patch:
            now_s = health.time.monotonic()
            patch.setattr(health.time, "monotonic", lambda: now_s + 31)
            health.report_progress()
            busy_s.append(thread.busy_s)

    thread = WatchedThread(target, "test", stalled_after_s=30)
    thread.start()
    thread.join(10)
    assert busy_s == [0]
    health.report_progress()  # in a thread that is not watched

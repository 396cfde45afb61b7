"""The polling thread: its interval, its failures and its end."""

import threading
import time

import pytest

from service import health
from service.store import poller
from service.store.poller import Poller


class Poll:
    """A poll that waits until `may_end` is set, and then raises `error`."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.begun, self.may_end, self.error = threading.Semaphore(0), threading.Event(), error

    def __call__(self) -> None:
        self.begun.release()
        assert self.may_end.wait(10)
        if self.error:
            raise self.error


def polling_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "store"]


def test_it_polls_until_it_is_closed() -> None:
    polled = threading.Semaphore(0)
    running = Poller(polled.release, 0.001)
    for _ in range(3):
        assert polled.acquire(timeout=10)
    assert running.fault() is None
    running.close()
    assert not polling_threads()


def test_an_exception_does_not_end_it(caplog: pytest.LogCaptureFixture) -> None:
    poll = Poll(RecursionError("in a poll"))
    poll.may_end.set()
    running = Poller(poll, 0.001)
    for _ in range(3):
        assert poll.begun.acquire(timeout=10)
    assert running.fault() is None
    running.close()
    assert caplog.text.count("RecursionError: in a poll") == 1


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_thread_that_has_ended_is_a_fault() -> None:
    poll = Poll(SystemExit())
    running = Poller(poll, 0.001)
    (thread,) = polling_threads()
    poll.may_end.set()
    thread.join(10)
    assert running.fault() == "Thread store has ended."


def test_a_poll_that_does_not_end_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    poll = Poll()
    running = Poller(poll, 0.001)
    try:
        assert poll.begun.acquire(timeout=10)
        assert running.fault() is None
        later_s = time.monotonic() + poller.STALLED_AFTER_S
        with monkeypatch.context() as patch:
            patch.setattr(health.time, "monotonic", lambda: later_s)
            assert "Thread store has been busy with one task" in running.fault()
    finally:
        poll.may_end.set()
        running.close()


def test_closing_does_not_wait_for_the_next_poll() -> None:
    running = Poller(lambda: None, 3600)
    began_s = time.monotonic()
    running.close()
    assert time.monotonic() - began_s < 60

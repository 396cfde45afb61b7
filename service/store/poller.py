"""A thread that calls one function at an interval. Knows nothing of that function."""

import threading
from collections.abc import Callable

from service.health import WatchedThread
from service.store.failures import Failures

STALLED_AFTER_S = 600.0  # of one poll without a chunk from a bucket; it may load a large model from a slow disk


class Poller:
    """Calls `poll` every `seconds` in its own thread until it is closed. Exceptions of `poll` are logged."""

    def __init__(self, poll: Callable[[], None], seconds: float) -> None:
        self._poll = poll
        self._seconds = seconds
        self._closed = threading.Event()
        self._failures = Failures()
        self._thread = WatchedThread(self._run, "store", stalled_after_s=STALLED_AFTER_S)
        self._thread.start()

    def fault(self) -> str | None:
        """A sentence that says how the thread has ended or is stuck; None if it runs."""
        return self._thread.fault()

    def close(self) -> None:
        """Stop; returns when a poll that is running has ended."""
        self._closed.set()
        self._thread.join()

    def _run(self, thread: WatchedThread) -> None:
        while not self._closed.wait(self._seconds):
            with thread.task(), self._failures.caught("The store"):
                self._poll()

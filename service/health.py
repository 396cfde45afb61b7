"""Threads that report whether they run and how long their current task takes. Knows nothing of the tasks."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from service import metrics

log = logging.getLogger(__name__)

STALLED_AFTER_S = 60.0  # in one task; an engine's call takes milliseconds


def report_progress() -> None:
    """Tell the current thread, if it is watched, that its task advances, however long it takes."""
    thread = threading.current_thread()
    if isinstance(thread, WatchedThread):
        thread.restart_clock()


class WatchedThread(threading.Thread):
    """A daemon thread that the service depends on, with metrics of its state."""

    def __init__(
        self, target: Callable[["WatchedThread"], None], name: str, *, stalled_after_s: float = STALLED_AFTER_S
    ) -> None:
        """`target` is called with this thread, so that it can mark its tasks with `task`."""
        super().__init__(name=name, daemon=True)
        self._target_of_thread = target
        self._busy_since_s: float | None = None
        self._returned = False
        self._stalled_after_s = stalled_after_s
        metrics.THREAD_BUSY_SECONDS.labels(name).set_function(lambda: self.busy_s)
        metrics.THREAD_UP.labels(name).set_function(lambda: float(self.is_alive()))

    def run(self) -> None:
        """Call the target; an exception ends the thread and is logged."""
        try:
            self._target_of_thread(self)
        except Exception:
            log.critical("Thread %s has ended because of an unexpected error.", self.name, exc_info=True)
        else:
            self._returned = True

    @contextmanager
    def task(self) -> Iterator[None]:
        """Mark the enclosed statements as one task."""
        self._busy_since_s = time.monotonic()
        try:
            yield
        finally:
            self._busy_since_s = None

    def restart_clock(self) -> None:
        """The current task has advanced: it counts as busy from now on."""
        self._busy_since_s = time.monotonic()

    @property
    def busy_s(self) -> float:
        """Seconds since the current task began or last advanced; 0 between tasks."""
        since = self._busy_since_s
        return 0.0 if since is None else time.monotonic() - since

    def fault(self) -> str | None:
        """A sentence that says how the thread failed or is stuck; None if it runs or its target has returned."""
        if not self.is_alive() and not self._returned:
            return f"Thread {self.name} has ended."
        if self.busy_s > self._stalled_after_s:
            return f"Thread {self.name} has been busy with one task for {self.busy_s:.0f} s."
        return None

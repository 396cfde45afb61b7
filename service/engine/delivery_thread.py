"""The thread that passes the results of calls to the rows' listeners while the engines compute the next calls.

An engine that passed them on itself would keep its core idle meanwhile: with 32 streams over HTTP for milliseconds a
call, most of them in wait for the interpreter's lock. Knows neither rows nor calls.
"""

import logging
import queue
from collections.abc import Callable

from service.health import WatchedThread

log = logging.getLogger(__name__)

Task = Callable[[], None]
Deliver = Callable[[Task], None]
"""Runs tasks in their order, now or later."""


class DeliveryThread:
    """Runs tasks one after the other. At most `waiting` may wait; then `run` waits too, so engines cannot run ahead."""

    def __init__(self, *, waiting: int) -> None:
        """Start the thread."""
        self._tasks: queue.Queue[Task | None] = queue.Queue(waiting)
        self.thread = WatchedThread(self._run, "delivery")
        self.thread.start()

    def run(self, task: Task) -> None:
        """Let the thread run a task after those that wait. An exception of the task is logged."""
        self._tasks.put(task)

    def close(self) -> None:
        """End the thread after all tasks that wait."""
        if self.thread.is_alive():  # it takes one None, and more would fill the queue
            self._tasks.put(None)
        self.thread.join()

    def _run(self, thread: WatchedThread) -> None:
        while task := self._tasks.get():
            with thread.task():
                try:
                    task()
                except Exception:
                    log.exception("Unexpected error while results were delivered.")
            del task  # it holds the arrays of a call


def at_once(task: Task) -> None:
    """Run a task in the caller's thread."""
    task()

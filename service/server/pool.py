"""A thread pool whose threads all start before the first request, so that no client waits for a thread to start."""

import queue
import threading
from collections.abc import Callable


class Pool:
    """`size` daemon threads that run tasks in the order of submission."""

    def __init__(self, size: int, name: str) -> None:
        """Start every thread.

        Raises:
            RuntimeError: the system does not allow so many threads; those that have started end.
        """
        self._tasks: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._size = 0
        try:
            for number in range(size):
                threading.Thread(target=self._run, name=f"{name}-{number}", daemon=True).start()
                self._size += 1
        except RuntimeError:
            self.shutdown()
            raise

    def submit(self, task: Callable[[], None]) -> None:
        """Run `task` in the next free thread. It must handle its own exceptions."""
        self._tasks.put(task)

    def shutdown(self, wait: bool = False) -> None:
        """Let every thread end after its current task. Daemon threads do not keep the process alive."""
        for _ in range(self._size):
            self._tasks.put(None)

    def _run(self) -> None:
        while (task := self._tasks.get()) is not None:
            task()

"""Threads that all start at once, before the first request: none has to be started while clients wait."""

import queue
import threading
import time
from collections.abc import Callable


class Pool:
    """`size` daemon threads that take tasks in the order of their submission."""

    def __init__(self, size: int, name: str, *, rest_factor: float = 0.0) -> None:
        """Start every thread. After a task it sleeps `rest_factor` times the CPU time that the task took.

        Raises:
            RuntimeError: the system does not allow so many; none of them is left running.
        """
        self._tasks: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._size = 0
        self._rest_factor = rest_factor
        try:
            for number in range(size):
                threading.Thread(target=self._run, name=f"{name}-{number}", daemon=True).start()
                self._size += 1
        except RuntimeError:
            self.shutdown()
            raise

    def submit(self, task: Callable[[], None]) -> None:
        """Run `task` in the next free thread; it handles its own exceptions."""
        self._tasks.put(task)

    def shutdown(self, wait: bool = False) -> None:
        """Let every thread end after its present task. Being daemons, they never hold up the process."""
        for _ in range(self._size):
            self._tasks.put(None)

    def _run(self) -> None:
        while (task := self._tasks.get()) is not None:
            began_s = time.thread_time()
            task()
            if self._rest_factor:
                time.sleep(self._rest_factor * (time.thread_time() - began_s))

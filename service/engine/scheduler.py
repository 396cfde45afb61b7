"""Admission, queue and engine threads: continuous batching. Knows rows, not text.

All engines share one queue. Between two calls, an engine takes rows up to its share of all that run and wait, so that
no engine computes for many while another is idle. Few rows have one engine: a step of eight rows takes little longer
than one of four, and where no other engine computes, the gates of a large network are computed on several cores. On two
cores that is 1.1 to 1.5 times as fast for two to eight rows (docs/experiments.md).
"""

import math
import threading
from collections import deque
from functools import partial

from service import metrics
from service.engine.delivery_thread import DeliveryThread
from service.engine.engine import Engine
from service.engine.prefix_cache import PrefixCache
from service.engine.row import Row
from service.health import WatchedThread
from service.model.model import Model

FEW_ROWS = 8  # that one engine computes as fast as several would


class QueueFull(Exception):
    """As many rows wait as may wait."""


class Closed(Exception):
    """The scheduler takes no more rows: the service is shutting down."""


class Scheduler:
    """`engines` threads that advance at most `slots` rows each, and a queue of at most `queue` rows."""

    def __init__(
        self, *, engines: int, slots: int, queue: int, chunk: int, cache: PrefixCache, call_s: float = math.inf
    ) -> None:
        """Start the threads. A call has at most `chunk` steps, and as many as it can take in about `call_s`."""
        self._slots = slots
        self._max_waiting = queue
        self._changed = threading.Condition()
        self._waiting: deque[tuple[Model, Row]] = deque()
        self._closed = False
        self._draining = False
        self._delivery = DeliveryThread(waiting=2 * engines)
        self._engines = [
            Engine(slots=slots, chunk=chunk, cache=cache, call_s=call_s, deliver=self._delivery.run)
            for _ in range(engines)
        ]
        self._threads = [
            WatchedThread(partial(self._run, engine), f"engine-{number}") for number, engine in enumerate(self._engines)
        ]
        metrics.RUNNING.set_function(lambda: self.running)
        metrics.WAITING.set_function(lambda: self.waiting)
        for thread in self._threads:
            thread.start()

    @property
    def running(self) -> int:
        """The number of rows that the engines advance."""
        return sum(engine.rows for engine in self._engines)

    @property
    def waiting(self) -> int:
        """The number of rows that no engine has taken yet, without those of clients that have left."""
        with self._changed:
            return sum(not row.is_cancelled for _, row in self._waiting)

    @property
    def is_idle(self) -> bool:
        """Whether no row runs or waits."""
        with self._changed:
            return not self.running and not self.waiting

    def drain(self) -> None:
        """Take no more rows; those that run or wait continue."""
        with self._changed:
            self._draining = True

    def submit(self, model: Model, *rows: Row) -> None:
        """Queue rows, all or none, for the next engines with a free slot.

        Raises:
            QueueFull: the free slots and the rest of the queue are fewer than the rows.
            Closed: `drain` or `close` was called.
        """
        with self._changed:
            if self._closed or self._draining:
                raise Closed
            self._waiting = deque(pair for pair in self._waiting if not pair[1].is_cancelled)
            limit = self._slots * len(self._engines) + self._max_waiting
            if self.running + self.waiting + len(rows) > limit:
                metrics.REJECTED.labels("queue_full").inc()
                problem = "which is the limit" if len(rows) == 1 else f"and the limit for {len(rows)} more is {limit}"
                raise QueueFull(f"{self.running} streams run and {self.waiting} wait, {problem}.")
            self._waiting.extend((model, row) for row in rows)
            self._changed.notify_all()

    def close(self) -> None:
        """Stop each engine after its current call; rows that still run or wait fail."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()
        self._delivery.close()
        for _, row in self._waiting:
            row.fail(Closed())

    def faults(self) -> list[str]:
        """A sentence for each thread that has ended or is stuck; none once the scheduler is closed."""
        if self._closed:
            return []
        return [fault for thread in (*self._threads, self._delivery.thread) if (fault := thread.fault())]

    def _run(self, engine: Engine, thread: WatchedThread) -> None:
        while True:
            with self._changed:
                self._wake_others()
                self._changed.wait_for(lambda: self._closed or engine.rows or self._should_take(engine))
                if self._closed:
                    break
                while self._should_take(engine):
                    engine.take(*self._waiting.popleft())
                self._wake_others()
            with thread.task():
                engine.step()
        engine.fail(Closed())

    def _wake_others(self) -> None:
        """Let the other engines look at the rows that wait again: this engine has taken rows, or some have ended.

        Which engine takes a row depends on the rows of all, and one that left it to another sleeps.
        """
        if self._waiting:
            self._changed.notify_all()

    def _should_take(self, engine: Engine) -> bool:
        """Whether a row waits that this engine has a slot for, within its share.

        The share is an equal part of all rows, but at least `FEW_ROWS`: engines with fewer are filled one by one.
        """
        equal_part = -(-(self.running + self.waiting) // len(self._engines))
        limit = min(self._slots, max(FEW_ROWS, equal_part))
        if not self.waiting or engine.rows >= limit:
            return False
        small = [other for other in self._engines if other.rows < min(limit, FEW_ROWS)]
        return engine not in small or engine is max(small, key=lambda other: other.rows)

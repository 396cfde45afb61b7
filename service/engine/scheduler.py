"""Admission, queue and engine threads: continuous batching. Knows rows and batches; knows nothing of text.

One queue for all engines. An engine takes rows from it between two calls, up to its fair share of all that run and
wait, so that no engine computes for many while another sleeps.
"""

import logging
import threading
from collections import deque
from functools import partial

from service import metrics
from service.engine.batch import Batch
from service.engine.prefix_cache import PrefixCache
from service.engine.row import Row
from service.health import WatchedThread
from service.model.model import Model

log = logging.getLogger(__name__)


class QueueFull(Exception):
    """As many streams wait as may wait."""


class Closed(Exception):
    """The service is shutting down."""


class Scheduler:
    """`engines` threads, each with room for `slots` rows, and a queue of at most `queue` rows in front of them."""

    def __init__(self, *, engines: int, slots: int, queue: int, chunk: int, cache: PrefixCache) -> None:
        self._slots = slots
        self._max_waiting = queue
        self._changed = threading.Condition()
        self._waiting: deque[tuple[Model, Row]] = deque()
        self._closed = False
        self._draining = False
        self._engines = [_Engine(slots=slots, chunk=chunk, cache=cache) for _ in range(engines)]
        self._threads = [
            WatchedThread(partial(self._run, engine), f"engine-{number}") for number, engine in enumerate(self._engines)
        ]
        metrics.RUNNING.set_function(lambda: self.running)
        metrics.WAITING.set_function(lambda: self.waiting)
        for thread in self._threads:
            thread.start()

    @property
    def running(self) -> int:
        """Rows that the engines advance."""
        return sum(engine.rows for engine in self._engines)

    @property
    def waiting(self) -> int:
        """Rows that no engine has taken yet."""
        return len(self._waiting)

    @property
    def is_idle(self) -> bool:
        """Whether no row runs or waits."""
        with self._changed:
            return not self.running and not self.waiting

    def drain(self) -> None:
        """Take no more rows; those that run or wait go on."""
        with self._changed:
            self._draining = True

    def submit(self, model: Model, row: Row) -> None:
        """Queue a row for the next engine with room.

        Raises:
            QueueFull: every slot is taken and the queue is full.
            Closed: `drain` or `close` was called.
        """
        with self._changed:
            if self._closed or self._draining:
                raise Closed
            self._waiting = deque(waiting for waiting in self._waiting if not waiting[1].cancelled)
            free = self._slots * len(self._engines) - self.running
            if self.waiting >= free + self._max_waiting:
                metrics.REJECTED.labels("queue_full").inc()
                raise QueueFull(f"{self.running} streams run and {self.waiting} wait, which is all that may.")
            self._waiting.append((model, row))
            self._changed.notify_all()

    def close(self) -> None:
        """Stop the engines after the call that each is in; what still runs or waits fails."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()
        for _, row in self._waiting:
            row.fail(Closed())

    def faults(self) -> list[str]:
        """A sentence for each engine whose thread has ended or is stuck; none once the scheduler is closed."""
        if self._closed:
            return []
        return [fault for thread in self._threads if (fault := thread.fault())]

    def _run(self, engine: "_Engine", thread: WatchedThread) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or engine.rows or self._has_room(engine))
                if self._closed:
                    break
                while self._has_room(engine):
                    engine.take(*self._waiting.popleft())
            with thread.task():
                engine.step()
        engine.fail(Closed())

    def _has_room(self, engine: "_Engine") -> bool:
        """Whether a row waits that this engine should take rather than another."""
        fair_share = -(-(self.running + self.waiting) // len(self._engines))
        return self.waiting > 0 and engine.rows < min(self._slots, fair_share)


class _Engine:
    """What one thread advances: a batch for each model that its rows ask for."""

    def __init__(self, *, slots: int, chunk: int, cache: PrefixCache) -> None:
        self._slots = slots
        self._chunk = chunk
        self._cache = cache
        self._batches: dict[Model, Batch] = {}
        self._taken: list[tuple[Model, Row]] = []  # to join at the next step
        self.rows = 0  # that it has taken and that have not left; other threads read it

    def take(self, model: Model, row: Row) -> None:
        """Take a row, which joins the batch of its model at the next step: only that may last."""
        self._taken.append((model, row))
        self.rows += 1

    def step(self) -> None:
        """Let the rows that were taken join, then one call for each batch. An error fails its rows; none is raised."""
        try:
            for model, row in self._taken:
                self._join(model, row)
            self._taken.clear()
            for model, batch in list(self._batches.items()):
                if not self._step(model, batch):
                    del self._batches[model]
            self.rows = sum(map(len, self._batches.values()))
        except Exception as error:
            log.exception("Unexpected error of an engine; its rows fail.")
            metrics.ENGINE_FAILURES.labels("engine").inc()
            self.fail(error)

    def fail(self, error: Exception) -> None:
        """Tell every row that there is nothing more to come, and let go of all."""
        for _, row in self._taken:
            row.fail(error)
        for batch in self._batches.values():
            batch.fail(error)
        self._taken, self._batches, self.rows = [], {}, 0

    def _join(self, model: Model, row: Row) -> None:
        """Let a row join the batch of its model; if it cannot, it fails and nothing else does."""
        try:
            if model not in self._batches:
                self._batches[model] = Batch(model, slots=self._slots, chunk=self._chunk, cache=self._cache)
            self._batches[model].join(row)
        except Exception as error:
            log.exception("A row (%s) cannot join a batch.", row)
            metrics.ENGINE_FAILURES.labels("join").inc()
            row.fail(error)

    def _step(self, model: Model, batch: Batch) -> bool:
        """One call of a batch. Whether it goes on: it has rows, and no error that is the whole batch's."""
        try:
            batch.step()
        except Exception as error:
            log.exception("A batch of %s %d failed.", model.manifest.name, model.manifest.version)
            metrics.ENGINE_FAILURES.labels("engine").inc()
            batch.fail(error)
            return False
        return len(batch) > 0

"""Admission, queue and engine threads: continuous batching. Knows rows and batches; knows nothing of text.

One queue for all engines. An engine takes rows from it between two calls, up to its fair share of all that run and
wait, so that no engine computes for many while another sleeps.
"""

import logging
import threading
from collections import deque

from service import metrics
from service.artifact.model import Model
from service.generation.batch import Batch, Row
from service.generation.prefix_cache import PrefixCache

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
            threading.Thread(target=self._run, args=(engine,), name=f"engine-{number}", daemon=True)
            for number, engine in enumerate(self._engines)
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
            row.listener.failed(Closed())

    def _run(self, engine: "_Engine") -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._closed or engine.rows or self._has_room(engine))
                if self._closed:
                    break
                while self._has_room(engine):
                    engine.join(*self._waiting.popleft())
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

    @property
    def rows(self) -> int:
        """Rows of all its batches."""
        return sum(len(batch) for batch in list(self._batches.values()))

    def join(self, model: Model, row: Row) -> None:
        """Take a row into the batch of its model."""
        if model not in self._batches:
            self._batches[model] = Batch(model, slots=self._slots, chunk=self._chunk, cache=self._cache)
        self._batches[model].join(row)

    def step(self) -> None:
        """One call for each batch; a batch that fails takes its own rows with it and nothing else."""
        for model, batch in list(self._batches.items()):
            try:
                batch.step()
            except Exception as error:
                log.exception("A batch of %s %d failed.", model.manifest.name, model.manifest.version)
                batch.fail(error)
                del self._batches[model]
            else:
                if not len(batch):
                    del self._batches[model]

    def fail(self, error: Exception) -> None:
        """Tell every row that there is nothing more to come."""
        for batch in self._batches.values():
            batch.fail(error)

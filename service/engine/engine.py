"""The rows that one engine thread advances, in a batch for each model. Knows no queue, threads or other engines."""

import logging
import math
from functools import partial

from service import metrics
from service.engine.batch import Batch
from service.engine.delivery_thread import Deliver, at_once
from service.engine.prefix_cache import PrefixCache
from service.engine.row import Row
from service.model.model import Model

log = logging.getLogger(__name__)


class Engine:
    """Batches of at most `slots` rows, whose calls have at most `chunk` steps and take about `call_s` seconds."""

    def __init__(
        self,
        *,
        slots: int,
        chunk: int,
        cache: PrefixCache,
        call_s: float = math.inf,
        deliver: Deliver = at_once,
    ) -> None:
        self.rows = 0  # taken and not yet finished; other threads read it
        self._new_batch = partial(Batch, slots=slots, chunk=chunk, cache=cache, call_s=call_s)
        self._deliver = deliver
        self._batches: dict[Model, Batch] = {}
        self._taken: list[tuple[Model, Row]] = []

    def take(self, model: Model, row: Row) -> None:
        """Accept a row at once; it joins its batch, which may take long, in the next step."""
        self._taken.append((model, row))
        self.rows += 1

    def step(self) -> None:
        """Let accepted rows join, then step each batch. Raises nothing: an error fails the rows that it concerns."""
        try:
            for model, row in self._taken:
                self._join(model, row)
            self._taken.clear()
            for model, batch in list(self._batches.items()):
                if not self._step(batch):
                    del self._batches[model]
            self._count()
        except Exception as error:
            log.exception("Unexpected error of an engine; its rows fail.")
            metrics.ENGINE_FAILURES.labels("engine").inc()
            self.fail(error)

    def fail(self, error: Exception) -> None:
        """Fail and drop every row."""
        for _, row in self._taken:
            row.fail(error)
        for batch in self._batches.values():
            for task in batch.fail(error):
                self._deliver(task)
        self._taken, self._batches, self.rows = [], {}, 0

    def _join(self, model: Model, row: Row) -> None:
        """Let a row join the batch of its model. A row that cannot join fails alone."""
        try:
            if model not in self._batches:
                self._batches[model] = self._new_batch(model)
            self._batches[model].join(row)
        except Exception as error:
            log.exception("A row (%s) cannot join a batch.", row)
            metrics.ENGINE_FAILURES.labels("join").inc()
            row.fail(error)

    def _step(self, batch: Batch) -> bool:
        """Step a batch; false if it has no rows left, or if all of it has failed."""
        try:
            for task in batch.step():
                self._count()  # before a listener can submit the next row
                self._deliver(task)
        except Exception as error:
            log.exception("A batch of %s failed.", batch.version)
            metrics.ENGINE_FAILURES.labels("engine").inc()
            for task in batch.fail(error):
                self._deliver(task)
            return False
        return len(batch) > 0

    def _count(self) -> None:
        self.rows = sum(map(len, self._batches.values()))

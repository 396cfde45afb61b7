"""The batch of one engine and one model: rows join, prefill, decode and leave. Knows no text, queues or threads.

Prefill has calls of its own, and so has the first symbol of a text. Few rows are new at a time, and a call of few
rows is quick: a prompt of 20 symbols delays the rows that decode by a few milliseconds, and its own stream less than
if it advanced in step with them.
"""

import logging
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from service import metrics
from service.engine.call import Errors
from service.engine.call_budget import CallBudget
from service.engine.delivery_thread import Deliver, Task, at_once
from service.engine.prefix_cache import PrefixCache
from service.engine.row import Row
from service.engine.slots import Slots
from service.model.model import Model

log = logging.getLogger(__name__)


class Batch:
    """Rows of one model that advance together. None affects the symbols or logprobs of another."""

    def __init__(self, model: Model, *, slots: int, chunk: int, cache: PrefixCache, call_s: float = math.inf) -> None:
        """At most `slots` rows. A call has at most `chunk` steps, and as many as it can take in about `call_s`."""
        self.version = model.manifest.model_version
        self._model, self._cache = model, cache
        budget = CallBudget(call_s, chunk)
        self._prefilling, self._starting, self._decoding = (
            Slots(model, max_rows=slots, budget=budget) for _ in range(3)
        )
        self._hits = metrics.CACHE_HITS.labels(*self.version.labels)
        self._misses = metrics.CACHE_MISSES.labels(*self.version.labels)

    def __len__(self) -> int:
        return len(self._prefilling) + len(self._starting) + len(self._decoding)

    def join(self, row: Row) -> None:
        """Add a row, which starts after the longest beginning of its prompt in the prefix cache."""
        prefix = None
        if self._cache.is_on and row.may_use_cache:
            prefix = self._cache.longest(self._model, row.prompt)
            (self._hits if prefix else self._misses).inc()
        if prefix:
            row.skip(prefix.symbols)
        row.listener.started()
        slots = self._prefilling if row.to_follow else self._starting
        if prefix:
            slots.add(row, prefix.previous, prefix.state)
        else:
            slots.add(row)

    def step(self) -> Iterator[Task]:
        """A call each to prefill, to start texts and to decode, if it has rows; finished rows leave.

        Yields, after each call, tasks that pass its results to the rows' listeners. They may run later, in their order.
        """
        calls = ((self._prefilling, self._prefill), (self._starting, self._start), (self._decoding, self._decode))
        for slots, advance in calls:
            slots.drop_finished()
            if len(slots):
                tasks = advance(slots)
                slots.drop_finished()
                yield from tasks

    def fail(self, error: Exception) -> Iterator[Task]:
        """End every row. Yields tasks that pass the error to the rows' listeners."""
        for row in (*self._prefilling, *self._starting, *self._decoding):
            row.end()
            yield partial(row.fail, error)

    def _prefill(self, rows: Slots) -> list[Task]:
        """Each row follows the next symbols of its prompt; at the end of it the row starts its text or is finished.

        A call may take twice its time if that ends the prompts: a decode call before the rest would take as long.
        """
        longest = max(row.to_follow for row in rows)
        steps = longest if longest <= rows.steps(share=2.0) else rows.steps()
        rows.inputs.length[:] = rows.inputs.given_length[:] = steps  # padding too: never more than the call has
        followed = []
        for index, row in enumerate(rows):
            given = row.follow(steps)
            rows.inputs.given[index, : len(given)] = given
            rows.inputs.given_length[index] = rows.inputs.length[index] = len(given)
            followed.append(given)
        used = [len(given) for given in followed]
        outputs, errors = rows.call(steps, used, guesses=any(row.prompt_guesses for row in rows))

        def pass_on(index: int, row: Row) -> None:
            guesses = outputs.guesses(index, used[index], row.prompt_guesses)
            row.deliver_followed(followed[index], outputs.logprobs[index, : used[index]], guesses)

        tasks = [self._results(rows, errors, pass_on)]
        for index in reversed(range(len(rows))):  # a dropped row's index goes to the last row, which is done
            if index not in errors and not rows[index].to_follow:
                with self._failing_alone(rows[index], tasks.append):
                    self._finish_prefill(rows, index)
        return tasks

    def _finish_prefill(self, rows: Slots, index: int) -> None:
        """Keep the state after a prompt, and move its row to the rows that start if it has symbols to sample."""
        row, state = rows[index], rows.inputs.state[:, index]
        self._cache.keep(self._model, row.prompt, state)
        if row.to_sample:
            self._starting.add(row, int(row.prompt[-1]), state)
        rows.drop(index)

    def _start(self, rows: Slots) -> list[Task]:
        """Each row samples its first symbol, then decodes."""
        tasks = self._sample(rows, 1)
        rows.drop_finished()
        for index in reversed(range(len(rows))):
            inputs = rows.inputs
            self._decoding.add(rows[index], int(inputs.previous[index]), inputs.state[:, index])
            rows.drop(index)
        return tasks

    def _decode(self, rows: Slots) -> list[Task]:
        """Each row samples as many symbols as fit into the time of a call, which is longer the more rows there are."""
        return self._sample(rows, rows.steps(share=_share(len(rows))))

    def _sample(self, rows: Slots, steps: int) -> list[Task]:
        """Each row samples at most `steps` symbols. It runs for the whole call; output past its end is discarded."""
        steps = min(steps, max(row.to_sample for row in rows))
        sampled = []
        for index, row in enumerate(rows):
            uniforms = row.sample(steps)
            rows.inputs.uniforms[index, : len(uniforms)] = uniforms
            sampled.append(len(uniforms))
        rows.inputs.length[:] = steps
        outputs, errors = rows.call(steps, sampled, guesses=any(row.guesses for row in rows))

        def pass_on(index: int, row: Row) -> None:
            count = sampled[index]
            symbols, logprobs = outputs.symbols[index, :count], outputs.logprobs[index, :count]
            row.deliver_sampled(symbols, logprobs, outputs.guesses(index, count, row.guesses))

        return [self._results(rows, errors, pass_on)]

    def _results(self, rows: Slots, errors: Errors, pass_on: Callable[[int, Row], None]) -> Task:
        """A task that passes the results of a call to its rows. Those with an error take no further step."""
        of_call = list(rows)
        for index in errors:
            of_call[index].end()

        def task() -> None:
            for index, row in enumerate(of_call):
                if index in errors:
                    self._fail(row, errors[index])
                    continue
                with self._failing_alone(row):
                    pass_on(index, row)

        return task

    @contextmanager
    def _failing_alone(self, row: Row, deliver: Deliver = at_once) -> Iterator[None]:
        """An exception within fails this row and no other."""
        try:
            yield
        except Exception as error:
            log.exception("Unexpected error on an engine's thread.")
            metrics.ENGINE_FAILURES.labels("engine").inc()
            row.end()
            deliver(partial(self._fail, row, error))

    def _fail(self, row: Row, error: Exception) -> None:
        log.error("A row of %s failed (%s): %s", self.version, row, error)
        row.fail(error)


def _share(rows: int) -> float:
    """The time of a decode call of so many rows, as a multiple of `CHARLOOM_CALL_MS`.

    A call costs time beside its steps: some for itself, and some for each row, whose symbols are delivered. This length
    makes that cost about the same part of the time for few rows as for many, and few rows wait less.
    """
    return (16 + rows) / 40

"""The rows of one engine's batch: join, read the prompt, write, leave. Arrays and ids; no text, queues or threads.

Prompts are read in calls of their own. There are few such rows, and a step of few rows is quick: a prompt of 20 symbols
costs those that write some milliseconds once, and its own stream less than if it kept step with them.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from service import metrics
from service.engine.call import Errors, advance
from service.engine.prefix_cache import Prefix, PrefixCache
from service.engine.row import Row
from service.model.codec import RESERVED
from service.model.model import Model, Stepped, Steps

log = logging.getLogger(__name__)

FIRST_CHARS = 2  # steps of a call while a row waits for its first: soon there, and not one call for each
FEW_ROWS = 4  # whose steps are so quick that a call may have many


class Batch:
    """Rows of one model that advance together, each as if it were alone."""

    def __init__(self, model: Model, *, slots: int, chunk: int, cache: PrefixCache) -> None:
        """Room for `slots` rows that take up to `chunk` steps a call."""
        self._model, self._cache = model, cache
        self._slots, self._chunk = slots, chunk
        self._reading = _Rows(model, slots, chunk)
        self._writing = _Rows(model, slots, chunk)
        labels = (model.manifest.name, str(model.manifest.version))
        self._hits, self._misses = metrics.CACHE_HITS.labels(*labels), metrics.CACHE_MISSES.labels(*labels)

    def __len__(self) -> int:
        return len(self._reading) + len(self._writing)

    def join(self, row: Row) -> None:
        """Take a row in: cold, or where the cache knows the beginning of its prompt."""
        known = None
        if self._cache.is_on and len(row.prompt):
            known = self._cache.longest(self._model, row.prompt)
            (self._hits if known else self._misses).inc()
        if known:
            row.skip(known.symbols)
        row.listener.started()
        (self._reading if row.to_follow else self._writing).add(row, known)

    def step(self) -> None:
        """One call for the rows that read, one for those that write; finished ones leave."""
        self._read()
        self._write()

    def fail(self, error: Exception) -> None:
        """Tell every row that there is nothing more to come."""
        for row in (*self._reading, *self._writing):
            row.fail(error)

    def _read(self) -> None:
        """Each row reads on in its prompt; one that is through goes over to those that write."""
        rows = self._reading
        rows.drop_finished()
        if not len(rows):
            return
        steps = min(self._steps(len(rows)), max(row.to_follow for row in rows))
        rows.inputs.length[:] = rows.inputs.given_length[:] = steps  # the padding's too: never more than there are
        for index, row in enumerate(rows):
            given = row.follow(steps)
            rows.inputs.given[index, : len(given)] = given
            rows.inputs.given_length[index] = rows.inputs.length[index] = len(given)
        _, errors = rows.call(steps)
        for index in reversed(range(len(rows))):
            row = rows[index]
            if index in errors:
                self._fail(row, errors[index])
            elif not row.to_follow:
                with self._failing_alone(row):
                    state = rows.inputs.state[:, index]
                    self._cache.keep(self._model, row.prompt, state)
                    self._writing.add(row, Prefix(len(row.prompt), int(row.prompt[-1]), state))
                    rows.drop(index)
        rows.drop_finished()

    def _write(self) -> None:
        """Each row samples, and its listener hears what.

        All take all steps of the call: what a row that ends inside it has too much goes nowhere.
        """
        rows = self._writing
        rows.drop_finished()
        if not len(rows):
            return
        steps = min(self._steps(len(rows)), max(row.to_sample for row in rows))
        is_short = not all(row.has_sampled for row in rows)
        if is_short:
            steps = min(steps, FIRST_CHARS)
        wanted = []
        for index, row in enumerate(rows):
            uniforms = row.sample(steps)
            rows.inputs.uniforms[index, : len(uniforms)] = uniforms
            wanted.append(len(uniforms))
        rows.inputs.length[:] = steps
        outputs, errors = rows.call(steps)
        for index, (row, sampled) in enumerate(zip(rows, wanted, strict=True)):
            if index in errors:
                self._fail(row, errors[index])
                continue
            with self._failing_alone(row):
                symbols, logprobs = outputs.symbols[index, :sampled], outputs.logprobs[index, :sampled]
                row.deliver(symbols, logprobs, hold=is_short and len(rows) > self._slots // 2)
        rows.drop_finished()

    @contextmanager
    def _failing_alone(self, row: Row) -> Iterator[None]:
        """Within: an exception fails the row and nothing else."""
        try:
            yield
        except Exception as error:
            log.exception("Unexpected error on an engine's thread.")
            metrics.ENGINE_FAILURES.labels("engine").inc()
            self._fail(row, error)

    def _fail(self, row: Row, error: Exception) -> None:
        manifest = self._model.manifest
        log.error("A row of %s %d failed (%s): %s", manifest.name, manifest.version, row, error)
        row.fail(error)

    def _steps(self, rows: int) -> int:
        """Steps of a call: until half of the slots are taken few, so that nobody waits long; then for throughput."""
        if rows > self._slots // 2:
            return self._chunk
        return max(1, self._chunk // 4, self._chunk * FEW_ROWS // max(FEW_ROWS, rows))


class _Rows:
    """Rows and the inputs of their next call. A row has one index of every array from when it comes until it goes.

    Then the last row moves into its place, so that the rows in use are always the first ones.
    """

    def __init__(self, model: Model, slots: int, chunk: int) -> None:
        self._model = model
        self._rows: list[Row] = []
        labels = (model.manifest.name, str(model.manifest.version))
        self._rows_of_call = metrics.BATCH_ROWS.labels(*labels)
        self._seconds_of_call = metrics.CALL_SECONDS.labels(*labels)
        capacity = self._padded(slots)
        self.inputs = Steps(
            previous=np.zeros(capacity, np.int32),
            given=np.zeros((capacity, chunk), np.int32),
            given_length=np.zeros(capacity, np.int32),
            length=np.zeros(capacity, np.int32),
            uniforms=np.zeros((capacity, chunk), np.float32),
            temperature=np.ones(capacity, np.float32),
            top_k=np.zeros(capacity, np.int32),
            top_p=np.ones(capacity, np.float32),
            bias=np.zeros((capacity, model.manifest.symbols), np.float32),
            state=model.initial_state(capacity),
        )

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Row:
        return self._rows[index]

    def __iter__(self) -> Iterator[Row]:
        return iter(self._rows)

    def add(self, row: Row, start: Prefix | None) -> None:
        """Take a row in, cold or after a prefix of its prompt."""
        index, inputs = len(self._rows), self.inputs
        inputs.previous[index] = start.previous if start else RESERVED
        inputs.state[:, index] = start.state if start else 0
        if not row.to_follow:  # while it reads it does not sample, and a filter costs all rows time
            sampling = row.sampling
            inputs.temperature[index] = sampling.float32_temperature
            inputs.top_k[index], inputs.top_p[index] = sampling.top_k, sampling.float32_top_p
        self._rows.append(row)  # last: a row that could not be taken in is not there

    def call(self, steps: int) -> tuple[Stepped, Errors]:
        """Advance the rows by their next steps (see `call.advance`)."""
        start_s = time.perf_counter()
        padded = self._padded(len(self))
        inputs = self.inputs
        now = Steps(
            previous=inputs.previous[:padded],
            given=inputs.given[:padded, :steps],
            given_length=inputs.given_length[:padded],
            length=inputs.length[:padded],
            uniforms=inputs.uniforms[:padded, :steps],
            temperature=inputs.temperature[:padded],
            top_k=inputs.top_k[:padded],
            top_p=inputs.top_p[:padded],
            bias=inputs.bias[:padded],
            state=inputs.state[:, :padded],
        )
        outputs, errors = advance(self._model, now, len(self))
        inputs.previous[:padded] = outputs.previous
        inputs.state[:, :padded] = outputs.state
        self._seconds_of_call.observe(time.perf_counter() - start_s)
        self._rows_of_call.observe(len(self))
        return outputs, errors

    def drop_finished(self) -> None:
        """Let go of the rows that are finished."""
        for index in reversed(range(len(self._rows))):
            if self._rows[index].is_finished:
                self.drop(index)

    def drop(self, index: int) -> None:
        """Let go of a row."""
        inputs, last = self.inputs, len(self._rows) - 1
        self._rows[index] = self._rows[last]
        self._rows.pop()
        for array in (inputs.previous, inputs.temperature, inputs.top_k, inputs.top_p):
            array[index] = array[last]
        inputs.state[:, index] = inputs.state[:, last]
        # What is left there is padding, of which no call may fail.
        inputs.previous[last], inputs.state[:, last] = RESERVED, 0
        inputs.temperature[last], inputs.top_k[last], inputs.top_p[last] = 1, 0, 1

    def _padded(self, rows: int) -> int:
        return -(-rows // self._model.row_multiple) * self._model.row_multiple

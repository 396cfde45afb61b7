"""The rows of one engine's batch: join, step, leave. Arrays and ids only; knows nothing of text, queues or threads.

A row occupies one index of every array from the call after it joined until it leaves; then the last row moves into its
place, so that the rows in use are always the first ones.
"""

import time
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from service import metrics
from service.artifact.model import Model, Steps
from service.artifact.text import RESERVED
from service.generation.prefix_cache import PrefixCache

FIRST_CHARS = 2  # steps of a call while a row waits for its first: soon there, and not one call for each


class Listener(Protocol):
    """Hears, on the engine's thread, what becomes of a row."""

    def started(self) -> None:
        """The row has joined a batch."""

    def sampled(self, symbols: NDArray[np.int32], logprobs: NDArray[np.float32]) -> None:
        """One call sampled these; perhaps none, while the prompt is still being read."""

    def failed(self, error: Exception) -> None:
        """The row's batch cannot go on."""


class Row:
    """One stream as the batch sees it: symbols to follow, then symbols to sample, each with its own uniform."""

    def __init__(
        self,
        prompt: NDArray[np.int32],
        *,
        length: int,
        temperature: float,
        top_k: int,
        top_p: float,
        seed: int,
        listener: Listener,
    ) -> None:
        self.prompt = prompt
        self.temperature = temperature
        self.top_k = top_k
        self.top_p = top_p
        self.listener = listener
        self.cancelled = False  # set from any thread; seen before the next call
        self.cached = 0  # symbols of the prompt that need not be followed: their state was known
        self.has_sampled = False
        self._followed = 0
        self._length = length
        self._generator = np.random.Generator(np.random.PCG64(seed))

    @property
    def is_finished(self) -> bool:
        """No step left to take, or nobody left to take it for."""
        return self.cancelled or self._length == 0

    @property
    def steps_left(self) -> int:
        """Symbols to follow and to sample."""
        return self.to_follow + self._length

    @property
    def to_follow(self) -> int:
        """Symbols of the prompt that are still to be read."""
        return len(self.prompt) - self._followed

    def skip(self, symbols: int) -> None:
        """Begin after the first symbols of the prompt."""
        self._followed = self.cached = symbols

    def next_steps(self, steps: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """What to follow and the uniforms to sample with in the next call, together at most `steps`."""
        given = self.prompt[self._followed : self._followed + steps]
        self._followed += len(given)
        sampled = min(steps - len(given), self._length)
        self._length -= sampled
        self.has_sampled = self.has_sampled or sampled > 0
        return given, self._generator.random(sampled, dtype=np.float32)


class Batch:
    """Rows of one model that advance together, each as if it were alone."""

    def __init__(self, model: Model, *, slots: int, chunk: int, cache: PrefixCache) -> None:
        """Room for `slots` rows that take up to `chunk` steps a call."""
        self._model = model
        self._slots = slots
        self._chunk = chunk
        self._cache = cache
        self._rows: list[Row] = []
        labels = (model.manifest.name, str(model.manifest.version))
        self._rows_of_call = metrics.BATCH_ROWS.labels(*labels)
        self._seconds_of_call = metrics.CALL_SECONDS.labels(*labels)
        self._hits, self._misses = metrics.CACHE_HITS.labels(*labels), metrics.CACHE_MISSES.labels(*labels)
        capacity = _round_up(slots, model.row_multiple)
        self._inputs = Steps(
            previous=np.zeros(capacity, np.int32),
            given=np.zeros((capacity, chunk), np.int32),
            given_length=np.zeros(capacity, np.int32),
            length=np.zeros(capacity, np.int32),
            uniforms=np.zeros((capacity, chunk), np.float32),
            temperature=np.ones(capacity, np.float32),
            top_k=np.zeros(capacity, np.int32),
            top_p=np.ones(capacity, np.float32),
            bias=np.zeros((capacity, model.manifest.symbols), np.float32),
            state=model.cold_state(capacity),
        )

    def __len__(self) -> int:
        return len(self._rows)

    def join(self, row: Row) -> None:
        """Take a row in: cold, or where the cache knows the beginning of its prompt."""
        index, inputs = len(self._rows), self._inputs
        self._rows.append(row)
        inputs.previous[index] = RESERVED
        inputs.state[:, index] = 0
        inputs.temperature[index] = row.temperature
        inputs.top_k[index] = row.top_k
        inputs.top_p[index] = row.top_p
        if self._cache.is_on and len(row.prompt):
            self._skip_known(row, index)
        row.listener.started()

    def step(self) -> None:
        """Advance every row by its next steps, deliver what was sampled, let the finished ones leave."""
        self._leave_finished()
        if not self._rows:
            return
        steps = self._steps_of_call()
        followed = self._write_inputs(steps)
        start = time.perf_counter()
        padded = _round_up(len(self._rows), self._model.row_multiple)
        outputs = self._model.advance(_first(self._inputs, padded, steps))
        self._seconds_of_call.observe(time.perf_counter() - start)
        self._rows_of_call.observe(len(self._rows))
        self._inputs.previous[:padded] = outputs.previous
        self._inputs.state[:, :padded] = outputs.state
        for index, (row, (follow, sampled)) in enumerate(zip(self._rows, followed, strict=True)):
            if follow == steps and not row.to_follow:
                self._cache.keep(self._model, row.prompt, outputs.state[:, index])
            new = slice(follow, follow + sampled)
            row.listener.sampled(outputs.symbols[index, new], outputs.logprobs[index, new])
        self._leave_finished()

    def _steps_of_call(self) -> int:
        """How many steps the rows take together: few while one waits for its first characters, more when many run.

        A call ends where a prompt does, so that the state there can be kept. Rows that end inside a call are computed
        to its end; what is too much goes nowhere.
        """
        steps = self._chunk if len(self._rows) > self._slots // 2 else -(-self._chunk // 2)
        for row in self._rows:
            if row.to_follow and self._cache.is_on:
                steps = min(steps, row.to_follow)
            elif not row.has_sampled:
                steps = min(steps, row.to_follow + FIRST_CHARS)
        return max(1, min(steps, max(row.steps_left for row in self._rows)))

    def _write_inputs(self, steps: int) -> list[tuple[int, int]]:
        """Fill in a call's steps; of each row, how many follow and how many sample."""
        inputs, counts = self._inputs, list[tuple[int, int]]()
        for index, row in enumerate(self._rows):
            given, uniforms = row.next_steps(steps)
            follow = len(given)
            inputs.given[index, :follow] = given
            inputs.uniforms[index, follow : follow + len(uniforms)] = uniforms
            inputs.given_length[index] = follow
            counts.append((follow, len(uniforms)))
        inputs.length[:] = steps
        return counts

    def _skip_known(self, row: Row, index: int) -> None:
        known = self._cache.longest(self._model, row.prompt)
        (self._hits if known else self._misses).inc()
        if known:
            row.skip(known.symbols)
            self._inputs.previous[index] = known.previous
            self._inputs.state[:, index] = known.state

    def fail(self, error: Exception) -> None:
        """Tell every row that there is nothing more to come."""
        for row in self._rows:
            row.listener.failed(error)

    def _leave_finished(self) -> None:
        for index in reversed(range(len(self._rows))):
            if self._rows[index].is_finished:
                last = len(self._rows) - 1
                self._rows[index] = self._rows[last]
                self._rows.pop()
                for array in (
                    self._inputs.previous,
                    self._inputs.temperature,
                    self._inputs.top_k,
                    self._inputs.top_p,
                ):
                    array[index] = array[last]
                self._inputs.state[:, index] = self._inputs.state[:, last]
                # What is left there is padding, and a filter in the padding would cost all rows time.
                self._inputs.top_k[last], self._inputs.top_p[last] = 0, 1


def _first(inputs: Steps, rows: int, steps: int) -> Steps:
    """The inputs of the first rows and steps."""
    return Steps(
        previous=inputs.previous[:rows],
        given=inputs.given[:rows, :steps],
        given_length=inputs.given_length[:rows],
        length=inputs.length[:rows],
        uniforms=inputs.uniforms[:rows, :steps],
        temperature=inputs.temperature[:rows],
        top_k=inputs.top_k[:rows],
        top_p=inputs.top_p[:rows],
        bias=inputs.bias[:rows],
        state=inputs.state[:, :rows],
    )


def _round_up(rows: int, multiple: int) -> int:
    return -(-rows // multiple) * multiple

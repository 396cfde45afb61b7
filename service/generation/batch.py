"""The rows of one engine's batch: join, step, leave. Arrays and ids only; knows nothing of text, queues or threads.

A row occupies one index of every array from the call after it joined until it leaves; then the last row moves into its
place, so that the rows in use are always the first ones.
"""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from service.artifact.model import Model, Steps
from service.artifact.text import RESERVED


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
        self.temperature = temperature
        self.top_k = top_k
        self.top_p = top_p
        self.listener = listener
        self.cancelled = False  # set from any thread; seen before the next call
        self._prompt = prompt
        self._length = length
        self._generator = np.random.Generator(np.random.PCG64(seed))

    @property
    def is_finished(self) -> bool:
        """No step left to take, or nobody left to take it for."""
        return self.cancelled or self._length == 0

    def next_steps(self, chunk: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """What to follow and the uniforms to sample with in the next call, together at most `chunk` steps."""
        given, self._prompt = self._prompt[:chunk], self._prompt[chunk:]
        sampled = min(chunk - len(given), self._length)
        self._length -= sampled
        return given, self._generator.random(sampled, dtype=np.float32)


class Batch:
    """Rows of one model that advance together, each as if it were alone."""

    def __init__(self, model: Model, *, slots: int, chunk: int) -> None:
        """Room for `slots` rows that take up to `chunk` steps a call."""
        self._model = model
        self._chunk = chunk
        self._rows: list[Row] = []
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
        """Take a row in, cold."""
        index, inputs = len(self._rows), self._inputs
        self._rows.append(row)
        inputs.previous[index] = RESERVED
        inputs.state[:, index] = 0
        inputs.temperature[index] = row.temperature
        inputs.top_k[index] = row.top_k
        inputs.top_p[index] = row.top_p
        row.listener.started()

    def step(self) -> None:
        """Advance every row by its next steps, deliver what was sampled, let the finished ones leave."""
        self._leave_finished()
        if not self._rows:
            return
        inputs, padded = self._inputs, _round_up(len(self._rows), self._model.row_multiple)
        for index, row in enumerate(self._rows):
            given, uniforms = row.next_steps(self._chunk)
            follow, steps = len(given), len(given) + len(uniforms)
            inputs.given[index, :follow] = given
            inputs.uniforms[index, follow:steps] = uniforms
            inputs.given_length[index], inputs.length[index] = follow, steps
        inputs.length[len(self._rows) : padded] = 0  # the padding takes no step
        steps_needed = int(inputs.length[:padded].max())
        outputs = self._model.advance(_first(inputs, padded, steps_needed))
        inputs.previous[:padded] = outputs.previous
        inputs.state[:, :padded] = outputs.state
        for index, row in enumerate(self._rows):
            sampled = slice(inputs.given_length[index], inputs.length[index])
            row.listener.sampled(outputs.symbols[index, sampled], outputs.logprobs[index, sampled])
        self._leave_finished()

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

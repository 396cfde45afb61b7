"""The rows that take part in one kind of call, and the arrays of their next one. Knows no prefill or decode."""

from collections.abc import Iterator, Sequence
from time import perf_counter

import numpy as np
from numpy.typing import NDArray

from service import metrics
from service.engine.call import Errors, advance
from service.engine.call_budget import CallBudget
from service.engine.row import Row
from service.model.codec import RESERVED
from service.model.model import Model, Stepped, Steps


class Slots:
    """Rows that advance together. Each has one index of every array; the first `len(self)` indices are in use."""

    def __init__(self, model: Model, *, max_rows: int, budget: CallBudget) -> None:
        """At most `max_rows` rows, whose calls have the steps that `budget` allows."""
        self._model = model
        self._budget = budget
        self._rows: list[Row] = []
        labels = model.manifest.model_version.labels
        self._rows_of_call, self._seconds_of_call = (
            metrics.BATCH_ROWS.labels(*labels),
            metrics.CALL_SECONDS.labels(*labels),
        )
        capacity = self._padded(max_rows)
        self.inputs = Steps(
            previous=np.zeros(capacity, np.int32),
            given=np.zeros((capacity, budget.max_steps), np.int32),
            given_length=np.zeros(capacity, np.int32),
            length=np.zeros(capacity, np.int32),
            uniforms=np.zeros((capacity, budget.max_steps), np.float32),
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

    def add(self, row: Row, previous: int = RESERVED, state: NDArray[np.float32] | float = 0.0) -> None:
        """Give a row the next index, with its last symbol and its state [S, H]; by default nothing came before."""
        index, inputs, sampling = len(self._rows), self.inputs, row.sampling
        inputs.previous[index], inputs.state[:, index] = previous, state
        if not row.to_follow:  # a filter costs all rows of a call time, and a row that follows does not sample
            inputs.temperature[index] = sampling.float32_temperature
            inputs.top_k[index], inputs.top_p[index] = sampling.top_k, sampling.float32_top_p
            for id_, bias in sampling.bias:
                inputs.bias[index, id_] = bias
        self._rows.append(row)  # last, so that a row whose inputs raise an error is not added

    def steps(self, *, share: float = 1.0) -> int:
        """The steps that the next call can have in a share of its time."""
        return self._budget.steps(self._padded(len(self)), share=share)

    def call(self, steps: int, used: Sequence[int], *, guesses: bool = False) -> tuple[Stepped, Errors]:
        """Advance the rows by `steps` steps, of which each uses its first ones (see `call.advance`).

        `guesses`: some row asks for them.
        """
        start_s = perf_counter()
        padded, inputs = self._padded(len(self)), self.inputs
        of_call = Steps(
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
        outputs, errors = advance(self._model, of_call, used, guesses=guesses)
        inputs.previous[:padded] = outputs.previous
        inputs.state[:, :padded] = outputs.state
        seconds = perf_counter() - start_s
        self._budget.observe(padded, steps, seconds)
        self._seconds_of_call.observe(seconds)
        self._rows_of_call.observe(len(self))
        return outputs, errors

    def drop_finished(self) -> None:
        """Drop the rows that are finished."""
        for index in reversed(range(len(self._rows))):
            if self._rows[index].is_finished:
                self.drop(index)

    def drop(self, index: int) -> None:
        """Drop a row; the last row takes its index."""
        inputs, last = self.inputs, len(self._rows) - 1
        self._rows[index] = self._rows[last]
        self._rows.pop()
        for array in (inputs.previous, inputs.temperature, inputs.top_k, inputs.top_p, inputs.bias):
            array[index] = array[last]
        inputs.state[:, index] = inputs.state[:, last]
        # The last index is padding now, and padding must not make a call fail.
        inputs.previous[last], inputs.state[:, last] = RESERVED, 0
        inputs.temperature[last], inputs.top_k[last], inputs.top_p[last], inputs.bias[last] = 1, 0, 1, 0

    def _padded(self, rows: int) -> int:
        return -(-rows // self._model.row_multiple) * self._model.row_multiple

"""Errors of models, listeners and the cache fail the rows that they concern, and no other."""

from collections.abc import Collection
from functools import partial
from typing import Any

import numpy as np
import pytest

from service.engine.batch import Batch
from service.engine.call import UnusableOutput
from service.engine.prefix_cache import PrefixCache
from service.engine.row import Row
from service.engine.sampling import SamplingParams
from service.model.model import Stepped, Steps
from tests.service.engine.rows import batch_of, row_of, run, step
from tests.service.fakes import FailsOnce, FakeModel, Picky, Recorder, expected_text


def prompt_of(index: int) -> str:
    return "jab"[: index % 4]


def join_rows(
    batch: Batch, model: FakeModel, *, temperatures: dict[int, float] | None = None, rows: int = 20
) -> list[Recorder]:
    """Let rows join; some have another temperature than 1."""
    recorders = []
    for index in range(rows):
        temperature = (temperatures or {}).get(index, 1)
        row, recorder = row_of(model, prompt_of(index), length=9, seed=index, temperature=temperature)
        batch.join(row)
        recorders.append(recorder)
    return recorders


def assert_only_these_fail(
    model: FakeModel, recorders: list[Recorder], failed: Collection[int], error: type[Exception]
) -> None:
    for index, recorder in enumerate(recorders):
        prompt = prompt_of(index)
        if index in failed:
            assert isinstance(recorder.error, error)
            continue
        assert recorder.error is None
        assert model.text.decode(recorder.symbols) == expected_text(prompt, 9, index)
        assert recorder.logprobs == [-float(len(prompt) + step) for step in range(9)]


@pytest.mark.parametrize("guilty", [{0}, {19}, {3, 4, 11}, set(range(1, 20))])
def test_rows_that_make_a_call_fail_fail_alone_and_their_parameters_are_logged(
    guilty: set[int], caplog: pytest.LogCaptureFixture
) -> None:
    model = Picky(0.25)
    batch = batch_of(model, slots=20, chunk=4)
    recorders = join_rows(batch, model, temperatures=dict.fromkeys(guilty, 0.25))
    run(batch)
    assert_only_these_fail(model, recorders, guilty, RuntimeError)
    lines = [record.message for record in caplog.records if "A row of fake/1 failed" in record.message]
    for index in guilty:
        parameters = f"temperature 0.25, top_k 0, top_p 1, seed {index}, length 9, prompt of {index % 4}"
        assert sum(parameters in line for line in lines) == 1
    assert len(lines) == len(guilty)


def test_if_every_call_fails_every_row_fails(model: FakeModel) -> None:
    batch = batch_of(model, slots=20, chunk=4)
    recorders = join_rows(batch, model)
    model.fails = True
    run(batch)
    assert all(isinstance(recorder.error, RuntimeError) for recorder in recorders)


def test_a_call_that_fails_once_fails_no_row() -> None:
    model = FailsOnce()
    batch = batch_of(model, slots=20, chunk=4)
    recorders = join_rows(batch, model)
    run(batch)
    assert_only_these_fail(model, recorders, (), RuntimeError)


@pytest.mark.parametrize("in_prefill", [False, True])
@pytest.mark.parametrize(("symbol", "logprob"), [(0, -1), (11, -1), (-1, -1), (5, np.nan)])
def test_a_row_without_usable_output_fails_alone(symbol: int, logprob: float, in_prefill: bool) -> None:
    class Broken(FakeModel):
        def advance(self, steps: Steps) -> Stepped:
            outputs = super().advance(steps)
            broken = np.flatnonzero((steps.temperature == 0.25) | (in_prefill & (steps.given_length == 2)))
            last = steps.length[broken] - 1
            outputs.symbols[broken, last], outputs.logprobs[broken, last] = symbol, logprob
            return outputs

    model = Broken(row_multiple=4)
    batch = batch_of(model, slots=20, chunk=4)
    recorders = join_rows(batch, model, temperatures={3: 0.25, 16: 0.25})
    run(batch)
    failed = {3, 16}
    if in_prefill and np.isnan(logprob):  # a symbol is checked only if it was sampled, a logprob always
        failed |= {index for index in range(20) if len(prompt_of(index)) == 2}
    assert_only_these_fail(model, recorders, failed, UnusableOutput)


def test_the_padding_that_a_failed_row_leaves_makes_no_later_call_fail() -> None:
    model = Picky(0.25)
    batch = batch_of(model, slots=4, chunk=4)
    join_rows(batch, model, temperatures={3: 0.25}, rows=4)
    step(batch)
    attempts = model.attempts
    run(batch)
    assert model.attempts - attempts == 1  # of three symbols, after two and four


@pytest.mark.parametrize("method", ["sampled", "failed"])
def test_a_listener_that_raises_affects_no_other_row(model: FakeModel, method: str) -> None:
    class Raises(Recorder):
        def sampled(self, symbols: Any, logprobs: Any, guesses: Any) -> bool:
            super().sampled(symbols, logprobs, guesses)
            raise MemoryError

        def failed(self, error: Exception) -> None:
            super().failed(error)
            if method == "failed":
                raise MemoryError

    batch = batch_of(model, slots=20, chunk=4)
    raises = Raises()
    batch.join(Row(np.zeros(0, np.int32), length=9, sampling=SamplingParams(seed=0), listener=raises))
    recorders = join_rows(batch, model, rows=8)
    run(batch)
    assert isinstance(raises.error, MemoryError)
    assert len(raises.symbols) == 1  # it is called no more
    assert_only_these_fail(model, recorders, (), MemoryError)


def test_a_listener_of_followed_symbols_that_raises_affects_no_other_row(model: FakeModel) -> None:
    def fail(error: Exception, *outputs: Any) -> None:
        raise error

    batch = batch_of(model, slots=20, chunk=4)
    row, recorder = row_of(model, "abc", on_followed=partial(fail, MemoryError()))
    batch.join(row)
    recorders = join_rows(batch, model, rows=8)
    run(batch)
    assert isinstance(recorder.error, MemoryError)
    assert_only_these_fail(model, recorders, (), MemoryError)


def test_a_cache_that_cannot_keep_a_prompt_fails_its_row_alone(model: FakeModel) -> None:
    class Full(PrefixCache):
        def keep(self, model: Any, prompt: Any, state: Any) -> None:
            if len(prompt) == 2:
                raise MemoryError

    batch = batch_of(model, slots=20, chunk=4, cache=Full(0))
    recorders = join_rows(batch, model)
    run(batch)
    assert_only_these_fail(model, recorders, range(2, 20, 4), MemoryError)

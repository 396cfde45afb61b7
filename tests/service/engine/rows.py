"""Rows and batches of fake models, for the tests of this folder."""

import math
from typing import Any

import pytest

from service.engine.batch import Batch
from service.engine.prefix_cache import PrefixCache
from service.engine.row import Row
from service.engine.sampling import SamplingParams
from tests.service.fakes import FakeModel, Recorder


def row_of(
    model: FakeModel,
    prompt: str = "",
    *,
    length: int = 5,
    seed: int = 1,
    on_followed: Any = None,
    guesses: int = 0,
    **params: float,
) -> tuple[Row, Recorder]:
    """A row and the listener that records its symbols; `params` are of `SamplingParams`."""
    recorder = Recorder()
    sampling = SamplingParams(seed=seed, **params)  # type: ignore[arg-type]
    prompt_ids = model.text.encode(prompt)
    row = Row(prompt_ids, length=length, sampling=sampling, listener=recorder, on_followed=on_followed, guesses=guesses)
    return row, recorder


def batch_of(
    model: FakeModel, *, slots: int, chunk: int, cache: PrefixCache | None = None, call_s: float = math.inf
) -> Batch:
    return Batch(model, slots=slots, chunk=chunk, cache=cache or PrefixCache(0), call_s=call_s)  # type: ignore[arg-type]


def step(batch: Batch) -> None:
    """Step the batch, and pass the results of each call to the listeners at once."""
    for task in batch.step():
        task()


def run(batch: Batch) -> None:
    """Step the batch until every row has left."""
    while len(batch):
        step(batch)


class SlowClock:
    """The time that `Slots` measures: each step of a row takes `row_step_s`, and nothing else takes time."""

    row_step_s = 2.0**-10

    def __init__(self, model: FakeModel, monkeypatch: pytest.MonkeyPatch) -> None:
        self._model = model
        monkeypatch.setattr("service.engine.slots.perf_counter", self)

    def __call__(self) -> float:
        return sum(call.given.size for call in self._model.calls) * self.row_step_s

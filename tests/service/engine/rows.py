"""Rows and batches of fake models, for the tests of this folder."""

from typing import Any

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


def batch_of(model: FakeModel, *, slots: int, chunk: int, cache: PrefixCache | None = None) -> Batch:
    return Batch(model, slots=slots, chunk=chunk, cache=cache or PrefixCache(0))  # type: ignore[arg-type]


def run(batch: Batch) -> None:
    """Step the batch until every row has left."""
    while len(batch):
        batch.step()

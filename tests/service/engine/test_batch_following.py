"""Rows whose listener hears the logprobs of followed symbols, of the fake model and of a real graph."""

from pathlib import Path

import numpy as np
import pytest

from service.engine.prefix_cache import PrefixCache
from service.model.model import Model
from tests.service.engine.rows import batch_of, row_of, run, step
from tests.service.fakes import FakeModel, expected_text, expected_top
from tests.service.scripted import logprob_of, write_version

TEXT = "abcdefghijab"


class Followed:
    """Records the symbols and logprobs of followed symbols."""

    def __init__(self) -> None:
        self.symbols: list[int] = []
        self.logprobs: list[float] = []
        self.guesses: list[list[tuple[int, float]]] = []

    def __call__(self, symbols: np.ndarray, logprobs: np.ndarray, guesses: np.ndarray) -> None:
        self.symbols += symbols.tolist()
        self.logprobs += logprobs.tolist()
        self.guesses += guesses.tolist()


@pytest.mark.parametrize("length", [0, 7])
@pytest.mark.parametrize("chunk", [1, 5, 100])
def test_every_followed_symbol_is_heard_with_its_logprob(model: FakeModel, chunk: int, length: int) -> None:
    batch, followed = batch_of(model, slots=4, chunk=chunk), Followed()
    row, recorder = row_of(model, TEXT, length=length, seed=3, on_followed=followed)
    batch.join(row)
    run(batch)
    assert followed.symbols == model.text.encode(TEXT).tolist()
    assert followed.logprobs == [-float(step) for step in range(len(TEXT))]
    assert model.text.decode(recorder.symbols) == expected_text(TEXT, length, 3)
    assert recorder.logprobs == [-float(len(TEXT) + step) for step in range(length)]


def test_a_row_that_only_follows_takes_no_other_step(model: FakeModel) -> None:
    batch = batch_of(model, slots=4, chunk=5)
    row, recorder = row_of(model, TEXT, length=0, on_followed=Followed())
    batch.join(row)
    run(batch)
    assert [call.length.tolist() for call in model.calls] == [[5], [5], [2]]
    assert (row.is_finished, recorder.error, recorder.symbols) == (True, None, [])


def test_a_row_with_nothing_to_follow_or_sample_leaves_without_a_call(model: FakeModel) -> None:
    batch = batch_of(model, slots=4, chunk=5)
    batch.join(row_of(model, "", length=0, on_followed=Followed())[0])
    run(batch)
    assert not model.calls


def test_rows_that_follow_and_rows_that_sample_do_not_affect_each_other(model: FakeModel) -> None:
    batch = batch_of(model, slots=16, chunk=4)
    rows = []
    for index in range(16):
        text, followed = TEXT[: index + 1], Followed()
        row, recorder = row_of(model, text, length=index % 3 * 5, seed=index, on_followed=followed)
        batch.join(row)
        rows.append((text, index % 3 * 5, index, recorder, followed))
        step(batch)
    run(batch)
    for text, length, seed, recorder, followed in rows:
        assert followed.logprobs == [-float(step) for step in range(len(text))]
        assert model.text.decode(recorder.symbols) == expected_text(text, length, seed)


def test_a_prompt_whose_logprobs_are_asked_for_is_followed_although_it_is_cached(model: FakeModel) -> None:
    batch = batch_of(model, slots=4, chunk=5, cache=PrefixCache(1_000_000))
    batch.join(row_of(model, TEXT, length=1)[0])
    run(batch)
    for on_followed, cached in ((Followed(), 0), (None, len(TEXT))):
        row, _ = row_of(model, TEXT, length=1, on_followed=on_followed)
        batch.join(row)
        run(batch)
        assert row.cached == cached
        if on_followed:
            assert len(on_followed.logprobs) == len(TEXT)


def test_a_row_that_only_follows_caches_the_state_after_its_text(model: FakeModel) -> None:
    batch = batch_of(model, slots=4, chunk=5, cache=PrefixCache(1_000_000))
    batch.join(row_of(model, TEXT, length=0, on_followed=Followed())[0])
    run(batch)
    row, recorder = row_of(model, TEXT, length=5, seed=2)
    batch.join(row)
    run(batch)
    assert row.cached == len(TEXT)
    assert model.text.decode(recorder.symbols) == expected_text(TEXT, 5, 2)


def test_a_published_graph_gives_the_logprob_of_every_given_symbol(tmp_path: Path) -> None:
    model = Model(write_version(tmp_path))
    text, followed = "aé😀 z\x01", Followed()
    batch = batch_of(model, slots=4, chunk=4)  # type: ignore[arg-type]
    batch.join(row_of(model, text, length=0, on_followed=followed)[0])  # type: ignore[arg-type]
    run(batch)
    data = text.encode()
    expected = [logprob_of(byte if known else None) for byte, known in zip(data, model.text.encode(text), strict=True)]
    np.testing.assert_allclose(followed.logprobs, expected, rtol=1e-6)
    assert followed.symbols[-1] == 0  # a symbol outside the vocabulary has a logprob too


def test_followed_symbols_have_the_guesses_before_them(model: FakeModel) -> None:
    batch, followed = batch_of(model, slots=4, chunk=5), Followed()
    row, recorder = row_of(model, TEXT, length=7, seed=3, on_followed=followed, guesses=2)
    batch.join(row)
    batch.join(row_of(model, TEXT, length=7, seed=3)[0])
    run(batch)
    text = TEXT + expected_text(TEXT, 7, 3)
    expected = [[(model.text.encode(c)[0], nats) for c, nats in best] for best in expected_top("", text, 2)]
    assert followed.guesses + recorder.guesses == expected
    assert followed.logprobs + recorder.logprobs == [-float(step) for step in range(len(text))]

"""The guesses that the service gets from a published version, beside plain NumPy, in calls of any rows."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from service.engine.generation import GenerationRequest, Result, top_of
from service.engine.prefix_cache import PrefixCache
from service.engine.sampling import SamplingParams
from service.engine.scheduler import Scheduler
from service.engine.stream import Stream
from service.model.model import Model
from tests.oracle import Network, log_softmax
from training.release.published import PublishedModel

PROMPT = "the cat?"  # the last character is outside the vocabulary


@pytest.fixture(scope="module")
def version(tiny: Path) -> Path:
    return tiny / "models/tiny/1"


@pytest.fixture(scope="module")
def model(version: Path) -> Model:
    return Model(version)


@pytest.fixture
def scheduler() -> Iterator[Scheduler]:
    started = Scheduler(engines=1, slots=16, queue=64, chunk=5, cache=PrefixCache(0))
    yield started
    started.close()


def request(seed: int, guesses: int, *, echo: bool = False) -> GenerationRequest:
    sampling = SamplingParams(seed=seed, temperature=seed % 3)
    return GenerationRequest(prompt=PROMPT[seed % 4 :], length=40, sampling=sampling, echo=echo, guesses=guesses)


def results(model: Model, scheduler: Scheduler, requests: list[GenerationRequest]) -> list[Result]:
    """The results of streams that run at the same time."""
    streams = [Stream(model, request, scheduler) for request in requests]
    for stream in streams:
        for _ in stream.chunks(60):
            pass
    return [stream.result() for stream in streams]


@pytest.mark.parametrize("echo", [False, True])
def test_guesses_are_the_most_likely_symbols_of_numpy(
    version: Path, model: Model, scheduler: Scheduler, echo: bool
) -> None:
    published = PublishedModel(version)
    oracle = Network.of(published.weights())
    for found in results(model, scheduler, [request(seed, 5, echo=echo) for seed in range(8)]):
        text = found.echo + found.text if echo else PROMPT[found.seed % 4 :] + found.text
        ids = model.text.encode(text)
        logits, _, _ = oracle.forward(np.append(0, ids[:-1])[None], published.initial_state())
        logprobs = log_softmax(logits)[0]
        best = np.argsort(-logprobs, axis=1, kind="stable")[:, :5]
        top = top_of([*found.echo_chunks, *found.chunks])
        assert len(top) == len(text) if echo else len(found.text)
        for guesses, t in zip(reversed(top), reversed(range(len(text))), strict=False):
            assert [symbol for symbol, _ in guesses] == [model.text.symbol_text(id_) for id_ in best[t].tolist()]
            np.testing.assert_allclose([nats for _, nats in guesses], logprobs[t, best[t]], rtol=0, atol=1e-5)


def test_streams_with_and_without_guesses_have_the_same_bits_in_one_batch(model: Model, scheduler: Scheduler) -> None:
    plain = results(model, scheduler, [request(seed, 0) for seed in range(32)])
    mixed = results(model, scheduler, [request(seed, seed % 6, echo=seed % 5 == 0) for seed in range(32)])
    for expected, found in zip(plain, mixed, strict=True):
        assert (found.text, found.logprobs) == (expected.text, expected.logprobs)
        top = top_of(found.chunks)
        assert [len(guesses) for guesses in top] == [found.seed % 6] * len(found.text) if found.seed % 6 else not top
        for character, nats, guesses in zip(found.text, found.logprobs, top, strict=False):
            assert dict(guesses).get(character, nats) == nats
    alone = [results(model, scheduler, [request(seed, seed % 6)])[0] for seed in range(6)]
    assert [top_of(found.chunks) for found in alone] == [top_of(found.chunks) for found in mixed[:6]]

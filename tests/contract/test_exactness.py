"""A stream is the same alone and in a full batch, to the last bit of every logprob.

Hundreds of random requests run first one after the other, then many at once on several engines, among streams that are
cancelled and on two versions with the same weights.
"""

import json
import random
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from service.engine.batch import Batch
from service.engine.generation import GenerationRequest, Result
from service.engine.prefix_cache import PrefixCache
from service.engine.row import Row
from service.engine.sampling import SamplingParams
from service.engine.scheduler import Scheduler
from service.engine.stream import Stream
from service.model.guesses import Guesses
from service.model.model import Model
from tests.contract.published import manifest_of
from tests.processes import training
from tests.service.engine.rows import step
from tests.service.fakes import Recorder

REQUESTS, AT_ONCE = 500, 64


def random_requests(model: Model, count: int, seed: int) -> list[GenerationRequest]:
    """Random lengths, prompts (some with a common prefix), temperatures, filters, stop strings and seeds."""
    generator = random.Random(seed)
    characters = [symbol for symbol in model.manifest.vocabulary if isinstance(symbol, str)]
    prefix = "".join(generator.choices(characters, k=40))

    def prompt() -> str:
        suffix = "".join(generator.choices([*characters, "\N{SNOWMAN}"], k=generator.choice([0, 1, 5, 30, 90])))
        return prefix[: generator.choice([0, 0, 20, 40])] + suffix

    return [
        GenerationRequest(
            prompt=prompt(),
            length=generator.choice([1, 2, 7, 30, 100, 200]),
            sampling=SamplingParams(
                temperature=generator.choice([0, 0.2, 0.7, 1, 1, 1.5, 5]),
                top_k=generator.choice([0, 0, 0, 1, 5]),
                top_p=generator.choice([1, 1, 1, 0.9, 0.3]),
                seed=generator.getrandbits(63),
            ),
            stop=tuple("".join(generator.choices(characters, k=2)) for _ in range(generator.choice([0, 0, 1, 4]))),
        )
        for _ in range(count)
    ]


def seen_by_client(result: Result) -> tuple[str, str, list[float]]:
    """The parts of a result that a client gets; each float32 logprob has its own decimal."""
    return result.status, result.text, result.logprobs


def run(model: Model, request: GenerationRequest, scheduler: Scheduler) -> tuple[str, str, list[float]]:
    stream = Stream(model, request, scheduler)
    try:
        for _ in stream.chunks(60):
            pass
        return seen_by_client(stream.result())
    finally:
        stream.close()


def cancel_early(model: Model, request: GenerationRequest, scheduler: Scheduler) -> None:
    stream = Stream(model, request, scheduler)
    next(stream.chunks(60))
    stream.close()


def assert_same_alone_and_batched(first: Model, second: Model, count: int) -> None:
    requests = random_requests(first, count, seed=11)
    cancelled = random_requests(first, count // 5, seed=12)
    alone_on = Scheduler(engines=1, slots=1, queue=1, chunk=5, cache=PrefixCache(0))
    alone = [run(first, request, alone_on) for request in requests]
    alone_on.close()
    batched = Scheduler(engines=2, slots=24, queue=2 * count, chunk=16, cache=PrefixCache(10_000_000))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        futures = []
        for number, request in enumerate(requests):
            model = first if number < count // 2 else second
            guesses = 5 if model is second and number % 3 == 0 else 0  # rows beside it get the same bits
            futures.append(pool.submit(run, model, replace(request, guesses=guesses), batched))
            if number % 5 == 0:
                pool.submit(cancel_early, model, cancelled[number // 5], batched)
        together = [future.result() for future in futures]
    batched.close()
    different = [request for request, a, b in zip(requests, alone, together, strict=True) if a != b]
    assert not different
    assert {finish_reason for finish_reason, _, _ in alone} == {"length", "stop"}


@pytest.fixture(scope="module")
def two_versions(tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, Model]:
    """Two versions with the weights of one network, whose sizes are no multiples of a vector."""
    folder = tmp_path_factory.mktemp("exact")
    corpus = folder / "corpus.txt"
    corpus.write_text("".join(random.Random(1).choices("abcdefghijklmnopqrstuvwxyz .,\nABCDEFG", k=20_000)))
    size = ["--layers", "2", "--units", "52", "--embedding", "16", "--epochs", "1", "--batch-size", "16"]
    training("train", "--name", "exact", "--corpus", str(corpus), *size, "--force", cwd=folder)
    return copies(folder / "models/exact/1")


def copies(version: Path) -> tuple[Model, Model]:
    """Load a version, and a copy of it as version 2."""
    other = Path(shutil.copytree(version, version.parent / "2"))
    manifest = manifest_of(other) | {"version": 2}
    (other / "assets.extra/manifest.json").write_text(json.dumps(manifest))
    return Model(version), Model(other)


def test_500_streams_are_bit_for_bit_the_same_alone_and_batched(two_versions: tuple[Model, Model]) -> None:
    assert_same_alone_and_batched(*two_versions, REQUESTS)


def test_a_text_has_the_same_logprobs_followed_and_sampled(two_versions: tuple[Model, Model]) -> None:
    model, _ = two_versions
    scheduler = Scheduler(engines=1, slots=8, queue=8, chunk=16, cache=PrefixCache(0))
    requests = [request for request in random_requests(model, 60, seed=13) if not request.stop]
    sampled = [run(model, request, scheduler) for request in requests]
    scheduler.close()
    batch = Batch(model, slots=len(requests), chunk=7, cache=PrefixCache(10_000_000))
    followed = [
        follow(batch, model, request.prompt + text) for request, (_, text, _) in zip(requests, sampled, strict=True)
    ]
    while len(batch):
        step(batch)
    for request, (_, text, logprobs), found in zip(requests, sampled, followed, strict=True):
        assert len(found) == len(request.prompt) + len(text)
        assert found[len(request.prompt) :] == np.array(logprobs, np.float32).tolist()


def follow(batch: Batch, model: Model, text: str) -> list[float]:
    """Let a row that only follows a text join, and return the list that its logprobs will be added to."""
    logprobs: list[float] = []

    def on_followed(symbols: NDArray[np.int32], found: NDArray[np.float32], guesses: Guesses) -> None:
        logprobs.extend(found.tolist())

    ids, sampling = model.text.encode(text), SamplingParams(seed=0)
    batch.join(Row(ids, length=0, sampling=sampling, listener=Recorder(), on_followed=on_followed))
    return logprobs

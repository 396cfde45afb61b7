"""The service's score of a text, and the loss that `charloom evaluate` computes for it, are the same."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from service.analysis.inspect import inspect
from service.analysis.score import Score, Scoring
from service.engine.generation import GenerationRequest
from service.engine.prefix_cache import PrefixCache
from service.engine.sampling import SamplingParams
from service.engine.scheduler import Scheduler
from service.engine.stream import Stream
from service.model.model import Model
from tests.contract.published import manifest_of
from tests.servers import Server
from training.learning.evaluate import Loss
from training.release.published import PublishedModel
from training.release.score import score

SAME_NATS = 1e-6  # per character


@pytest.fixture(scope="module")
def version(tiny: Path) -> Path:
    return tiny / "models/tiny/1"


@pytest.fixture
def scheduler() -> Iterator[Scheduler]:
    started = Scheduler(engines=1, slots=24, queue=8, chunk=16, cache=PrefixCache(0))
    yield started
    started.close()


def losses(version: Path, file: Path, **options: list[str]) -> dict[str, tuple[Loss, int]]:
    """The loss and the number of unknown symbols of each part, by training's own computation."""
    found = score(PublishedModel(version), [str(file)], encoding="utf-8", **options)
    return {scored.part: (scored.loss, scored.unknown) for scored in found}


def scored(server: Server, text: str) -> dict[str, float]:
    status, _, body = server.request("POST", "/score", {"text": text})
    assert status == 200, body
    return json.loads(body)


def test_another_text_has_the_loss_of_evaluate(tiny: Path, version: Path, server: Server, tmp_path: Path) -> None:
    text = (tiny / "corpus.txt").read_text()[100:1500] + "Zoë ☃\r\nthe end"
    (tmp_path / "other.txt").write_bytes(text.encode())
    loss, unknown = losses(version, tmp_path / "other.txt")["text"]
    found = scored(server, text)
    assert found["nats_per_char"] == pytest.approx(loss.nats_per_char, abs=SAME_NATS)
    assert found["bits_per_char"] == pytest.approx(loss.bits_per_char, abs=SAME_NATS)
    assert found["perplexity"] == pytest.approx(loss.perplexity, rel=SAME_NATS)
    assert (found["chars"], found["unknown_chars"]) == (loss.characters, unknown)
    assert unknown > 0


def test_the_validation_part_has_the_loss_of_evaluate_and_of_the_manifest(
    tiny: Path, version: Path, server: Server
) -> None:
    """Training reads a long text as several overlapping rows, the service as one."""
    loss, _ = losses(version, tiny / "corpus.txt", parts=["validation"])["validation"]
    manifest = manifest_of(version)
    start, stop = manifest["corpus"]["split"]["validation"]
    found = scored(server, (tiny / "corpus.txt").read_text()[start:stop])
    assert found["chars"] == loss.characters == stop - start
    assert found["nats_per_char"] == pytest.approx(loss.nats_per_char, abs=SAME_NATS)
    assert found["nats_per_char"] == pytest.approx(manifest["metrics"]["validation"]["nats_per_char"], abs=1e-4)


def logprobs_and_score(model: Model, text: str, scheduler: Scheduler) -> tuple[list[float], Score]:
    scoring = Scoring(model, text, scheduler)
    logprobs = [logprob for chunk in scoring.chunks(60) for logprob in chunk.logprobs.tolist()]
    scoring.close()
    return logprobs, scoring.result()


def test_a_score_is_bit_for_bit_the_same_alone_and_beside_streams(
    tiny: Path, version: Path, scheduler: Scheduler
) -> None:
    model, text = Model(version), (tiny / "corpus.txt").read_text()[:2000]
    alone = logprobs_and_score(model, text, scheduler)
    requests = [
        GenerationRequest(prompt=text[:seed], length=2000, sampling=SamplingParams(seed=seed)) for seed in range(16)
    ]
    streams = [Stream(model, request, scheduler) for request in requests]
    threads = [threading.Thread(target=list, args=(stream.chunks(60),)) for stream in streams]
    for thread in threads:
        thread.start()
    among = logprobs_and_score(model, text, scheduler)
    for thread, stream in zip(threads, streams, strict=True):
        thread.join()
        stream.close()
    assert among[0] == alone[0]
    assert among[1].nats == pytest.approx(alone[1].nats, rel=1e-12)
    assert among[1].nats == pytest.approx(-sum(among[0]), rel=1e-12)


def test_an_inspection_has_the_logprobs_of_the_score(tiny: Path, version: Path, scheduler: Scheduler) -> None:
    model, text = Model(version), (tiny / "corpus.txt").read_text()[:100] + "☃"
    logprobs, _ = logprobs_and_score(model, text, scheduler)
    found = list(inspect(model, text, [(0, 7), (0, 0)]))
    np.testing.assert_allclose(np.concatenate([part.logprobs for part in found]), logprobs, atol=1e-5)
    activations = np.concatenate([part.activations for part in found])
    assert activations.shape == (101, 2)
    assert (np.abs(activations) <= 1).all()
    assert (activations.std(axis=0) > 0).all()
    guessed = 0
    for part in found:
        for index, character in enumerate(part.text):
            values = part.guess_logprobs[index].tolist()
            assert values == sorted(values, reverse=True)
            if character in part.guesses[index]:
                guessed += 1
                found_logprob = values[part.guesses[index].index(character)]
                assert found_logprob == pytest.approx(float(part.logprobs[index]), abs=1e-5)
    assert guessed > 50

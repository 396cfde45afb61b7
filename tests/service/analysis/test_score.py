import math
import tracemalloc
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from prometheus_client import REGISTRY

from service.analysis.score import MAX_CHARS_AT_ONCE, Score, ScoredCharacters, Scoring
from service.engine.generation import GenerationRequest
from service.engine.prefix_cache import PrefixCache
from service.engine.row import Row
from service.engine.sampling import SamplingParams
from service.engine.scheduler import QueueFull, Scheduler
from service.engine.stream import Stream
from tests.service.analysis.fakes import LongReader
from tests.service.fakes import FakeByteModel, FakeModel, Gate, expected_text
from tests.waiting import wait_until

TEXT = "abcdefghijabcdefghij"


@pytest.fixture
def scheduler() -> Iterator[Scheduler]:
    started = Scheduler(engines=1, slots=4, queue=4, chunk=3, cache=PrefixCache(1_000_000))
    yield started
    started.close()


def read(scoring: Scoring) -> tuple[list[ScoredCharacters], Score]:
    chunks = list(scoring.chunks(10))
    scoring.close()
    return chunks, scoring.result()


def logprobs_of(chunks: list[ScoredCharacters]) -> list[float]:
    return np.concatenate([chunk.logprobs for chunk in chunks]).tolist()


def count_of(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, {"model": "fake", "version": "1"} | labels) or 0


@pytest.mark.parametrize("wait_s", [0, 0.001, 10])
def test_each_character_has_its_logprob_and_the_loss_is_their_mean(
    scheduler: Scheduler, model: FakeModel, wait_s: float
) -> None:
    scoring = Scoring(model, TEXT, scheduler)
    chunks = list(scoring.chunks(wait_s))
    score = scoring.result()
    assert logprobs_of(chunks) == [-float(step) for step in range(20)]
    assert [chunk.index for chunk in chunks if chunk] == np.cumsum(
        [0, *(len(chunk.logprobs) for chunk in chunks if chunk)]
    ).tolist()[:-1]
    assert (score.status, score.chars, score.text_chars, score.unknown_chars) == ("length", 20, 20, 0)
    assert (score.nats, score.nats_per_char) == (190.0, 9.5)
    assert score.bits_per_char == pytest.approx(9.5 / math.log(2))
    assert score.perplexity == pytest.approx(math.exp(9.5))
    assert 0 <= score.queue_ms <= score.total_ms
    scoring.close()


def test_a_text_that_a_model_finds_impossible_has_a_finite_score(
    scheduler: Scheduler, model: FakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    advance = model.advance

    def impossible(*arguments: Any, **options: Any) -> Any:
        outputs = advance(*arguments, **options)
        outputs.logprobs[:] = -math.inf
        return outputs

    monkeypatch.setattr(model, "advance", impossible)
    _, score = read(Scoring(model, TEXT, scheduler))
    assert math.isfinite(score.nats)
    assert score.perplexity is not None
    assert math.isfinite(score.perplexity)


def test_a_character_of_a_byte_model_has_the_sum_of_its_bytes(scheduler: Scheduler, byte_model: FakeByteModel) -> None:
    text = "aé😀€\ud800\n"
    sizes = [len(character.encode(errors="surrogatepass")) for character in text]
    starts = np.cumsum([0, *sizes]).tolist()
    chunks, score = read(Scoring(byte_model, text, scheduler))
    expected = [-float(sum(range(start, start + size))) for start, size in zip(starts, sizes, strict=False)]
    assert logprobs_of(chunks) == expected
    assert (score.chars, score.nats) == (6, sum(range(sum(sizes))))


def test_the_text_is_normalised_and_its_unknown_characters_are_counted(scheduler: Scheduler, model: FakeModel) -> None:
    _, score = read(Scoring(model, "Z\u0065\u0301a", scheduler))  # e and its accent are one
    assert (score.chars, score.unknown_chars) == (3, 2)


def test_texts_and_streams_in_one_batch_do_not_affect_each_other(scheduler: Scheduler, model: FakeModel) -> None:
    requests = [GenerationRequest(prompt="", length=60, sampling=SamplingParams(seed=seed)) for seed in range(3)]
    streams = [Stream(model, request, scheduler) for request in requests]
    chunks, _ = read(Scoring(model, TEXT * 3, scheduler))
    assert logprobs_of(chunks) == [-float(step) for step in range(60)]
    for seed, stream in enumerate(streams):
        assert "".join(characters.text for characters in stream.chunks(10)) == expected_text("", 60, seed)
        stream.close()


def test_a_chunk_is_bounded_however_long_the_text(scheduler: Scheduler, model: FakeModel) -> None:
    text = "ab" * MAX_CHARS_AT_ONCE + "c"
    scoring = Scoring(model, text, scheduler)
    wait_until(lambda: scheduler.is_idle)
    sizes = [len(chunk.logprobs) for chunk in scoring.chunks(10)]
    assert sizes == [MAX_CHARS_AT_ONCE, MAX_CHARS_AT_ONCE, 1]
    scoring.close()


def test_a_million_characters_need_a_fixed_memory_for_each() -> None:
    """Beside the text: ids, ends and logprobs of 4 bytes each, while the reader asks often or not at all."""
    text, scheduler = "ab" * 500_000, Scheduler(engines=1, slots=2, queue=0, chunk=1024, cache=PrefixCache(2**30))
    tracemalloc.start()
    try:
        scoring = Scoring(LongReader(), text, scheduler)  # type: ignore[arg-type]
        wait_until(lambda: scheduler.is_idle)
        chars = sum(len(chunk.logprobs) for chunk in scoring.chunks(10))
        scoring.close()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
        scheduler.close()
    assert (chars, scoring.result().nats) == (1_000_000, 1_000_000)
    assert peak <= 16 * len(text) + 1_000_000


def test_a_state_of_the_prefix_cache_does_not_replace_scoring(scheduler: Scheduler, model: FakeModel) -> None:
    for _ in range(2):
        _, score = read(Scoring(model, TEXT, scheduler))
        assert score.chars == 20


def test_a_closed_scoring_frees_its_row_before_the_next_call(scheduler: Scheduler) -> None:
    model, cancelled = Gate(), count_of("charloom_cancelled_total")
    scoring = Scoring(model, TEXT, scheduler)
    model.permits.release(2)
    wait_until(lambda: len(model.calls) == 2)
    chunk = next(scoring.chunks(0))
    assert logprobs_of([chunk]) == [-float(step) for step in range(len(chunk.logprobs))]
    for _ in range(2):
        scoring.close()
    model.permits.release(100)
    wait_until(lambda: scheduler.is_idle)
    assert len(model.calls) <= 3  # the third was in progress
    assert scoring.result().status == "cancelled"
    assert count_of("charloom_cancelled_total") == cancelled + 1


class NoEngine:
    """A scheduler whose engines take no row."""

    def submit(self, model: FakeModel, row: Row) -> None:
        self.row = row


def test_past_its_deadline_it_ends_with_the_characters_scored_so_far(model: FakeModel) -> None:
    engine = NoEngine()
    chunks, score = read(Scoring(model, TEXT, engine, timeout_s=0.02))  # type: ignore[arg-type]
    assert not any(chunks)
    assert (score.status, score.chars, score.nats) == ("timeout", 0, 0)
    assert (score.nats_per_char, score.bits_per_char, score.perplexity) == (None, None, None)
    assert engine.row.is_cancelled


def test_an_engines_error_reaches_the_reader(scheduler: Scheduler, model: FakeModel) -> None:
    failed = count_of("charloom_finished_total", reason="error")
    model.fails = True
    scoring = Scoring(model, TEXT, scheduler)
    with pytest.raises(RuntimeError, match="the model broke"):
        list(scoring.chunks(10))
    scoring.close()
    assert scoring.result().status == "error"
    assert count_of("charloom_finished_total", reason="error") == failed + 1


def test_a_text_waits_in_the_same_queue_as_streams() -> None:
    scheduler, model = Scheduler(engines=1, slots=1, queue=0, chunk=3, cache=PrefixCache(0)), Gate()
    scoring = Scoring(model, TEXT, scheduler)
    with pytest.raises(QueueFull):
        Scoring(model, TEXT, scheduler)
    model.permits.release(100)
    assert read(scoring)[1].chars == 20
    scheduler.close()


def test_scored_characters_are_counted(scheduler: Scheduler, model: FakeModel) -> None:
    names = ("charloom_scored_chars_total", "charloom_stream_seconds_count", "charloom_queue_seconds_count")
    before = [count_of(name) for name in names]
    read(Scoring(model, TEXT, scheduler))
    assert [count_of(name) for name in names] == [before[0] + 20, before[1] + 1, before[2] + 1]

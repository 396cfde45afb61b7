import math
from typing import Any, NamedTuple

import pytest
from prometheus_client import REGISTRY

from service.engine.batch import Batch
from service.engine.generation import GenerationRequest, Result
from service.engine.prefix_cache import PrefixCache
from service.engine.row import Row
from service.engine.sampling import SamplingParams
from service.engine.scheduler import Scheduler
from service.engine.stream import Stream
from service.model.codec import TextCodec
from tests.service.engine.rows import step
from tests.service.fakes import (
    FakeByteModel,
    FakeModel,
    characters_drawn,
    expected_characters,
    expected_text,
    manifest,
)


@pytest.fixture
def scheduler():
    started = Scheduler(engines=1, slots=4, queue=4, chunk=3, cache=PrefixCache(1_000_000))
    yield started
    started.close()


def request(**changes: Any) -> GenerationRequest:
    defaults = {"prompt": "", "length": 50, "sampling": SamplingParams(seed=9)}
    return GenerationRequest(**(defaults | changes))


class Character(NamedTuple):
    index: int
    text: str
    logprob: float


def read(stream: Stream) -> tuple[list[Character], Result]:
    characters: list[Character] = []
    for chunk in stream.chunks(10):
        assert chunk, "nothing came for ten seconds"
        numbered = enumerate(zip(chunk.text, chunk.logprobs.tolist(), strict=True), chunk.index)
        characters += [Character(index, text, logprob) for index, (text, logprob) in numbered]
    stream.close()
    return characters, stream.result()


def test_characters_come_in_order_with_their_logprobs(scheduler: Scheduler, model: FakeModel) -> None:
    characters, result = read(Stream(model, request(prompt="fad"), scheduler))
    assert "".join(c.text for c in characters) == result.text == expected_text("fad", 50, 9)
    assert [c.index for c in characters] == list(range(50))
    assert [c.logprob for c in characters] == result.logprobs == [-float(3 + i) for i in range(50)]
    assert (result.status, result.prompt_chars, result.unknown_chars) == ("length", 3, 0)
    assert 0 <= result.queue_ms <= result.first_char_ms <= result.total_ms
    assert math.isclose(result.chars_per_second, 50 / (result.total_ms / 1000))


def test_the_prompt_is_normalised_and_its_unknown_characters_are_counted(
    scheduler: Scheduler, model: FakeModel
) -> None:
    _, result = read(Stream(model, request(prompt="Z\u0065\u0301a"), scheduler))  # e and its accent are one
    assert (result.prompt_chars, result.unknown_chars) == (3, 2)


@pytest.mark.parametrize("start", range(0, 40))
@pytest.mark.parametrize("size", [1, 2, 5])
def test_text_ends_before_the_first_stop_string_in_any_chunks(
    scheduler: Scheduler, model: FakeModel, start: int, size: int
) -> None:
    text = expected_text("", 50, 9)
    stop = text[start : start + size]
    characters, result = read(Stream(model, request(stop=(stop, "never")), scheduler))
    assert result.status == "stop"
    assert result.text == text[: text.index(stop)]
    assert "".join(c.text for c in characters) == result.text


def test_the_beginning_of_a_stop_string_is_sent_if_the_rest_does_not_follow(
    scheduler: Scheduler, model: FakeModel
) -> None:
    text = expected_text("", 50, 9)
    almost = [text[i : i + 4] + "!" for i in (0, 13, 46)]
    characters, result = read(Stream(model, request(stop=tuple(almost)), scheduler))
    assert result.status == "length"
    assert "".join(c.text for c in characters) == result.text == text


def test_the_stop_string_that_is_complete_first_counts(scheduler: Scheduler, model: FakeModel) -> None:
    text = expected_text("", 50, 9)
    longer, shorter = text[5:25], text[12:20]  # the longer one begins first, the shorter one is complete first
    assert text.index(shorter) == 12
    _, result = read(Stream(model, request(stop=(longer, shorter)), scheduler))
    assert result.text == text[:12]


@pytest.mark.parametrize("reverse", [False, True])
def test_of_stop_strings_that_end_at_the_same_character_the_longest_counts(
    scheduler: Scheduler, model: FakeModel, reverse: bool
) -> None:
    text = expected_text("", 50, 9)
    stop = sorted((text[start:20] for start in (8, 14, 18)), reverse=reverse)
    assert {text.index(string) + len(string) for string in stop} == {20}
    _, result = read(Stream(model, request(stop=tuple(stop)), scheduler))
    assert result.text == text[:8]


@pytest.mark.parametrize(("stop", "found"), [("e\u0301", "é"), ("\r\n", "\n"), ("\r", "\n")])
def test_a_stop_string_is_normalised_like_the_corpus(scheduler: Scheduler, stop: str, found: str) -> None:
    model = FakeModel()
    model.manifest = manifest("char", (None, *"abcdefgh", "é", "\n"))
    model.text = TextCodec(model.manifest)
    text = expected_text("", 50, 9).translate({ord("i"): "é", ord("j"): "\n"})
    _, result = read(Stream(model, request(stop=(stop,)), scheduler))
    assert (result.status, result.text) == ("stop", text[: text.index(found)])


def test_a_prompt_with_cr_lf_is_normalised_like_the_corpus(scheduler: Scheduler) -> None:
    model = FakeModel()
    model.manifest = manifest("char", (None, *"abcdefghi", "\n"))
    model.text = TextCodec(model.manifest)
    results = [read(Stream(model, request(prompt=prompt), scheduler))[1] for prompt in ("a\r\n", "a\n")]
    assert [(result.prompt_chars, result.unknown_chars) for result in results] == [(2, 0), (2, 0)]
    assert results[0].text == results[1].text


@pytest.mark.parametrize("chunk", [1, 2, 3, 5, 16, 1000])
def test_a_byte_model_generates_complete_characters_in_any_chunks(byte_model: FakeByteModel, chunk: int) -> None:
    scheduler = Scheduler(engines=1, slots=4, queue=1000, chunk=chunk, cache=PrefixCache(0))
    # All run at once, so that each has neighbours that end at other bytes.
    wanted = [(prompt, length, seed) for prompt in ("", "é😀a") for length in (1, 2, 3, 40) for seed in range(12)]
    streams = [
        Stream(byte_model, request(prompt=p, length=n, sampling=SamplingParams(seed=seed)), scheduler)
        for p, n, seed in wanted
    ]
    for stream, (prompt, length, seed) in zip(streams, wanted, strict=True):
        characters, result = read(stream)
        assert [(c.text, c.logprob) for c in characters] == expected_characters(prompt, length, seed)
        assert [c.index for c in characters] == list(range(length))
        assert (result.status, result.logprobs) == ("length", [c.logprob for c in characters])
    scheduler.close()


def test_the_fake_bytes_make_long_short_and_invalid_characters() -> None:
    text = "".join(character for seed in range(12) for character, _ in expected_characters("", 40, seed))
    assert {len(character.encode()) for character in text} == {1, 2, 3, 4}
    assert text.count("\ufffd") > 40


class OneRow:
    """A scheduler of one row, which the test steps."""

    def submit(self, model: FakeModel, row: Row) -> None:
        self.row = row
        self.batch = Batch(model, slots=1, chunk=4, cache=PrefixCache(0))
        self.batch.join(row)


@pytest.mark.parametrize("seed", range(8))
def test_a_byte_row_leaves_in_the_call_that_completes_its_text(byte_model: FakeByteModel, seed: int) -> None:
    """The engine itself notices that the characters are complete: here no thread reads the stream."""
    engine = OneRow()
    Stream(byte_model, request(length=20, sampling=SamplingParams(seed=seed)), engine)
    while len(engine.batch):
        step(engine.batch)
    needed = sum(size for _, size in characters_drawn(20, seed))
    undecided = 2  # bytes that may follow before the last sequence is known to be invalid
    steps = sum(int(call.length.sum()) for call in byte_model.calls)
    assert needed <= steps < needed + undecided + 4
    assert steps < 80  # the bytes of 20 characters of four bytes


def test_characters_of_bytes_are_counted_as_characters(byte_model: FakeByteModel, scheduler: Scheduler) -> None:
    _, result = read(Stream(byte_model, request(prompt="é😀€aè😁b"), scheduler))
    assert (result.prompt_chars, result.unknown_chars) == (7, 3)
    assert len(result.text) == len(result.logprobs) == 50
    assert len(result.text.encode()) > 50


@pytest.mark.parametrize("start", range(0, 30, 3))
def test_stop_strings_are_characters_in_byte_models_too(
    byte_model: FakeByteModel, scheduler: Scheduler, start: int
) -> None:
    text = "".join(character for character, _ in expected_characters("", 50, 9))
    stop = text[start : start + 3]
    _, result = read(Stream(byte_model, request(stop=(stop,)), scheduler))
    assert (result.status, result.text) == ("stop", text[: text.index(stop)])


def test_an_engines_error_reaches_the_reader(scheduler: Scheduler, model: FakeModel) -> None:
    model.fails = True
    with pytest.raises(RuntimeError, match="the model broke"):
        read(Stream(model, request(), scheduler))


def test_a_cached_prompt_gives_the_same_text_and_its_cached_characters_are_counted(
    scheduler: Scheduler, byte_model: FakeByteModel
) -> None:
    found = [read(Stream(byte_model, request(prompt=prompt), scheduler))[1] for prompt in ("é😀", "é😀", "é😀€a")]
    assert [result.cached_chars for result in found] == [0, 2, 2]
    assert found[0].text == found[1].text
    expected = "".join(character for character, _ in expected_characters("é😀€a", 50, 9))
    assert found[2].text == expected


class NoEngine:
    """A scheduler whose engines take no row."""

    def submit(self, model: FakeModel, row: Row) -> None:
        self.row = row


def test_past_its_deadline_a_stream_ends_with_the_text_so_far(model: FakeModel) -> None:
    engine = OneRow()
    stream = Stream(model, request(timeout_s=0.05, stop=("never",)), engine)
    step(engine.batch)
    texts = [chunk.text for chunk in stream.chunks(0.01)]
    result = stream.result()
    assert result.status == "timeout"
    assert "".join(texts) == result.text == expected_text("", 50, 9)[: len(result.text)]
    assert 0 < len(result.text) < 50


def test_a_stream_that_no_engine_has_taken_times_out_too(model: FakeModel) -> None:
    engine = NoEngine()
    stream = Stream(model, request(timeout_s=0.02), engine)
    assert not any(stream.chunks(10))
    assert (stream.result().status, stream.result().text) == ("timeout", "")
    assert stream.result().first_char_ms is None
    assert stream.result().queue_ms >= 20
    stream.close()
    assert engine.row.is_cancelled


def value_of(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, {"model": "fake", "version": "1"} | labels) or 0


def test_the_end_of_a_stream_is_counted_once(scheduler: Scheduler, model: FakeModel) -> None:
    def counts() -> list[float]:
        return [value_of("charloom_cancelled_total"), value_of("charloom_finished_total", reason="length")]

    before = counts()
    read(Stream(model, request(), scheduler))
    cancelled = Stream(model, request(), scheduler)
    for _ in range(2):
        cancelled.close()
    assert counts() == [count + 1 for count in before]
    assert cancelled.result().status == "cancelled"


def test_a_failed_stream_is_not_counted_as_cancelled(scheduler: Scheduler, model: FakeModel) -> None:
    before = value_of("charloom_finished_total", reason="error")
    model.fails = True
    stream = Stream(model, request(), scheduler)
    with pytest.raises(RuntimeError):
        list(stream.chunks(10))
    stream.close()
    assert stream.result().status == "error"
    assert value_of("charloom_finished_total", reason="error") == before + 1


def test_the_row_of_a_complete_text_is_not_cancelled(byte_model: FakeByteModel) -> None:
    """A row that ends because its characters are complete differs from one whose client has left."""
    engine = OneRow()
    Stream(byte_model, request(length=3), engine)
    while len(engine.batch):
        step(engine.batch)
    assert (engine.row.is_finished, engine.row.is_cancelled) == (True, False)


@pytest.mark.parametrize("length", [0, 7])
def test_an_echo_is_the_prompt_with_its_logprobs(scheduler: Scheduler, model: FakeModel, length: int) -> None:
    """The scheduler's chunks are shorter than the prompt. The echo keeps a character outside the vocabulary."""
    prompt = "fad?abc"
    characters, result = read(Stream(model, request(prompt=prompt, length=length, echo=True), scheduler))
    generated = expected_text(prompt, length, 9)
    assert "".join(c.text for c in characters) == prompt + generated
    assert [c.index for c in characters] == list(range(7 + length))
    assert [c.logprob for c in characters] == [-float(i) for i in range(7 + length)]
    assert (result.echo, result.text, result.status) == (prompt, generated, "length")
    assert result.echo_logprobs + result.logprobs == [-float(i) for i in range(7 + length)]


def test_an_echo_of_a_byte_model_sums_the_logprobs_of_each_character(
    scheduler: Scheduler, byte_model: FakeByteModel
) -> None:
    _, result = read(Stream(byte_model, request(prompt="aé?😀", length=0, echo=True), scheduler))
    assert (result.echo, result.echo_logprobs) == ("aé?😀", [0, -1 - 2, -3, -4 - 5 - 6 - 7])


def test_an_echo_ends_at_no_stop_string_and_uses_no_cached_state(scheduler: Scheduler, model: FakeModel) -> None:
    for _ in range(2):
        _, result = read(Stream(model, request(prompt="abc", length=1, stop=("bc",), echo=True), scheduler))
        assert (result.echo, result.cached_chars, result.status) == ("abc", 0, "length")


@pytest.mark.parametrize("changes", [{"prompt": "abc"}, {"echo": True}])
def test_a_stream_with_nothing_to_compute_takes_no_slot(model: FakeModel, changes: dict[str, Any]) -> None:
    engine = NoEngine()
    stream = Stream(model, request(length=0, **changes), engine)
    assert not list(stream.chunks(10))
    assert (stream.result().status, hasattr(engine, "row")) == ("length", False)
    stream.close()

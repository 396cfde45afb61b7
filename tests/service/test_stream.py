import math

import pytest

from service.generation.scheduler import Scheduler
from service.generation.stream import Request, Stream
from tests.service.conftest import FakeModel, expected_text


@pytest.fixture
def scheduler():
    started = Scheduler(engines=1, slots=4, queue=4, chunk=3)
    yield started
    started.close()


def request(**changes) -> Request:
    fields = {"prompt": "", "length": 50, "temperature": 1.0, "top_k": 0, "top_p": 1.0, "seed": 9}
    return Request(**(fields | changes))


def read(stream: Stream):
    characters = [character for chunk in stream.chunks(10) for character in chunk]
    stream.close()
    return characters, stream.result()


def test_characters_come_in_order_with_their_logprobs(scheduler: Scheduler, model: FakeModel) -> None:
    characters, result = read(Stream(model, request(prompt="fad"), scheduler))
    assert "".join(c.text for c in characters) == result.text == expected_text("fad", 50, 9)
    assert [c.index for c in characters] == list(range(50))
    assert [c.logprob for c in characters] == result.logprobs == [-float(3 + i) for i in range(50)]
    assert (result.finish_reason, result.prompt_chars, result.unknown_chars) == ("length", 3, 0)
    assert 0 <= result.queue_ms <= result.first_char_ms <= result.total_ms
    assert math.isclose(result.chars_per_second, 50 / (result.total_ms / 1000))


def test_prompt_is_normalised_and_unknown_characters_counted(scheduler: Scheduler, model: FakeModel) -> None:
    _, result = read(Stream(model, request(prompt="Z\u0065\u0301a"), scheduler))  # e and an accent are one character
    assert (result.prompt_chars, result.unknown_chars) == (3, 2)


@pytest.mark.parametrize("start", range(0, 40))
@pytest.mark.parametrize("size", [1, 2, 5])
def test_text_ends_before_the_first_stop_string_wherever_chunks_break(
    scheduler: Scheduler, model: FakeModel, start: int, size: int
) -> None:
    text = expected_text("", 50, 9)
    stop = text[start : start + size]
    characters, result = read(Stream(model, request(stop=(stop, "never")), scheduler))
    assert result.finish_reason == "stop"
    assert result.text == text[: text.index(stop)]
    assert "".join(c.text for c in characters) == result.text


def test_what_looked_like_a_stop_string_is_sent_when_it_is_none(scheduler: Scheduler, model: FakeModel) -> None:
    text = expected_text("", 50, 9)
    almost = [text[i : i + 4] + "!" for i in (0, 13, 46)]
    characters, result = read(Stream(model, request(stop=tuple(almost)), scheduler))
    assert result.finish_reason == "length"
    assert "".join(c.text for c in characters) == result.text == text


def test_the_stop_string_that_is_complete_first_wins(scheduler: Scheduler, model: FakeModel) -> None:
    text = expected_text("", 50, 9)
    longer, shorter = text[5:25], text[12:20]  # the longer one begins first, the shorter one is complete first
    assert text.index(shorter) == 12
    _, result = read(Stream(model, request(stop=(longer, shorter)), scheduler))
    assert result.text == text[:12]


def test_an_engines_error_reaches_the_reader(scheduler: Scheduler, model: FakeModel) -> None:
    model.fails = True
    with pytest.raises(RuntimeError, match="the model broke"):
        read(Stream(model, request(), scheduler))

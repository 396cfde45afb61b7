import numpy as np
import pytest
from prometheus_client import REGISTRY

from service.engine.text_queue import TextQueue
from service.model.guesses import GUESS
from service.model.version import ModelVersion
from tests.service.fakes import FakeByteModel, FakeModel

VERSION = ModelVersion("fake", 1)


def test_symbols_come_out_as_text_with_their_logprobs(model: FakeModel) -> None:
    texts = TextQueue(model.text.decoder(), VERSION, length=9)
    logprobs = np.array([-1, -2, -3], np.float32)
    texts.sampled(model.text.encode("abc"), logprobs)
    text, found, _ = texts.get(0)
    assert text == "abc"
    np.testing.assert_array_equal(found, logprobs)
    assert texts.get(0) is None


def test_it_needs_no_more_once_its_characters_are_complete(byte_model: FakeByteModel) -> None:
    texts = TextQueue(byte_model.text.decoder(), VERSION, length=2)
    symbols = byte_model.text.encode("é😀")
    needs_no_more = [texts.sampled(symbols[i : i + 1], np.zeros(1, np.float32)) for i in range(len(symbols))]
    assert needs_no_more == [False] * 5 + [True]
    assert [texts.get(0)[0] for _ in range(2)] == ["é", "😀"]
    assert texts.get(0) is None  # symbols that completed no character queue nothing


def test_an_error_is_raised_to_the_reader(model: FakeModel) -> None:
    texts = TextQueue(model.text.decoder(), VERSION, length=9)
    texts.failed(ZeroDivisionError("the engine failed"))
    with pytest.raises(ZeroDivisionError, match="the engine failed"):
        texts.get(0)


def test_the_time_in_the_queue_is_measured(model: FakeModel) -> None:
    def count() -> float:
        labels = {"model": "fake", "version": "1"}
        return REGISTRY.get_sample_value("charloom_queue_seconds_count", labels) or 0

    before = count()
    texts = TextQueue(model.text.decoder(), VERSION, length=9)
    assert texts.started_s is None
    texts.started()
    assert texts.started_s >= texts.submitted_s
    assert count() == before + 1


def test_followed_symbols_come_out_as_the_characters_of_the_prompt(model: FakeModel) -> None:
    put: list[int] = []
    prompt = model.text.prompt_decoder("a?")
    texts = TextQueue(
        model.text.decoder(), VERSION, length=9, prompt_decoder=prompt, on_put=lambda: put.append(len(put))
    )
    texts.followed(model.text.encode("a?"), np.array([-1, -2], np.float32))
    text, logprobs, _ = texts.get(0)
    assert (text, logprobs.tolist(), put) == ("a?", [-1, -2], [0])
    texts.sampled(model.text.encode("b"), np.zeros(1, np.float32))
    texts.failed(ZeroDivisionError())
    assert put == [0, 1, 2]


def test_guesses_come_out_with_the_characters_that_they_precede(byte_model: FakeByteModel) -> None:
    prompt = byte_model.text.prompt_decoder("é")
    texts = TextQueue(byte_model.text.decoder(), VERSION, length=9, prompt_decoder=prompt)
    symbols, guesses = byte_model.text.encode("é"), np.array([[(1, -1)], [(2, -2)]], GUESS)
    texts.followed(symbols, np.zeros(2, np.float32), guesses)
    texts.sampled(symbols, np.zeros(2, np.float32), guesses[::-1])
    assert [texts.get(0).guesses.tolist() for _ in range(2)] == [[[(1, -1)]], [[(2, -2)]]]

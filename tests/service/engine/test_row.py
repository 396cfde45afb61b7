import numpy as np
import pytest

from service.engine.row import Row
from service.engine.sampling import SamplingParams
from service.model.guesses import GUESS, NO_GUESSES
from tests.service.engine.rows import row_of
from tests.service.fakes import FakeModel, Recorder

SYMBOLS, LOGPROBS = np.array([1, 2], np.int32), np.array([-1, -2], np.float32)


def test_it_follows_its_prompt_then_samples_with_the_uniforms_of_its_seed(model: FakeModel) -> None:
    row, _ = row_of(model, "abcde", length=4, seed=7)
    assert [row.follow(2).tolist(), row.follow(9).tolist()] == [[1, 2], [3, 4, 5]]
    assert (row.to_follow, row.to_sample, row.is_finished) == (0, 4, False)
    uniforms = np.concatenate([row.sample(3), row.sample(3)])
    np.testing.assert_array_equal(uniforms, SamplingParams(seed=7).generator().random(4, dtype=np.float32))
    assert row.is_finished


def test_it_starts_after_a_cached_prefix(model: FakeModel) -> None:
    row, _ = row_of(model, "abcde")
    row.skip(3)
    assert (row.cached, row.to_follow) == (3, 2)
    assert row.follow(9).tolist() == [4, 5]


def test_a_row_of_length_0_is_finished_after_its_prompt(model: FakeModel) -> None:
    row, _ = row_of(model, "ab", length=0)
    assert not row.is_finished
    row.follow(2)
    assert row.is_finished
    assert row_of(model, "", length=0)[0].is_finished


def test_it_ends_when_its_listener_needs_no_more() -> None:
    class Satisfied(Recorder):
        def sampled(self, symbols, logprobs, guesses) -> bool:
            super().sampled(symbols, logprobs, guesses)
            return len(self.symbols) >= 4

    satisfied = Satisfied()
    row = Row(SYMBOLS[:0], length=100, sampling=SamplingParams(seed=1), listener=satisfied)
    ends = []
    for _ in range(2):
        row.sample(2)
        row.deliver_sampled(SYMBOLS, LOGPROBS)
        ends.append(row.is_finished)
    assert ends == [False, True]
    assert not row.is_cancelled
    received = len(satisfied.symbols)
    row.deliver_sampled(SYMBOLS, LOGPROBS)  # of a call that had begun before
    assert len(satisfied.symbols) == received


def test_followed_symbols_are_delivered_if_they_are_asked_for(model: FakeModel) -> None:
    followed = []
    asks, _ = row_of(model, "ab", on_followed=lambda *outputs: followed.append(outputs))
    asks_not, recorder = row_of(model, "ab")
    for row in (asks, asks_not):
        row.deliver_followed(SYMBOLS, LOGPROBS)
    assert followed == [(SYMBOLS, LOGPROBS, NO_GUESSES)]
    assert recorder.symbols == []
    assert [row.may_use_cache for row in (asks, asks_not, row_of(model, "")[0])] == [False, True, False]


def test_a_cancelled_row_is_finished(model: FakeModel) -> None:
    row, recorder = row_of(model)
    row.cancel()
    assert (row.is_cancelled, row.is_finished, recorder.error) == (True, True, None)


def test_a_failed_row_is_finished_even_if_its_listener_raises(caplog: pytest.LogCaptureFixture) -> None:
    class Raises(Recorder):
        def failed(self, error: Exception) -> None:
            super().failed(error)
            raise MemoryError

    listener = Raises()
    row = Row(SYMBOLS, length=3, sampling=SamplingParams(seed=1), listener=listener)
    row.fail(ZeroDivisionError())
    assert (row.is_finished, row.is_cancelled) == (True, False)
    assert isinstance(listener.error, ZeroDivisionError)
    assert [record.levelname for record in caplog.records] == ["ERROR"]


def test_its_text_for_the_log_has_the_parameters_and_no_prompt(model: FakeModel) -> None:
    row, _ = row_of(model, "abc", length=9, seed=4, temperature=0.25)
    assert str(row) == "temperature 0.25, top_k 0, top_p 1, seed 4, length 9, prompt of 3, 9 left to sample"


def test_guesses_are_delivered_with_the_symbols_they_precede() -> None:
    recorder = Recorder()
    row = Row(SYMBOLS[:0], length=6, sampling=SamplingParams(seed=1), listener=recorder, guesses=1)
    for first in range(3):
        row.sample(2)
        guesses = np.array([[(first, -1)], [(first, -2)]], GUESS)
        row.deliver_sampled(SYMBOLS, LOGPROBS, guesses)
    assert recorder.guesses == [[(first, logprob)] for first in range(3) for logprob in (-1, -2)]


def test_guesses_before_the_symbols_of_a_prompt_are_wanted_with_their_logprobs_only(model: FakeModel) -> None:
    assert row_of(model, "ab", guesses=3)[0].prompt_guesses == 0
    assert row_of(model, "ab", guesses=3, on_followed=print)[0].prompt_guesses == 3

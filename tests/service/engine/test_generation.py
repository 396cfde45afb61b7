import json
from typing import Any

import numpy as np

from service.engine.generation import Characters, Result, Status, top_of
from service.model.guesses import GUESS
from service.model.version import ModelVersion


def result(**changes: Any) -> Result:
    counts = {"prompt_chars": 0, "cached_chars": 0, "unknown_chars": 0}
    fields = {"version": ModelVersion("fake", 1), "seed": 1, "status": Status.LENGTH, "text": "abcd", "logprobs": []}
    times = {"queue_ms": 0.12345, "first_char_ms": 1.0, "total_ms": 2.0}
    return Result(**(counts | fields | times | changes))


def test_decimals_are_the_shortest_that_identify_a_float32() -> None:
    logprobs = -np.random.default_rng(0).exponential(2, 1000).astype(np.float32)
    decimals = Characters(0, "a" * 1000, logprobs).decimals()
    np.testing.assert_array_equal(np.array(decimals, np.float32), logprobs)
    assert max(map(len, decimals)) <= 14
    assert Characters(0, "a", np.array([-2.8345897], np.float32)).decimals() == ["-2.8345897"]
    impossible = Characters(0, "a", np.array([-np.inf], np.float32)).decimals()  # JSON has no infinity
    assert np.float32(json.loads(impossible[0])) == np.finfo(np.float32).min


def test_guesses_are_texts_with_decimals_in_the_order_of_the_characters() -> None:
    guesses = np.array([[(1, -0.1), (0, -2.8345897)], [(2, -0.5), (1, -3)]], GUESS)
    chunks = [
        Characters(
            index, "a", np.zeros(1, np.float32), guesses=guesses[index : index + 1], symbol_texts=("?", "a", "b")
        )
        for index in range(2)
    ]
    assert top_of(chunks) == [[("a", -0.1), ("?", -2.8345897)], [("b", -0.5), ("a", -3)]]
    assert top_of([Characters(0, "a", np.zeros(1, np.float32))]) == []


def test_characters_are_false_if_there_are_none() -> None:
    assert not Characters(3, "", np.zeros(0, np.float32))
    assert Characters(3, "a", np.zeros(1, np.float32))


def test_a_result_has_rates_and_rounded_times() -> None:
    assert result().chars_per_second == 2000
    assert result().timings == {"queue_ms": 0.123, "first_char_ms": 1.0, "total_ms": 2.0}
    assert result(first_char_ms=None).timings["first_char_ms"] is None


def test_a_status_is_its_word_in_json_and_in_text() -> None:
    assert (json.dumps(Status.LENGTH), f"{Status.CANCELLED}") == ('"length"', "cancelled")

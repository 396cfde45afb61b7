"""Numbers as short text."""

import math

from training.report.numbers import duration, measured, short


def test_durations_have_at_most_two_units() -> None:
    assert [duration(n) for n in (0, 59.4, 59.6, 125, 3600, 12_000)] == [
        "0 s", "59 s", "1 min 0 s", "2 min 5 s", "1 h 0 min", "3 h 20 min",
    ]  # fmt: skip


def test_counts_have_at_most_three_digits() -> None:
    assert [short(n) for n in (0, 950, 12_000, 6_420_000, 999_999, 2e9)] == ["0", "950", "12k", "6.42M", "1M", "2G"]


def test_a_number_that_was_not_measured_is_a_dash() -> None:
    assert [measured(n, ".2f") for n in (1.234, math.nan, math.inf)] == ["1.23", "–", "–"]
    assert measured(125, duration) == "2 min 5 s"

"""The arithmetic of a chart: where ticks and labels stand, how counts are said. What is drawn: test_report.py."""

import numpy as np
import pytest

from training.report.charts import duration, short, spread, ticks


@pytest.mark.parametrize(("low", "high"), [(0, 1), (1.34, 1.67), (0, 6.02e7), (-3, 3), (0.001, 0.0011), (0, 1.04)])
def test_ticks_are_round_few_even_and_inside(low: float, high: float) -> None:
    for most in range(2, 12):
        found = ticks(low, high, most)
        assert len(found) <= most
        assert all(low - 1e-9 <= tick <= high + 1e-9 for tick in found)
        if most >= 4:
            assert len(found) >= 2
            np.testing.assert_allclose(np.diff(found), found[1] - found[0])
            mantissa = f"{found[1] - found[0]:.2e}"[:4]
            assert mantissa in ("1.00", "2.00", "2.50", "5.00")


def test_labels_are_spread_in_order_and_stay_inside() -> None:
    generator = np.random.Generator(np.random.PCG64(1))
    for count in range(1, 9):
        places = sorted((100 + 5 * generator.random(count)).tolist())
        found = spread(places, 13, 0, 200)
        assert all(gap >= 13 - 1e-9 for gap in np.diff(found))
        assert 0 <= found[0] <= found[-1] <= 200
    assert spread([20, 60, 90], 13, 0, 100) == [20, 60, 90]  # those that stand apart do not move
    assert spread([99.0, 99.5, 100], 13, 0, 100) == [74, 87, 100]
    assert spread([1, 2, 3], 13, 0, 100) == [1, 14, 27]
    assert spread([0, 0, 0], 13, 0, 10) == [0, 5, 10]  # no room


def test_durations_are_said_in_two_units_at_most() -> None:
    assert [duration(n) for n in (0, 59.4, 59.6, 125, 3600, 12_000)] == [
        "0 s", "59 s", "1 min 0 s", "2 min 5 s", "1 h 0 min", "3 h 20 min",
    ]  # fmt: skip


def test_counts_are_said_shortly() -> None:
    assert [short(n) for n in (0, 950, 12_000, 6_420_000, 999_999, 2e9)] == ["0", "950", "12k", "6.42M", "1M", "2G"]

"""Positions of values, ticks and labels in a chart."""

import numpy as np
import pytest

from training.report.scales import BOTTOM, LEFT, Scales, padded, spread, ticks


def test_values_are_mapped_linearly_between_the_margins() -> None:
    scales = Scales(width=500, height=300, right=20, top=30, x_range=(0, 10), y_range=(1, 3))
    assert [scales.x(value) for value in (0, 5, 10)] == [LEFT, (LEFT + 480) / 2, 480]
    assert [scales.y(value) for value in (3, 1)] == [30, 300 - BOTTOM]


def test_a_padded_range_is_never_empty() -> None:
    assert padded(0, 10) == (-0.5, 10.5)
    assert padded(5, 5) == (4.5, 5.5)
    assert padded(0, 0) == (-1, 1)


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
        positions = sorted((100 + 5 * generator.random(count)).tolist())
        found = spread(positions, 13, 0, 200)
        assert all(gap >= 13 - 1e-9 for gap in np.diff(found))
        assert 0 <= found[0] <= found[-1] <= 200


@pytest.mark.parametrize(
    ("positions", "high", "moved"),
    [
        ([20, 60, 90], 100, [20, 60, 90]),
        ([99.0, 99.5, 100], 100, [74, 87, 100]),
        ([1, 2, 3], 100, [1, 14, 27]),
        ([0, 0, 0], 10, [0, 5, 10]),
        ([], 10, []),
    ],
    ids=["far apart", "at the end", "at the start", "range too short", "none"],
)
def test_labels_move_as_little_as_possible(positions: list[float], high: float, moved: list[float]) -> None:
    assert spread(positions, 13, 0, high) == moved

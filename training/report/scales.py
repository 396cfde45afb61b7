"""Geometry of a chart: where values, ticks and labels are in a drawing. Draws nothing."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

BOTTOM, LEFT, RIGHT = 40, 52, 14
"""Margins in pixels, for the axes and their labels."""


@dataclass(frozen=True)
class Scales:
    """Maps values to positions in a drawing of width x height pixels."""

    width: int
    height: int
    right: int
    top: int
    x_range: tuple[float, float]
    y_range: tuple[float, float]

    def x(self, value: float) -> float:
        """Distance from the left edge."""
        low, high = self.x_range
        return LEFT + (value - low) / (high - low) * (self.width - LEFT - self.right)

    def y(self, value: float) -> float:
        """Distance from the top edge."""
        low, high = self.y_range
        return self.height - BOTTOM - (value - low) / (high - low) * (self.height - BOTTOM - self.top)


def padded(low: float, high: float) -> tuple[float, float]:
    """The range from `low` to `high` with a margin, never empty."""
    margin = 0.05 * (high - low) or 0.1 * abs(high) or 1
    return low - margin, high + margin


def ticks(low: float, high: float, most: int) -> list[float]:
    """At most `most` round values between `low` and `high`, in steps of 1, 2, 2.5 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10((high - low) / most))
    for step in (power * factor for factor in (1, 2, 2.5, 5, 10, 20, 50)):
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first + 1 <= most:
            break
    return [round(index * step, 12) for index in range(first, last + 1)]


def spread(positions: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Ascending `positions`, moved as little as possible to be `gap` apart between `low` and `high`.

    If the range is too short for that gap, they are closer.
    """
    gap = min(gap, (high - low) / max(len(positions) - 1, 1))
    moved: list[float] = []
    for position in positions:
        moved.append(max(position, moved[-1] + gap if moved else low))
    limit = high
    for index in reversed(range(len(moved))):
        moved[index] = min(moved[index], limit)
        limit = moved[index] - gap
    return moved

"""Numbers as short text: counts, durations, and a dash for a value that was not measured."""

import math
from collections.abc import Callable


def short(value: float) -> str:
    """A count in at most three digits: 950, 12k, 6.42M."""
    for limit, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= 0.9995 * limit:  # a smaller value is rounded to less than 1000 of the smaller unit
            return f"{value / limit:.3g}{suffix}"
    return f"{value:.3g}"


def duration(seconds: float) -> str:
    """A duration in at most two units: 42 s, 12 min 5 s, 3 h 20 min."""
    total = round(seconds)
    if total < 60:
        return f"{total} s"
    if total < 3600:
        return f"{total // 60} min {total % 60} s"
    return f"{total // 3600:,} h {total % 3600 // 60} min"


def measured(value: float, text_of: str | Callable[[float], str]) -> str:
    """A number as text, by a format or a function; a dash if it is not finite."""
    if not math.isfinite(value):
        return "–"
    return format(value, text_of) if isinstance(text_of, str) else text_of(value)

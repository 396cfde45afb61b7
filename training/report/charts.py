"""Line charts as inline SVG: axes, curves, dashed levels, values under the pointer. Knows nothing of training.

Colours and the showing of values are the page's style sheet (page.py): here are shapes and class names only.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape

LINE_HEIGHT = 16
LABEL_GAP = 13  # between two labels that would otherwise overlap
BOTTOM, LEFT, RIGHT = 40, 52, 14
CLIP_ROOM = 5

Point = tuple[float, float]


@dataclass(frozen=True)
class Curve:
    """One line; `kind` is its class name. A nan breaks it."""

    kind: str
    points: Sequence[Point]


@dataclass(frozen=True)
class Moment:
    """What the pointer shows at one x: `lines` of text, and a dot on each of `values` by kind of curve."""

    x: float
    lines: Sequence[str]
    values: dict[str, float]


@dataclass(frozen=True)
class Chart:
    """What is drawn. `levels` are horizontal lines, label -> y.

    What lies outside of `y_range` is cut off. `name` is a word of its own on its page.
    """

    name: str

    title: str
    y_name: str
    x_name: str
    curves: Sequence[Curve]
    moments: Sequence[Moment] = ()
    levels: dict[str, float] = field(default_factory=dict)
    best: Point | None = None
    y_range: tuple[float, float] | None = None
    y_text: Callable[[float], str] = lambda value: f"{value:g}"


@dataclass(frozen=True)
class Scales:
    """From values to places in a drawing of width x height."""

    width: int
    height: int
    right: int
    top: int
    x_range: tuple[float, float]
    y_range: tuple[float, float]

    def x(self, value: float) -> float:
        """Distance from the left."""
        low, high = self.x_range
        return LEFT + (value - low) / (high - low) * (self.width - LEFT - self.right)

    def y(self, value: float) -> float:
        """Distance from the top."""
        low, high = self.y_range
        return self.height - BOTTOM - (value - low) / (high - low) * (self.height - BOTTOM - self.top)


def svg(chart: Chart, width: int, height: int) -> str:
    """The chart as one `<svg>` element that fills its container's width, drawn for `width` x `height` pixels."""
    scales = _scales(chart, width, height)
    parts = [
        _axes(chart, scales),
        *(_level(*placed, scales) for placed in _placed_levels(chart, scales)),
        _curves(chart, scales),
        _best(chart.best, scales) if chart.best else "",
        *_moments(chart, scales),
    ]
    head = f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(chart.title)}">'
    return head + "".join(parts) + "</svg>"


def ticks(low: float, high: float, most: int) -> list[float]:
    """Round values between `low` and `high`, at most `most` of them: steps of 1, 2, 2.5 or 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10((high - low) / most))
    for step in (power * factor for factor in (1, 2, 2.5, 5, 10, 20, 50)):
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first + 1 <= most:
            break
    return [round(index * step, 12) for index in range(first, last + 1)]


def short(value: float) -> str:
    """A count as a person says it: 950, 12k, 6.4M."""
    for limit, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= 0.9995 * limit:  # from there on it would round to 1000 of the smaller
            return f"{value / limit:.3g}{suffix}"
    return f"{value:.3g}"


def duration(seconds: float) -> str:
    """A time as a person says it: 42 s, 12 min 5 s, 3 h 20 min."""
    total = round(seconds)
    if total < 60:
        return f"{total} s"
    if total < 3600:
        return f"{total // 60} min {total % 60} s"
    return f"{total // 3600:,} h {total % 3600 // 60} min"


def spread(places: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Ascending `places`, moved as little as it takes to stand `gap` apart between `low` and `high`.

    Where there is no room for all of them they stand closer.
    """
    gap = min(gap, (high - low) / max(len(places) - 1, 1))
    moved: list[float] = []
    for place in places:
        moved.append(max(place, moved[-1] + gap if moved else low))
    limit = high
    for index in reversed(range(len(moved))):
        moved[index] = min(moved[index], limit)
        limit = moved[index] - gap
    return moved


def _scales(chart: Chart, width: int, height: int) -> Scales:
    points = [point for curve in chart.curves for point in curve.points if math.isfinite(point[1])]
    xs, ys = [x for x, _ in points], [y for _, y in points]
    y_range = chart.y_range or _padded(min(ys), max(ys))
    lines = max((len(moment.lines) for moment in chart.moments), default=1)
    right = RIGHT + 8 * max(map(len, chart.levels)) if chart.levels else RIGHT
    return Scales(width, height, right, 10 + LINE_HEIGHT * lines, (min(0, *xs), max(*xs, 1)), y_range)


def _padded(low: float, high: float) -> tuple[float, float]:
    room = 0.05 * (high - low) or 0.1 * abs(high) or 1
    return low - room, high + room


def _axes(chart: Chart, scales: Scales) -> str:
    right, bottom = scales.width - scales.right, scales.height - BOTTOM
    parts = []
    for value in ticks(*scales.y_range, 7 if scales.height > 250 else 5):
        y = scales.y(value)
        parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{right}"/>')
        parts.append(_text(LEFT - 8, y + 4, chart.y_text(value), "end"))
    for value in ticks(*scales.x_range, max(3, scales.width // 90)):
        x = scales.x(value)
        parts.append(f'<path class="axis" d="M{x:.1f} {bottom}v5"/>')
        parts.append(_text(x, bottom + 19, short(value), "middle"))
    parts.append(f'<path class="axis" d="M{LEFT} {bottom}H{right}"/>')
    parts.append(_text(right, bottom + 35, chart.x_name, "end"))
    parts.append(_text(2, scales.top - 10, chart.y_name, "start"))
    return "".join(parts)


def _curves(chart: Chart, scales: Scales) -> str:
    clip = f"{chart.name}-{scales.width}"
    # Wider than the chart, for the width of a curve's first and last point.
    left, width = LEFT - CLIP_ROOM, scales.width - LEFT - scales.right + 2 * CLIP_ROOM
    height = scales.height - BOTTOM - scales.top
    box = f'<clipPath id="{clip}"><rect x="{left}" y="{scales.top}" width="{width}" height="{height}"/></clipPath>'
    return f'{box}<g clip-path="url(#{clip})">{"".join(_curve(curve, scales) for curve in chart.curves)}</g>'


def _curve(curve: Curve, scales: Scales) -> str:
    """A line through each group of neighbouring points; a point that stands alone is a dot."""
    lines, dots = "", ""
    for is_finite, group in itertools.groupby(curve.points, lambda point: math.isfinite(point[1])):
        places = [f"{scales.x(x):.1f} {scales.y(y):.1f}" for x, y in group] if is_finite else []
        if len(places) > 1:
            lines += "M" + "L".join(places)
        elif places:
            dots += f"M{places[0]}h0"
    drawn = f'<path class="curve {curve.kind}" d="{lines}"/>' if lines else ""
    return drawn + (f'<path class="point {curve.kind}" d="{dots}"/>' if dots else "")


def _placed_levels(chart: Chart, scales: Scales) -> list[tuple[str, float, float]]:
    """Label, height of the line, height of the label: the topmost first."""
    low, high = scales.y_range
    inside = [(label, scales.y(y)) for label, y in chart.levels.items() if low <= y <= high]
    inside.sort(key=lambda level: level[1])
    labels = spread([y for _, y in inside], LABEL_GAP, scales.top, scales.height - BOTTOM)
    return [(label, y, place) for (label, y), place in zip(inside, labels, strict=True)]


def _level(label: str, y: float, label_y: float, scales: Scales) -> str:
    right = scales.width - scales.right
    line = f'<path class="level" d="M{LEFT} {y:.1f}H{right}"/>'
    leader = f'<path class="leader" d="M{right} {y:.1f}l8 {label_y - y:.1f}"/>'
    return line + leader + _text(right + 11, label_y + 4, label, "start")


def _best(point: Point, scales: Scales) -> str:
    return f'<circle class="best" cx="{scales.x(point[0]):.1f}" cy="{scales.y(point[1]):.1f}" r="4.5"/>'


def _moments(chart: Chart, scales: Scales) -> list[str]:
    """One group for each: an invisible column that takes the pointer, and what is shown while it is there."""
    xs = [scales.x(moment.x) for moment in chart.moments]
    borders = [LEFT, *((a + b) / 2 for a, b in itertools.pairwise(xs)), scales.width - scales.right]
    return [_moment(moment, scales, borders[index], borders[index + 1]) for index, moment in enumerate(chart.moments)]


def _moment(moment: Moment, scales: Scales, left: float, right: float) -> str:
    x, bottom = scales.x(moment.x), scales.height - BOTTOM
    column = f'<rect x="{left:.1f}" y="0" width="{max(right - left, 0):.1f}" height="{scales.height}"/>'
    dots = "".join(
        f'<circle class="dot {kind}" cx="{x:.1f}" cy="{scales.y(y):.1f}" r="3.5"/>'
        for kind, y in moment.values.items()
        if scales.y_range[0] <= y <= scales.y_range[1]
    )
    texts = "".join(
        _text(scales.width - RIGHT, LINE_HEIGHT * (index + 1) - 2, line, "end", "value")
        for index, line in enumerate(moment.lines)
    )
    rule = f'<path class="rule" d="M{x:.1f} {scales.top}V{bottom}"/>'
    title = f"<title>{escape(' · '.join(moment.lines))}</title>"
    return f'<g class="at">{title}{column}<g class="shown">{rule}{dots}{texts}</g></g>'


def _text(x: float, y: float, text: str, anchor: str, kind: str = "label") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'

"""Line charts as inline SVG: axes, curves, horizontal levels, tooltips. Knows nothing of training.

Draws shapes with class names; the style sheet of the page (page.py) gives them colours and shows the tooltips.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape

from training.report.numbers import short
from training.report.scales import BOTTOM, LEFT, RIGHT, Scales, padded, spread, ticks

LINE_HEIGHT = 16
LABEL_GAP = 13  # so that labels do not overlap
CLIP_MARGIN = 5  # for the width of a curve's first and last point

Point = tuple[float, float]


@dataclass(frozen=True)
class Curve:
    """One line, interrupted at nan. `kind` is its class name."""

    kind: str
    points: Sequence[Point]


@dataclass(frozen=True)
class Tooltip:
    """Shown while the pointer is near `x`: `lines` of text, and a dot at each of `values` (kind of curve -> y)."""

    x: float
    lines: Sequence[str]
    values: dict[str, float]


@dataclass(frozen=True)
class Chart:
    """The content of a chart. Curves are clipped to `y_range`; levels outside are left out."""

    name: str  # unique on the page
    title: str
    y_name: str
    x_name: str
    curves: Sequence[Curve]
    tooltips: Sequence[Tooltip] = ()
    levels: dict[str, float] = field(default_factory=dict)  # label -> y of a dashed horizontal line
    best: Point | None = None
    y_range: tuple[float, float] | None = None
    y_text: Callable[[float], str] = lambda value: f"{value:g}"


def svg(chart: Chart, width: int, height: int) -> str:
    """The chart as an `<svg>` element of `width` x `height` pixels, which scales to the width of its container."""
    scales = _scales(chart, width, height)
    parts = [
        _axes(chart, scales),
        *(_level(*placed, scales) for placed in _placed_levels(chart, scales)),
        _curves(chart, scales),
        _best(chart.best, scales) if chart.best else "",
        *_tooltips(chart, scales),
    ]
    head = f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{escape(chart.title)}">'
    return head + "".join(parts) + "</svg>"


def _scales(chart: Chart, width: int, height: int) -> Scales:
    points = [point for curve in chart.curves for point in curve.points if math.isfinite(point[1])]
    xs, ys = [x for x, _ in points], [y for _, y in points]
    y_range = chart.y_range or padded(min(ys), max(ys))
    lines = max((len(tooltip.lines) for tooltip in chart.tooltips), default=1)
    right = RIGHT + 8 * max(map(len, chart.levels)) if chart.levels else RIGHT
    return Scales(width, height, right, 10 + LINE_HEIGHT * lines, (min(0, *xs), max(*xs, 1)), y_range)


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
    left, width = LEFT - CLIP_MARGIN, scales.width - LEFT - scales.right + 2 * CLIP_MARGIN
    height = scales.height - BOTTOM - scales.top
    box = f'<clipPath id="{clip}"><rect x="{left}" y="{scales.top}" width="{width}" height="{height}"/></clipPath>'
    return f'{box}<g clip-path="url(#{clip})">{"".join(_curve(curve, scales) for curve in chart.curves)}</g>'


def _curve(curve: Curve, scales: Scales) -> str:
    """A line through each group of adjacent points; a single point is a dot."""
    lines, dots = "", ""
    for is_finite, group in itertools.groupby(curve.points, lambda point: math.isfinite(point[1])):
        points = [f"{scales.x(x):.1f} {scales.y(y):.1f}" for x, y in group] if is_finite else []
        if len(points) > 1:
            lines += "M" + "L".join(points)
        elif points:
            dots += f"M{points[0]}h0"
    drawn = f'<path class="curve {curve.kind}" d="{lines}"/>' if lines else ""
    return drawn + (f'<path class="point {curve.kind}" d="{dots}"/>' if dots else "")


def _placed_levels(chart: Chart, scales: Scales) -> list[tuple[str, float, float]]:
    """(label, y of the line, y of the label) of each visible level, the topmost first."""
    low, high = scales.y_range
    inside = [(label, scales.y(y)) for label, y in chart.levels.items() if low <= y <= high]
    inside.sort(key=lambda level: level[1])
    labels = spread([y for _, y in inside], LABEL_GAP, scales.top, scales.height - BOTTOM)
    return [(label, y, label_y) for (label, y), label_y in zip(inside, labels, strict=True)]


def _level(label: str, y: float, label_y: float, scales: Scales) -> str:
    right = scales.width - scales.right
    line = f'<path class="level" d="M{LEFT} {y:.1f}H{right}"/>'
    leader = f'<path class="leader" d="M{right} {y:.1f}l8 {label_y - y:.1f}"/>'
    return line + leader + _text(right + 11, label_y + 4, label, "start")


def _best(point: Point, scales: Scales) -> str:
    return f'<circle class="best" cx="{scales.x(point[0]):.1f}" cy="{scales.y(point[1]):.1f}" r="4.5"/>'


def _tooltips(chart: Chart, scales: Scales) -> list[str]:
    """For each tooltip an invisible column that reacts to the pointer, and the elements to show."""
    xs = [scales.x(tooltip.x) for tooltip in chart.tooltips]
    borders = [LEFT, *((a + b) / 2 for a, b in itertools.pairwise(xs)), scales.width - scales.right]
    columns = itertools.pairwise(borders)
    return [_tooltip(tooltip, scales, *column) for tooltip, column in zip(chart.tooltips, columns, strict=False)]


def _tooltip(tooltip: Tooltip, scales: Scales, left: float, right: float) -> str:
    x, bottom = scales.x(tooltip.x), scales.height - BOTTOM
    column = f'<rect x="{left:.1f}" y="0" width="{max(right - left, 0):.1f}" height="{scales.height}"/>'
    dots = "".join(
        f'<circle class="dot {kind}" cx="{x:.1f}" cy="{scales.y(y):.1f}" r="3.5"/>'
        for kind, y in tooltip.values.items()
        if scales.y_range[0] <= y <= scales.y_range[1]
    )
    texts = "".join(
        _text(scales.width - RIGHT, LINE_HEIGHT * (index + 1) - 2, line, "end", "value")
        for index, line in enumerate(tooltip.lines)
    )
    rule = f'<path class="rule" d="M{x:.1f} {scales.top}V{bottom}"/>'
    title = f"<title>{escape(' · '.join(tooltip.lines))}</title>"
    return f'<g class="at">{title}{column}<g class="shown">{rule}{dots}{texts}</g></g>'


def _text(x: float, y: float, text: str, anchor: str, kind: str = "label") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'

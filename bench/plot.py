"""Charts with two logarithmic axes, as a standalone SVG file. Knows only numbers and names.

The charts of a training report (training/report/charts.py) are linear from zero and take their colours from a page.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

Curves = dict[str, dict[int, float]]
"""Name -> x -> y."""

WIDTH, HEIGHT = 640, 370  # of one chart
LEFT, RIGHT, TOP, BOTTOM = 62, 182, 34, 46
LABEL_GAP = 15
MOST_DECADES_WITH_HALVES = 3  # of the y axis; with more, the lines at 2 and 5 would be too close
LIMIT, COLOURS = "#6e7781", ("#0a58ca", "#c2410c", "#2f855a", "#8250df", "#9a6700")
STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#1f2328}.grid{stroke:#d8dee4}"
    ".curve{fill:none;stroke-width:2.2}.limit{stroke-dasharray:5 4;stroke-width:1.6}"
)


@dataclass(frozen=True)
class Chart:
    """One chart. Curves whose names begin with "limit" are grey and dashed."""

    title: str
    x_label: str
    curves: Curves


def svg(charts: Sequence[Chart], title: str) -> str:
    """The charts in rows of two; a single one has the file to itself."""
    columns = min(2, len(charts))
    width, height = WIDTH * columns, HEIGHT * -(-len(charts) // columns)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">',
        f"<title>{escape(title)}</title><style>{STYLE}</style>",
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
    ]
    for number, chart in enumerate(charts):
        row, column = divmod(number, columns)
        parts += [f'<g transform="translate({column * WIDTH} {row * HEIGHT})">', *_chart(chart), "</g>"]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _chart(chart: Chart) -> Iterator[str]:
    xs = sorted({x for curve in chart.curves.values() for x in curve})
    ys = [y for curve in chart.curves.values() for y in curve.values()]
    low, high = 10 ** math.floor(math.log10(min(ys))), max(ys) * 1.15
    x = _scale(_on_axis(xs[0]), max(xs[-1], 2 * _on_axis(xs[0])), LEFT, WIDTH - RIGHT)
    y = _scale(low, high, HEIGHT - BOTTOM, TOP)
    yield from _grid(xs, low, high, x, y)
    colours = _colours(chart.curves)
    for name, curve in chart.curves.items():
        yield _curve(name, curve, colours[name], x, y)
    yield from _labels(chart.curves, colours, x, y)
    yield _text(LEFT, 18, chart.title)
    yield _text(WIDTH - RIGHT, HEIGHT - 8, chart.x_label, "end")


def _on_axis(value: float) -> float:
    """A logarithmic axis has no 0: it is drawn at 1."""
    return value or 1


def _scale(low: float, high: float, start: float, stop: float) -> Callable[[float], float]:
    """The function from a value to its position on a logarithmic axis."""
    pixels = (stop - start) / math.log(high / low)
    return lambda value: start + pixels * math.log(_on_axis(value) / low)


def _grid(
    xs: Sequence[int], low: float, high: float, x: Callable[[float], float], y: Callable[[float], float]
) -> Iterator[str]:
    factors = (1, 2, 5) if math.log10(high / low) <= MOST_DECADES_WITH_HALVES else (1,)
    for power in range(round(math.log10(low)), math.floor(math.log10(high)) + 1):
        for factor in factors:
            if (value := factor * 10**power) <= high:
                yield f'<path class="grid" d="M{LEFT} {y(value):.1f}H{WIDTH - RIGHT}"/>'
                yield _text(LEFT - 8, y(value) + 4, f"{value:,}", "end")
    for value in xs:
        yield _text(x(value), HEIGHT - BOTTOM + 18, f"{value:,}", "middle")


def _colours(curves: Curves) -> dict[str, str]:
    """Grey for limits, and a colour of its own for each other curve."""
    others = [name for name in curves if not name.startswith("limit")]
    return dict.fromkeys(curves, LIMIT) | dict(zip(others, COLOURS, strict=False))


def _curve(
    name: str, curve: dict[int, float], colour: str, x: Callable[[float], float], y: Callable[[float], float]
) -> str:
    kind = "curve limit" if name.startswith("limit") else "curve"
    points = "L".join(f"{x(at):.1f} {y(value):.1f}" for at, value in sorted(curve.items()))
    dots = "".join(f'<circle cx="{x(a):.1f}" cy="{y(v):.1f}" r="3" fill="{colour}"/>' for a, v in curve.items())
    return f'<path class="{kind}" stroke="{colour}" d="M{points}"/>{dots}'


def _labels(
    curves: Curves, colours: dict[str, str], x: Callable[[float], float], y: Callable[[float], float]
) -> Iterator[str]:
    """Each name at the right end of its curve, moved down where it would cover another."""
    ends = sorted((y(curve[max(curve)]), name, x(max(curve))) for name, curve in curves.items())
    lowest = -math.inf
    for position, name, end in ends:
        lowest = max(position, lowest + LABEL_GAP)
        yield f'<text x="{end + 10:.1f}" y="{lowest + 4:.1f}" style="fill:{colours[name]}">{escape(name)}</text>'


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'

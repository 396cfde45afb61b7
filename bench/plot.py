"""Characters/s by streams, both axes logarithmic, as a standalone SVG file. Knows only numbers and names.

The charts of a training report (training/report/charts.py) are linear from zero and take their colours from a page.
"""

import math
from collections.abc import Callable, Sequence
from html import escape

Curves = dict[str, dict[int, float]]
"""Name -> streams -> characters/s."""

WIDTH, HEIGHT = 760, 440
LEFT, RIGHT, TOP, BOTTOM = 62, 196, 34, 46
LABEL_GAP = 15
COLOURS = ("#6e7781", "#6e7781", "#0a58ca", "#c2410c", "#2f855a", "#8250df")
STYLE = (
    "text{font:13px system-ui,sans-serif;fill:#1f2328}.grid{stroke:#d8dee4}"
    ".curve{fill:none;stroke-width:2.2}.limit{stroke-dasharray:5 4;stroke-width:1.6}"
)


def svg(curves: Curves, title: str) -> str:
    """The drawing; names that begin with "limit" are dashed."""
    streams = sorted({n for curve in curves.values() for n in curve})
    speeds = [speed for curve in curves.values() for speed in curve.values()]
    low, high = 10 ** int(math.log10(min(speeds)) // 1), max(speeds) * 1.15
    x = _scale(streams[0], max(streams[-1], streams[0] * 2), LEFT, WIDTH - RIGHT)
    y = _scale(low, high, HEIGHT - BOTTOM, TOP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
        f"<title>{escape(title)}</title><style>{STYLE}</style>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        *_grid(streams, low, high, x, y),
        *(_curve(name, curve, colour, x, y) for (name, curve), colour in zip(curves.items(), COLOURS, strict=False)),
        *_labels(curves, x, y),
        _text(LEFT, 18, title),
        _text(WIDTH - RIGHT, HEIGHT - 8, "streams", "end"),
    ]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _scale(low: float, high: float, start: float, stop: float) -> Callable[[float], float]:
    """The function from a value to its position on a logarithmic axis."""
    return lambda value: start + (math.log(value) - math.log(low)) / (math.log(high) - math.log(low)) * (stop - start)


def _grid(streams: Sequence[int], low: float, high: float, x: Callable[[float], float], y: Callable[[float], float]):
    for power in range(round(math.log10(low)), int(math.log10(high) // 1) + 1):
        for factor in (1, 2, 5):
            if (value := factor * 10**power) <= high:
                yield f'<path class="grid" d="M{LEFT} {y(value):.1f}H{WIDTH - RIGHT}"/>'
                yield _text(LEFT - 8, y(value) + 4, f"{value:,}", "end")
    for count in streams:
        yield _text(x(count), HEIGHT - BOTTOM + 18, str(count), "middle")


def _curve(
    name: str, curve: dict[int, float], colour: str, x: Callable[[float], float], y: Callable[[float], float]
) -> str:
    kind = "curve limit" if name.startswith("limit") else "curve"
    points = "L".join(f"{x(n):.1f} {y(speed):.1f}" for n, speed in sorted(curve.items()))
    dots = "".join(f'<circle cx="{x(n):.1f}" cy="{y(s):.1f}" r="3" fill="{colour}"/>' for n, s in curve.items())
    return f'<path class="{kind}" stroke="{colour}" d="M{points}"/>{dots}'


def _labels(curves: Curves, x: Callable[[float], float], y: Callable[[float], float]):
    """Each name at the right end of its curve, moved down where it would cover another."""
    ends = sorted((y(curve[max(curve)]), name, x(max(curve))) for name, curve in curves.items() if curve)
    colours = dict(zip(curves, COLOURS, strict=False))
    lowest = -math.inf
    for position, name, end in ends:
        lowest = max(position, lowest + LABEL_GAP)
        yield f'<text x="{end + 10:.1f}" y="{lowest + 4:.1f}" style="fill:{colours[name]}">{escape(name)}</text>'


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'

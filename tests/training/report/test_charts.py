"""The SVG of a chart."""

import math
import re
from dataclasses import replace

import numpy as np

from training.report.charts import Chart, Curve, Tooltip, svg

CHART = Chart(
    name="loss",
    title="Loss <&> characters",
    y_name="nats",
    x_name="characters",
    curves=[Curve("training", [(1000, 3.0), (2000, 2.0), (3000, 1.5)])],
    y_range=(1, 3),
)


def labels(drawing: str, anchor: str) -> list[tuple[float, float, str]]:
    found = re.findall(rf'<text class="label" x="([\d.]+)" y="([\d.]+)" text-anchor="{anchor}">([^<]+)</text>', drawing)
    return [(float(x), float(y), text) for x, y, text in found]


def count(text: str) -> float:
    return 1000 * float(text.rstrip("k")) if text.endswith("k") else float(text)


def test_points_are_drawn_where_the_axes_say() -> None:
    drawing = svg(CHART, 760, 380)
    x_ticks = [(x, count(text)) for x, _, text in labels(drawing, "middle")]
    y_ticks = [(y - 4, float(text)) for _, y, text in labels(drawing, "end") if text != "characters"]
    path = re.search(r'class="curve training" d="M([^"]+)"', drawing)[1]
    points = np.array([point.split() for point in path.split("L")], float)
    xs = np.polyval(np.polyfit(*zip(*x_ticks, strict=True), 1), points[:, 0])
    ys = np.polyval(np.polyfit(*zip(*y_ticks, strict=True), 1), points[:, 1])
    np.testing.assert_allclose(xs, [1000, 2000, 3000], atol=5)
    np.testing.assert_allclose(ys, [3, 2, 1.5], atol=0.01)


def test_a_curve_is_interrupted_where_it_was_not_measured() -> None:
    points = [(0, 1.0), (1, 2.0), (2, math.nan), (3, 1.0), (4, math.nan), (5, 1.0), (6, 2.0)]
    drawing = svg(replace(CHART, curves=[Curve("training", points)]), 760, 380)
    assert re.search(r'class="curve training" d="([^"]+)"', drawing)[1].count("M") == 2
    assert re.search(r'class="point training" d="([^"]+)"', drawing)[1].count("M") == 1


def test_levels_inside_the_range_are_drawn_with_labels_that_do_not_overlap() -> None:
    drawing = svg(replace(CHART, levels={"a": 2.0, "b": 2.01, "c": 2.02, "outside": 3.5}), 760, 380)
    assert drawing.count('class="level"') == 3
    found = {text: y for _, y, text in labels(drawing, "start") if text in ("a", "b", "c", "outside")}
    assert sorted(found, key=lambda text: found[text]) == ["c", "b", "a"]
    assert min(np.diff(sorted(found.values()))) >= 12.9


def test_a_tooltip_has_its_lines_and_a_dot_on_each_visible_curve() -> None:
    tooltip = Tooltip(1000, ["epoch 1", "loss < 3"], {"training": 3.0, "validation": 5.0})
    drawing = svg(replace(CHART, tooltips=[tooltip, replace(tooltip, x=2000)]), 760, 380)
    assert "<title>epoch 1 · loss &lt; 3</title>" in drawing
    assert drawing.count('class="dot training"') == 2
    assert "dot validation" not in drawing
    columns = re.findall(r'<rect x="([\d.]+)" y="0" width="([\d.]+)"', drawing)
    assert float(columns[0][0]) + float(columns[0][1]) == float(columns[1][0])


def test_the_title_is_escaped_and_the_clip_path_is_unique_for_each_width() -> None:
    assert 'aria-label="Loss &lt;&amp;&gt; characters"' in svg(CHART, 760, 380)
    assert 'id="loss-760"' in svg(CHART, 760, 380)
    assert 'id="loss-360"' in svg(CHART, 360, 320)


def test_the_best_point_is_a_circle() -> None:
    assert svg(CHART, 760, 380).count("<circle") == 0
    assert svg(replace(CHART, best=(3000, 1.5)), 760, 380).count('<circle class="best"') == 1

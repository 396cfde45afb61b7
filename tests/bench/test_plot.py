"""The SVG of the charts."""

from xml.etree import ElementTree

from bench.plot import LIMIT, Chart, svg

SVG = "{http://www.w3.org/2000/svg}"


def points(curve: ElementTree.Element) -> list[tuple[float, ...]]:
    return [tuple(map(float, point.split())) for point in curve.attrib["d"].removeprefix("M").split("L")]


def curves(drawing: str) -> list[ElementTree.Element]:
    paths = ElementTree.fromstring(drawing).iter(f"{SVG}path")
    return [path for path in paths if "curve" in path.attrib["class"].split()]


def test_both_axes_are_logarithmic_and_zero_is_drawn_at_one() -> None:
    (curve,) = curves(svg([Chart("", "prompt", {"a": {0: 10, 10: 100, 100: 1000}})], ""))
    (x0, y0), (x1, y1), (x2, y2) = points(curve)
    assert abs((x1 - x0) - (x2 - x1)) < 0.2 > abs((y1 - y0) - (y2 - y1))
    assert x0 < x1
    assert y0 > y1


def test_limits_are_dashed_and_the_other_curves_have_colours_of_their_own() -> None:
    speeds = {"limit: a": {1: 9.0, 2: 9.0}, "limit: b": {1: 8.0}, "c": {1: 7.0, 2: 0.5}, "d": {1: 6.0, 2: 7.0}}
    found = curves(svg([Chart("", "streams", speeds)], ""))
    assert ["limit" in curve.attrib["class"] for curve in found] == [True, True, False, False]
    limit_a, limit_b, *others = (curve.attrib["stroke"] for curve in found)
    assert limit_a == limit_b == LIMIT
    assert len({LIMIT, *others}) == 3


def test_charts_lie_in_rows_of_two() -> None:
    drawing = ElementTree.fromstring(svg([Chart(f"<{n}>", "x", {"a": {1: 1.0, 2: 3e6}}) for n in range(3)], "all"))
    places = [group.attrib["transform"] for group in drawing.iter(f"{SVG}g")]
    assert places == ["translate(0 0)", "translate(640 0)", "translate(0 370)"]
    assert drawing.attrib["viewBox"] == "0 0 1280 740"
    assert [text for element in drawing.iter(f"{SVG}text") if (text := element.text or "")[:1] == "<"] == [
        "<0>",
        "<1>",
        "<2>",
    ]

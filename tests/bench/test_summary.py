"""Medians, ratios and percentiles of rounds."""

from bench import summary
from bench.contender import Sample

ROUNDS = [
    {
        summary.PRODUCTS: Sample(100.0),
        summary.ENGINE: Sample(speed),
        summary.HTTP: Sample(speed / 2, first_char_ms=[speed, 3.0], gap_ms=[], client_cpu=0.1),
    }
    for speed in (80.0, 90.0, 40.0)
]


def test_speeds_are_medians_and_times_are_pooled() -> None:
    found = summary.of_streams(ROUNDS, 8)
    assert found["characters_per_second"] == {summary.PRODUCTS: 100, summary.ENGINE: 80, summary.HTTP: 40}
    assert found["first_char_ms"].keys() == {summary.HTTP}
    assert found["first_char_ms"][summary.HTTP]["count"] == 6
    assert found["gap_ms"][summary.HTTP]["p50"] is None


def test_a_ratio_is_the_median_of_the_rounds_ratios() -> None:
    rounds = [{summary.ENGINE: Sample(a), summary.PRODUCTS: Sample(b)} for a, b in ((1, 2), (8, 10), (90, 100))]
    assert summary.of_streams(rounds, 8)["ratios"] == {"engine ÷ matrix products": 0.8}


def test_a_table_has_a_column_for_each_value_and_only_rows_with_cells() -> None:
    lines = summary.by_value("units", {"128": summary.of_streams(ROUNDS, 8), "256": summary.of_streams(ROUNDS, 8)})
    rows = [line.rsplit(maxsplit=2) for line in lines.splitlines()]
    assert ["units", "128", "256"] in rows
    assert ["  HTTP ÷ engine", "0.50", "0.50"] in [[cell.rstrip() for cell in row] for row in rows]
    assert "PyTorch" not in lines
    assert lines.splitlines()[-1].strip() == "gaps, ms: p50 / p99"

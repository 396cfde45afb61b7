"""The report that compares several runs."""

import re
from pathlib import Path

import pytest

from tests.training.report.pages import Page, rows, wide_chart
from tests.training.report.runs import LOSSES, evaluation, write_run
from training.config import TrainConfig
from training.errors import InputError
from training.report.compare import comparison, write_comparison
from training.report.recorded import read_run


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs of the same text, one of another."""
    runs = tmp_path_factory.mktemp("compared") / "runs"
    lines = [
        [evaluation(n, nats - 0.1 * run, elapsed_seconds=60.0 * n) for n, nats in enumerate(LOSSES, 1)]
        for run in (0, 1)
    ]
    write_run(runs / "small", lines[0])
    write_run(runs / "large&wide", lines[1], {"units": 512, "dropout": 0.5})
    write_run(runs / "other", lines[0], words=500)
    return runs


def test_several_runs_are_on_one_page_with_one_legend(runs: Path) -> None:
    path = write_comparison([runs / "small", runs / "large&wide"], runs)
    assert path == runs / "report.html"
    page = Page.of_file(path)
    assert page.of("h1") == ["small, large&wide"]
    assert re.findall(r"</svg>([^<]*)</li>", page.source) == ["small", "large&amp;wide", "n-gram models, validation"]
    assert page.source.count('class="legend"') == 1
    drawing = wide_chart(page.source)
    assert [len(re.findall(rf'class="curve run-{index}"', drawing)) for index in (0, 1)] == [1, 1]
    assert "1k characters seen · small 2.900 · large&wide 2.800" in page.of("title")
    assert page.source.count('aria-label="Validation loss against minutes"') == 2  # for wide and narrow windows


def test_results_settings_and_samples_are_compared(runs: Path) -> None:
    page = Page(comparison([read_run(runs / name) for name in ("small", "large&wide")]))
    results = rows(page.source, "run")
    assert [row[:2] + row[-1:] for row in results] == [
        ["small", "0.9000", "5 min 0 s"],
        ["large&amp;wide", "0.8000", "5 min 0 s"],
    ]
    assert rows(page.source, "setting") == [["units", "256", "512"], ["dropout", "0.3", "0.5"]]
    assert "Of 2 runs, large&amp;wide has the best validation loss: <b>0.8000</b> nats" in page.source
    assert "different texts" not in page.source
    assert [text.split()[:2] for text in page.of("pre")] == [["cool", "4"], ["hot", "4"]] * 2
    for _, name, value in page.attributes:
        assert name not in ("src", "href") or value == "data:,"


def test_runs_of_different_texts_share_no_baselines_and_the_page_says_so(runs: Path) -> None:
    page = comparison([read_run(runs / name) for name in ("small", "other")])
    assert "trained on different texts" in page
    assert "-gram" not in page


def test_equal_settings_need_no_table(runs: Path) -> None:
    page = comparison([read_run(runs / name) for name in ("small", "other")])
    assert "All settings are the same." in page


def test_runs_that_cannot_be_compared_are_refused(runs: Path, tmp_path: Path) -> None:
    raw = write_run(tmp_path / "raw", config=TrainConfig().to_json() | {"unit": "byte"})
    with pytest.raises(InputError, match="their units differ: small characters, raw bytes"):
        write_comparison([runs / "small", raw], tmp_path)
    with pytest.raises(InputError, match="at most 6 runs, not 7"):
        write_comparison([runs / "small"] * 7, tmp_path)
    with pytest.raises(InputError, match="There is no run in"):
        write_comparison([runs / "small", runs / "none"], tmp_path)
    assert not (tmp_path / "report.html").exists()

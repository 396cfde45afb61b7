"""The report of one run: its sections against the records in the run's folder."""

import math
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import ROOT, training
from tests.training.report.pages import Page, rows, wide_chart
from tests.training.report.runs import LOSSES, evaluation, write_run
from training.config import TrainConfig
from training.data.corpus import Corpus
from training.errors import InputError
from training.report import ngrams
from training.report.write import write_report


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "one&only")


@pytest.fixture(scope="module")
def page(folder: Path) -> Page:
    path = write_report(folder)
    assert path == folder / "report.html"
    return Page.of_file(path)


def source_of(run: Path) -> str:
    return write_report(run).read_text(encoding="utf-8")


def facts_of(source: str) -> str:
    return re.sub(r"<.*?>", "", re.search(r'class="facts">(.*?)</p>', source, re.DOTALL)[1])


def test_the_title_and_the_facts_are_those_of_the_run(page: Page) -> None:
    assert page.of("h1") == ["one&only"]
    facts = facts_of(page.source)
    for words in ("An LSTM with 2 layers of 256 units, trained for 2.5 of 60 epochs", "0.9000 nats", "at epoch 2."):
        assert words in facts
    assert f"{0.9 / math.log(2):.4f} bits" in facts


def test_the_sections_are_in_order(page: Page) -> None:
    sections = ["Loss", "N-gram baselines", "Samples", "Progress", "Configuration", "Evaluations"]
    assert page.of("h2") == sections


def test_parameters_and_version_are_named_once_published(tmp_path: Path) -> None:
    version = tmp_path / "models/x/3"
    (version / "assets.extra").mkdir(parents=True)
    (version / "assets.extra/manifest.json").write_text('{"parameters": 12345}')
    source = source_of(write_run(tmp_path / "x", published=str(version)))
    assert "12,345 parameters" in source
    assert f"published as {version}" in source
    assert "published as models/gone/1" in source_of(write_run(tmp_path / "x", published="models/gone/1"))


def test_the_page_makes_no_requests(page: Page) -> None:
    addresses = [value for _, name, value in page.attributes if name in ("src", "href", "action", "srcset", "data")]
    assert addresses == ["data:,"]
    assert len(page.of("script")) == 1  # none from a sample
    for words in ("url(h", "@import", "fetch(", "http:", "https:", "//"):
        assert words not in page.source.replace("</", "")


def test_the_history_is_drawn_where_the_axes_say(page: Page) -> None:
    drawing = wide_chart(page.source)
    labels = re.findall(r'<text class="label" x="([\d.]+)" y="([\d.]+)" text-anchor="(\w+)">([\d.kM]+)</text>', drawing)
    y_ticks = [(float(y) - 4, float(text)) for _, y, anchor, text in labels if anchor == "end"]
    x_ticks = [(float(x), 1000 * float(text.rstrip("k"))) for x, _, anchor, text in labels if anchor == "middle"]
    for kind, more in (("training", 0.1), ("validation", 0.0)):
        path = re.search(rf'class="curve {kind}" d="([^"]+)"', drawing)[1].replace("h0", "")
        points = [tuple(map(float, point.split())) for point in re.split("[ML]", path)[1:]]
        x = on_axis(x_ticks, [point[0] for point in points])
        y = on_axis(y_ticks, [point[1] for point in points])
        assert x == pytest.approx([1000, 2000, 3000, 4000, 5000], abs=10)
        assert y == pytest.approx([nats + more for nats in LOSSES], abs=0.01)
    levels = on_axis(y_ticks, [float(y) for y in re.findall(r'class="level" d="M\d+ ([\d.]+)H', drawing)])
    low, high = on_axis(y_ticks, [340, 42])
    losses = sorted(drawn_levels(page).values())
    assert sorted(levels) == pytest.approx([loss for loss in losses if low <= loss <= high], abs=0.01)
    assert len(levels) >= 3
    inside = {name for name, nats in drawn_levels(page).items() if nats < max(LOSSES)}
    assert inside <= set(page.of("text"))


def on_axis(ticks: list[tuple[float, float]], positions: list[float]) -> list[float]:
    """The values at these positions, by the first and the last tick of an axis."""
    (first, low), (last, high) = ticks[0], ticks[-1]
    return [low + (position - first) / (last - first) * (high - low) for position in positions]


def drawn_levels(page: Page) -> dict[str, float]:
    """Of the table's n-gram models those of orders 1 to 4, and the best."""
    losses = {row[0]: float(row[1]) for row in rows(page.source, "model")}
    best = min(losses, key=lambda name: losses[name])
    return {name: nats for name, nats in losses.items() if int(name[0]) <= 4 or name == best}


def test_baselines_are_those_of_the_split_with_the_evaluation_that_beat_each(folder: Path, page: Page) -> None:
    corpus = Corpus.open(folder / "corpus")
    expected = ngrams.baselines(corpus.training, corpus.validation, len(corpus.vocabulary))
    found = rows(page.source, "model")
    assert [row[0] for row in found] == [f"{order}-gram" for order in range(1, 9)]
    for (_, nats, bits, beaten), loss in zip(found, expected.values(), strict=True):
        assert float(nats) == pytest.approx(loss, abs=5e-5)
        assert float(bits) == pytest.approx(loss / math.log(2), abs=5e-5)
        first = next((number for number, validation in enumerate(LOSSES, 1) if validation < loss), None)
        assert beaten == (f"epoch {first / 2:g}, {first}k characters" if first else "not yet")
    assert {row[3] for row in found} > {"not yet"}  # this history has both kinds


@pytest.mark.parametrize(
    ("nats", "words"),
    [
        (0.01, "nats below</b> its loss: the network predicts better than these counts."),
        (5.0, "nats above</b> its loss: the network does not yet predict better than these counts."),
    ],
)
def test_the_best_loss_is_compared_with_the_best_ngram_model(tmp_path: Path, nats: float, words: str) -> None:
    assert words in source_of(write_run(tmp_path, [evaluation(1, nats)]))


def test_the_page_says_how_much_of_a_long_text_was_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_run(tmp_path)
    assert "of which" not in source_of(tmp_path)
    monkeypatch.setattr(ngrams, "TRAINING_SYMBOLS", 1001)
    monkeypatch.setattr(ngrams, "VALIDATION_SYMBOLS", 99)
    source = source_of(tmp_path)
    assert "of which the last 1,001" in source
    assert "of which the first 99" in source


def test_every_evaluation_is_in_a_table_with_the_best_in_bold(page: Page) -> None:
    found = rows(page.source, "epoch")
    assert [row[4] for row in found] == [f"{nats:.4f}" for nats in LOSSES]
    assert [row[1] for row in found] == ["10", "20", "30", "40", "50"]
    assert "5 evaluations, the best in bold" in page.source


def test_a_long_history_is_thinned(tmp_path: Path) -> None:
    page = Page(source_of(write_run(tmp_path, [evaluation(n, 3.0) for n in range(1, 1001)])))
    shown = len(rows(page.source, "epoch"))
    assert shown <= 200
    assert f"{shown} of 1000 evaluations" in page.source
    assert len(page.of("pre")) == 2 * shown


def test_elapsed_time_is_shown_if_it_was_measured(tmp_path: Path) -> None:
    timed = [evaluation(n, 2.0, elapsed_seconds=100.0 * n) for n in (1, 2)]
    source = source_of(write_run(tmp_path, timed))
    assert "1 of 60 epochs in 3 min 20 s on" in source
    assert [row[-1] for row in rows(source, "epoch")] == ["1 min 40 s", "3 min 20 s"]


def test_values_that_were_not_measured_are_left_out(tmp_path: Path) -> None:
    bare = {"step": 1, "epoch": 1, "chars_seen": 50, "validation_nats_per_char": 2.0, "training_nats_per_char": None}
    page = Page(source_of(write_run(tmp_path, [bare])))
    assert page.of("h2") == ["Loss", "N-gram baselines", "Configuration", "Evaluations"]
    assert "nan" not in re.sub(r"<style>.*?</style>", "", page.source, flags=re.DOTALL)


def test_bytes_are_called_bytes(tmp_path: Path) -> None:
    assert "nats per byte" in source_of(write_run(tmp_path, config=TrainConfig().to_json() | {"unit": "byte"}))


def test_without_a_run_there_is_no_report(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no run in"):
        write_report(tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_a_report_needs_no_framework() -> None:
    program = "import training.report.write, training.report.compare, sys; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True)
    assert not {"tensorflow", "keras"} & set(result.stdout.split())


def test_the_command_writes_one_report_or_a_comparison(tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    for name in ("small", "wide"):
        write_run(runs / name)
    printed = training("report", "small", "wide", "small", "--runs", str(runs), cwd=tmp_path).stdout
    assert printed == f"Wrote {runs}/report.html\n"
    assert Page.of_file(runs / "report.html").of("h1") == ["small, wide"]
    printed = training("report", "small", "small", "--runs", "runs", cwd=tmp_path).stdout
    assert printed == "Wrote runs/small/report.html\n"


def test_a_folder_whose_name_is_not_utf_8_is_printed_with_escapes(tmp_path: Path) -> None:
    runs = os.fsdecode(b"runs-\xff")
    write_run(tmp_path / runs / "mine", corpus=[os.fsdecode(b"texts-\xff")])
    assert training("report", "mine", "--runs", runs, cwd=tmp_path).stdout == "Wrote runs-\\udcff/mine/report.html\n"

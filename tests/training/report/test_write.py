"""The report of a run, read back from the page: what a person sees against what the run's folder says."""

import json
import math
import os
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.processes import ROOT, training
from tests.texts import write_corpus
from training.config import TrainConfig
from training.data.corpus import Corpus
from training.data.prepare import prepare
from training.errors import InputError
from training.report import ngrams
from training.report.compare import write_comparison
from training.report.page import shown
from training.report.recorded import MAX_SHOWN, read_run
from training.report.samples import until_a_word_ends
from training.report.write import report, write_report

LOSSES = [2.9, 2.1, 1.4, 0.9, 0.95]
NASTY = "<script>alert('&amp;')</script>\n\x00\x07\x7f\x9f\ud800\u202eend</pre>"


def evaluation(number: int, validation: float, **changes: Any) -> dict[str, Any]:
    return {
        "step": 10 * number,
        "epoch": number / 2,
        "chars_seen": 1000 * number,
        "training_nats_per_char": validation + 0.1,
        "validation_nats_per_char": validation,
        "logit_scale": 0.97,
        "learning_rate": 0.004 / number,
        "chars_per_second": 40_000.0 + number,
        "samples": {"0.5": f"cool {number} {NASTY} unfin", "1.0": f"hot {number} cut-of"},
    } | changes


def write_run(
    folder: Path,
    evaluations: list[dict[str, Any]] | None = None,
    settings: dict[str, Any] | None = None,
    words: int = 600,
    **plan: Any,
) -> Path:
    """A run's folder, its corpus really encoded."""
    folder.mkdir(parents=True, exist_ok=True)
    text = write_corpus(folder / "text.txt", words)
    config = TrainConfig(batch_size=4, window=20, split=(0.8, 0.2, 0.0), **(settings or {}))
    prepare([str(text)], config, folder / "corpus")
    fields = {"config": config.to_json(), "corpus": ["text.txt"], "published": None} | plan
    (folder / "run.json").write_text(json.dumps(fields), encoding="utf-8")
    if evaluations is None:
        evaluations = [evaluation(number, nats) for number, nats in enumerate(LOSSES, 1)]
    (folder / "history.jsonl").write_text("".join(json.dumps(line) + "\n" for line in evaluations), encoding="utf-8")
    return folder


class Page(HTMLParser):
    """What a page says: its texts by the element they stand in, and every attribute."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.open: list[str] = []
        self.texts: list[tuple[str, str]] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.feed(self.source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in ("meta", "link", "input", "path", "circle", "rect"):
            self.open.append(tag)
            self.texts.append((tag, ""))

    def handle_endtag(self, tag: str) -> None:
        if tag in self.open:
            assert self.open.pop() == tag  # every element is closed in its turn

    def handle_data(self, data: str) -> None:
        if self.open and self.texts[-1][0] == self.open[-1]:
            tag, text = self.texts[-1]
            self.texts[-1] = tag, text + data

    def of(self, tag: str) -> list[str]:
        return [text for found, text in self.texts if found == tag]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("runs") / "one&only")


@pytest.fixture(scope="module")
def page(folder: Path) -> Page:
    path = write_report(folder)
    assert path == folder / "report.html"
    return Page(path)


def rows(page: Page, head: str) -> list[list[str]]:
    """The cells of the table whose first column is headed so."""
    tables = re.findall(r"<table>(.*?)</table>", page.source, re.DOTALL)
    (found,) = [table for table in tables if f">{head}</th>" in table.partition("</th>")[0] + "</th>"]
    return [re.findall(r"<td[^>]*>(.*?)</td>", row) for row in found.split("<tr")[2:]]


def wide_chart(page: Page) -> str:
    return re.search(r'<svg class="wide".*?</svg>', page.source, re.DOTALL)[0]


def test_title_and_facts_are_the_runs(page: Page) -> None:
    assert page.of("h1") == ["one&only"]
    facts = re.sub(r"<.*?>", "", re.search(r'class="facts">(.*?)</p>', page.source, re.DOTALL)[1])
    for words in ("An LSTM of 2 layers of 256 units", "2.5 of 60 epochs", "0.9000 nats", "at epoch 2."):
        assert words in facts
    assert f"{0.9 / math.log(2):.4f} bits" in facts


def test_parameters_and_version_are_named_once_published(tmp_path: Path) -> None:
    version = tmp_path / "models/x/3"
    (version / "assets.extra").mkdir(parents=True)
    (version / "assets.extra/manifest.json").write_text('{"parameters": 12345}')
    source = write_report(write_run(tmp_path / "x", published=str(version))).read_text()
    assert "12,345 parameters" in source
    assert f"published as {version}" in source
    assert (
        "published as models/gone/1" in write_report(write_run(tmp_path / "x", published="models/gone/1")).read_text()
    )


def test_samples_are_shown_as_text_whatever_is_in_them(page: Page) -> None:
    pictured = NASTY.translate({0: "\u2400", 7: "\u2407", 0x7F: "\u2421", 0x9F: "\ufffd", 0xD800: "\ufffd"})
    samples = page.of("pre")
    assert samples == [f"\n{text}" for number in range(1, 6) for text in (f"cool {number} {pictured}", f"hot {number}")]
    assert page.of("script")[0].count("addEventListener") > 0
    assert len(page.of("script")) == 1


def test_line_breaks_and_tabs_of_a_sample_stay() -> None:
    assert shown("a\tb\nc\rd") == "a\tb\nc\u240dd"


def test_the_page_asks_nobody_for_anything(page: Page) -> None:
    addresses = [value for _, name, value in page.attributes if name in ("src", "href", "action", "srcset", "data")]
    assert addresses == ["data:,"]
    for words in ("url(h", "@import", "fetch(", "http:", "https:", "//"):
        assert words not in page.source.replace("</", "")


def test_history_is_drawn_where_the_axes_say(page: Page) -> None:
    drawing = re.search(r'<svg class="wide".*?</svg>', page.source, re.DOTALL)[0]
    labels = re.findall(r'<text class="label" x="([\d.]+)" y="([\d.]+)" text-anchor="(\w+)">([\d.kM]+)</text>', drawing)
    y_ticks = [(float(y) - 4, float(text)) for _, y, anchor, text in labels if anchor == "end"]
    x_ticks = [(float(x), 1000 * float(text.rstrip("k"))) for x, _, anchor, text in labels if anchor == "middle"]
    for kind, more in (("training", 0.1), ("validation", 0.0)):
        path = re.search(rf'class="curve {kind}" d="([^"]+)"', drawing)[1].replace("h0", "")
        points = [tuple(map(float, point.split())) for point in re.split("[ML]", path)[1:]]
        x = np.polyval(np.polyfit(*zip(*x_ticks, strict=True), 1), [point[0] for point in points])
        y = np.polyval(np.polyfit(*zip(*y_ticks, strict=True), 1), [point[1] for point in points])
        np.testing.assert_allclose(x, [1000, 2000, 3000, 4000, 5000], atol=10)
        np.testing.assert_allclose(y, np.array(LOSSES) + more, atol=0.01)
    levels = [float(y) for y in re.findall(r'class="level" d="M\d+ ([\d.]+)H', drawing)]
    nats = np.polyval(np.polyfit(*zip(*y_ticks, strict=True), 1), levels)
    low, high = (np.polyval(np.polyfit(*zip(*y_ticks, strict=True), 1), y) for y in (340, 42))
    losses = sorted(float(row[1]) for row in drawn_levels(page))
    np.testing.assert_allclose(sorted(nats), [loss for loss in losses if low <= loss <= high], atol=0.01)
    assert len(nats) >= 3
    assert any("epoch 1.5" in title and "validation 1.400" in title for title in page.of("title"))


def test_baselines_are_those_of_the_split_with_the_evaluation_that_beat_each(folder: Path, page: Page) -> None:
    corpus = Corpus.open(folder / "corpus")
    expected = ngrams.baselines(corpus.training, corpus.validation, len(corpus.vocabulary))
    found = rows(page, "model")
    assert [row[0] for row in found] == [f"{order}-gram" for order in range(1, 9)]
    for (_, nats, bits, beaten), loss in zip(found, expected.values(), strict=True):
        assert float(nats) == pytest.approx(loss, abs=5e-5)
        assert float(bits) == pytest.approx(loss / math.log(2), abs=5e-5)
        first = next((number for number, validation in enumerate(LOSSES, 1) if validation < loss), None)
        assert beaten == (f"epoch {first / 2:g}, {first}k characters" if first else "not yet")
    assert {row[3] for row in found} > {"not yet"}  # this history has both kinds


def drawn_levels(page: Page) -> list[list[str]]:
    """Of the table's n-gram models: those of orders 1 to 4, and the best."""
    found = rows(page, "model")
    best = min(found, key=lambda row: float(row[1]))
    return [row for row in found if int(row[0][0]) <= 4 or row is best]


def test_levels_inside_of_the_chart_are_labelled(page: Page) -> None:
    losses = {row[0]: float(row[1]) for row in drawn_levels(page)}
    inside = {name for name, nats in losses.items() if nats < max(LOSSES)}
    assert inside
    assert inside <= set(page.of("text"))


def test_labels_of_ngram_models_do_not_overlap(folder: Path) -> None:
    run = read_run(folder)
    close = {order: 1.5 - 0.001 * order for order in range(1, 9)}
    source = report(replace(run, baselines=replace(run.baselines, nats_per_char=close)))
    for drawing in re.findall(r'<svg class="(?:wide|narrow)".*?</svg>', source, re.DOTALL):
        places = dict(re.findall(r'y="([\d.]+)" text-anchor="start">(\d-gram)</text>', drawing))
        assert sorted(places.values()) == ["1-gram", "2-gram", "3-gram", "4-gram", "8-gram"]
        assert min(np.diff(sorted(map(float, places)))) >= 12.9


def test_a_sample_ends_where_a_word_ends() -> None:
    assert until_a_word_ends("to be, or not to b") == "to be, or not to"
    assert until_a_word_ends("the end.\n\nKI") == "the end."
    assert until_a_word_ends("one\n") == "one\n"
    assert until_a_word_ends("oneword") == "oneword"
    assert until_a_word_ends(" begun") == " begun"
    without_spaces = "一行目\n" + "吾輩は猫である" * 6
    assert until_a_word_ends(without_spaces) == without_spaces


def test_one_evaluation_is_a_point(tmp_path: Path) -> None:
    page = Page(write_report(write_run(tmp_path, [evaluation(1, 2.0)], {"warmup_steps": 0})))
    drawing = wide_chart(page)
    for kind in ("training", "validation"):
        assert len(re.findall(rf'<path class="point {kind}" d="M[\d.]+ [\d.]+h0"/>', drawing)) == 1
    assert "curve training" not in drawing
    assert page.source.count('class="point third"') == 2  # rate and speed


def test_the_warm_up_is_drawn_though_it_ends_before_the_first_evaluation(tmp_path: Path) -> None:
    settings = {"warmup_steps": 100, "learning_rate": 0.01, "schedule": "constant"}
    lines = [evaluation(n, 2.0, step=400 * n, epoch=n, chars_seen=32_000 * n, learning_rate=0.01) for n in (1, 2)]
    folder = write_run(tmp_path, lines, settings)
    warm_up = read_run(folder).warm_up
    assert warm_up[0] == (0, pytest.approx(0.01 / 101))
    assert warm_up[-1] == (100 * 4 * 20, 0.01)
    assert [rate for _, rate in warm_up] == sorted(rate for _, rate in warm_up)
    (path,) = re.findall(
        r'aria-label="learning rate.*?class="curve third" d="([^"]+)"', Page(write_report(folder)).source
    )
    assert path.count("L") == len(warm_up) + 1
    heights = [float(point.split()[1]) for point in re.split("[ML]", path)[1:]]
    assert heights[0] > heights[5] > heights[-1] == heights[len(warm_up) - 1]


def test_time_is_told_where_it_was_measured(tmp_path: Path) -> None:
    timed = [
        evaluation(n, 2.0, elapsed_seconds=100.0 * n, seconds={"training": 80.0, "evaluation": 20.0}) for n in (1, 2)
    ]
    page = Page(write_report(write_run(tmp_path, timed)))
    assert "1 of 60 epochs in 3 min 20 s on" in page.source
    assert "Time by stage: training 80%, evaluation 20%." in page.source
    assert [row[-1] for row in rows(page, "epoch")] == ["1 min 40 s", "3 min 20 s"]


def test_baselines_are_kept_until_the_text_is_another(folder: Path, tmp_path: Path) -> None:
    write_run(tmp_path)
    write_report(tmp_path)
    path = tmp_path / "baselines.json"
    kept = json.loads(path.read_text())
    path.write_text(json.dumps(kept | {"nats_per_char": {"1": 1.2345}}))
    assert [row[1] for row in rows(Page(write_report(tmp_path)), "model")] == ["1.2345"]

    write_corpus(tmp_path / "other.txt", words=500)
    prepare(
        [str(tmp_path / "other.txt")], TrainConfig(batch_size=4, window=20, split=(0.8, 0.2, 0.0)), tmp_path / "another"
    )
    (tmp_path / "corpus").rename(tmp_path / "before")
    (tmp_path / "another").rename(tmp_path / "corpus")
    assert len(rows(Page(write_report(tmp_path)), "model")) == 8
    assert json.loads(path.read_text())["fingerprint"] != kept["fingerprint"]


@pytest.mark.parametrize("content", ["", "{", "[]", '{"fingerprint": "other"}'])
def test_damaged_baselines_are_computed_again(tmp_path: Path, content: str) -> None:
    write_run(tmp_path)
    (tmp_path / "baselines.json").write_text(content)
    assert len(rows(Page(write_report(tmp_path)), "model")) == 8


def test_the_page_says_how_much_of_a_long_text_was_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_run(tmp_path)
    assert "of which" not in write_report(tmp_path).read_text()
    monkeypatch.setattr(ngrams, "TRAINING_SYMBOLS", 1001)
    monkeypatch.setattr(ngrams, "VALIDATION_SYMBOLS", 99)
    page = write_report(tmp_path).read_text()
    assert "of which the last 1,001" in page
    assert "of which the first 99" in page


def test_every_setting_and_every_evaluation_stands_in_a_table(folder: Path, page: Page) -> None:
    config = json.loads((folder / "run.json").read_text())["config"]
    changed, same = rows(page, "setting"), rows(page, "setting at its default")
    assert [row[0] for row in changed] == ["corpus", "vocabulary", "split", "batch size", "window"]
    assert changed[2:] == [
        ["split", "0.8, 0.2, 0.0", "0.9, 0.05, 0.05"], ["batch size", "4", "32"], ["window", "20", "100"],
    ]  # fmt: skip
    names = [row[0] for row in [*changed[2:], *same]]
    assert sorted(names) == sorted(name.replace("_", " ") for name in config)
    unfolded = re.sub(r"<details.*?</details>", "", page.source, flags=re.DOTALL)
    assert "warmup steps" not in unfolded
    assert "batch size" in unfolded
    assert [row[4] for row in rows(page, "epoch")] == [f"{nats:.4f}" for nats in LOSSES]


def test_what_was_not_measured_is_left_out(tmp_path: Path) -> None:
    bare = {"step": 1, "epoch": 1, "chars_seen": 50, "validation_nats_per_char": 2.0, "training_nats_per_char": None}
    page = Page(write_report(write_run(tmp_path, [bare])))
    assert page.of("h2") == ["Loss", "What loss is good?", "Configuration", "Evaluations"]
    assert "nan" not in re.sub(r"<style>.*?</style>", "", page.source, flags=re.DOTALL)


def test_novelty_is_drawn_where_it_was_measured(tmp_path: Path) -> None:
    novel = [evaluation(1, 2.0), evaluation(2, 1.5, novelty={"lines": 200, "new": 0.75, "in_training": 0.25})]
    titles = Page(write_report(write_run(tmp_path, novel))).of("title")
    assert "epoch 1 · new 75% · in training 25%" in titles


def test_bytes_are_called_bytes(tmp_path: Path) -> None:
    write_run(tmp_path, config=TrainConfig().to_json() | {"unit": "byte"})
    assert "nats per byte" in write_report(tmp_path).read_text()


def test_a_long_history_is_thinned_and_keeps_its_first_best_and_last(tmp_path: Path) -> None:
    losses = [3.0] * 1000
    losses[501] = 0.5
    page = Page(write_report(write_run(tmp_path, [evaluation(n, nats) for n, nats in enumerate(losses, 1)])))
    steps = [int(row[1].replace(",", "")) for row in rows(page, "epoch")]
    assert len(steps) <= MAX_SHOWN
    assert (steps[0], steps[-1]) == (10, 10_000)
    assert 5020 in steps
    assert max(np.diff(steps)) <= 2 * 10_000 / MAX_SHOWN
    assert len(page.of("pre")) == 2 * len(steps)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda folder: (folder / "run.json").unlink(), ["There is no run in"]),
        (lambda folder: (folder / "run.json").write_text("{"), ["run.json is damaged"]),
        (lambda folder: (folder / "history.jsonl").unlink(), ["no evaluation yet"]),
        (lambda folder: (folder / "history.jsonl").write_text("\n"), ["no evaluation yet"]),
        (lambda folder: (folder / "history.jsonl").write_text('{"step": 1}\n{"st'), ["line 1", "epoch"]),
        (lambda folder: (folder / "history.jsonl").write_text("3\n"), ["line 1"]),
        (
            lambda folder: (folder / "history.jsonl").write_text(json.dumps(evaluation(1, math.nan))),
            ["line 1", "nan"],
        ),
    ],
    ids=["no run", "damaged plan", "no history", "empty history", "short line", "no object", "no loss"],
)
def test_without_a_run_or_an_evaluation_there_is_no_report_but_a_sentence(tmp_path: Path, spoil, words) -> None:
    spoil(write_run(tmp_path))
    with pytest.raises(InputError) as refusal:
        write_report(tmp_path)
    for word in [str(tmp_path), *words]:
        assert word in str(refusal.value)
    assert "\n" not in str(refusal.value)
    assert not (tmp_path / "report.html").exists()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three runs: two of the same text, one of another."""
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
    page = Page(path)
    assert page.of("h1") == ["small, large&wide"]
    assert re.findall(r"</svg>([^<]*)</li>", page.source) == ["small", "large&amp;wide", "n-gram models, validation"]
    assert page.source.count('class="legend"') == 1
    drawing = wide_chart(page)
    assert [len(re.findall(rf'class="curve run-{index}"', drawing)) for index in (0, 1)] == [1, 1]
    assert "1k characters seen · small 2.900 · large&wide 2.800" in page.of("title")
    assert page.source.count('aria-label="Validation loss against minutes"') == 2  # for wide and narrow windows
    results = rows(page, "run")
    assert [row[:2] + row[-1:] for row in results] == [
        ["small", "0.9000", "5 min 0 s"],
        ["large&amp;wide", "0.8000", "5 min 0 s"],
    ]
    assert rows(page, "setting") == [["units", "256", "512"], ["dropout", "0.3", "0.5"]]
    assert "best validation loss of 2 runs is that of large&amp;wide" in page.source
    assert "same text" not in page.source
    assert [text.split()[:2] for text in page.of("pre")] == [["cool", "4"], ["hot", "4"]] * 2
    for _, name, value in page.attributes:
        assert name not in ("src", "href") or value == "data:,"


def test_runs_of_different_texts_share_no_baselines_and_the_page_says_so(runs: Path) -> None:
    page = Page(write_comparison([runs / "small", runs / "other"], runs))
    assert "did not read the same text" in page.source
    assert "-gram" not in page.source


def test_what_cannot_be_compared_is_one_sentence(runs: Path, tmp_path: Path) -> None:
    raw = write_run(tmp_path / "raw", config=TrainConfig().to_json() | {"unit": "byte"})
    with pytest.raises(InputError, match="small characters, raw bytes"):
        write_comparison([runs / "small", raw], tmp_path)
    with pytest.raises(InputError, match="at most 6 runs, not 7"):
        write_comparison([runs / "small"] * 7, tmp_path)
    with pytest.raises(InputError, match="There is no run in"):
        write_comparison([runs / "small", runs / "none"], tmp_path)
    assert not (tmp_path / "report.html").exists()


def test_the_command_takes_several_names_each_once(runs: Path) -> None:
    (runs / "wide").symlink_to(runs / "large&wide")
    printed = training("report", "small", "wide", "small", "--runs", str(runs), cwd=runs).stdout
    assert printed == f"Wrote {runs}/report.html\n"
    assert Page(runs / "report.html").of("h1")[0].startswith("small, ")
    assert (
        training("report", "small", "small", "--runs", "runs", cwd=runs.parent).stdout
        == "Wrote runs/small/report.html\n"
    )


def test_a_report_needs_no_framework() -> None:
    program = "import training.report.write, training.report.compare, sys; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True)
    assert not {"tensorflow", "keras"} & set(result.stdout.split())


def test_a_folder_whose_name_is_not_utf8_is_named_with_escapes(tmp_path: Path) -> None:
    runs = os.fsdecode(b"runs-\xff")
    write_run(tmp_path / runs / "mine", corpus=[os.fsdecode(b"texts-\xff")])
    assert training("report", "mine", "--runs", runs, cwd=tmp_path).stdout == "Wrote runs-\\udcff/mine/report.html\n"

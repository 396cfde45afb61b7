"""The report of a run, read back from the page: what a person sees against what the run's folder says."""

import json
import math
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import ROOT, write_corpus
from tests.processes import training
from training.config import TrainConfig
from training.data import ngrams
from training.data.corpus import Corpus, prepare
from training.errors import InputError
from training.report.page import shown
from training.report.recorded import MAX_SHOWN
from training.report.write import write_report

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
        "samples": {"0.5": f"cool {number} {NASTY}", "1.0": f"hot {number}"},
    } | changes


def write_run(folder: Path, evaluations: list[dict[str, Any]] | None = None, **plan: Any) -> Path:
    """A run's folder, its corpus really encoded."""
    folder.mkdir(parents=True, exist_ok=True)
    text = write_corpus(folder / "text.txt")
    config = TrainConfig(batch_size=4, window=20, split=(0.8, 0.2, 0.0))
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
    losses = sorted(float(row[1]) for row in rows(page, "model"))
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


def test_levels_inside_of_the_chart_are_labelled(page: Page) -> None:
    losses = {row[0]: float(row[1]) for row in rows(page, "model")}
    inside = {name for name, nats in losses.items() if nats < max(LOSSES)}
    assert inside
    assert inside <= set(page.of("text"))


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
    assert [row[0] for row in rows(page, "setting")][2:] == [name.replace("_", " ") for name in config]
    assert ["split", "0.8, 0.2, 0.0"] in rows(page, "setting")
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


def test_a_report_needs_no_framework() -> None:
    program = "import training.report.write, sys; print(*sys.modules)"
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True)
    assert not {"tensorflow", "keras"} & set(result.stdout.split())


def test_a_folder_whose_name_is_not_utf8_is_named_with_escapes(tmp_path: Path) -> None:
    runs = os.fsdecode(b"runs-\xff")
    write_run(tmp_path / runs / "mine", corpus=[os.fsdecode(b"texts-\xff")])
    assert training("report", "mine", "--runs", runs, cwd=tmp_path).stdout == "Wrote runs-\\udcff/mine/report.html\n"

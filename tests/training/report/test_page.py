"""The HTML around a report: escaping, tables, and no requests."""

from tests.training.report.pages import Page, rows
from training.report.page import FOLDER, page, shown, table


def test_text_is_escaped() -> None:
    assert shown("<b>&amp;'\"") == "&lt;b&gt;&amp;amp;&#x27;&quot;"


def test_control_characters_are_shown_as_pictures() -> None:
    assert shown("\x00\x07\x7f") == "\u2400\u2407\u2421"
    assert shown("\x9f\ud800") == "\ufffd\ufffd"


def test_line_breaks_and_tabs_stay() -> None:
    assert shown("a\tb\nc\rd") == "a\tb\nc\u240dd"


def test_a_page_is_complete_and_its_title_is_text() -> None:
    found = Page(page("one <&> two", "<h1>head</h1>"))
    assert (found.of("title"), found.of("h1")) == (["one <&> two"], ["head"])
    assert found.source.startswith("<!doctype html>")
    assert found.open == []


def test_a_page_makes_no_requests() -> None:
    found = Page(page("title", "<p>text</p>"))
    addresses = [value for _, name, value in found.attributes if name in ("src", "href", "action", "srcset", "data")]
    assert addresses == ["data:,"]
    for words in ("url(h", "@import", "fetch(", "http:", "https:", "//"):
        assert words not in found.source.replace("</", "")


def test_a_page_has_its_style_sheets_and_its_script_in_it() -> None:
    source = page("title", "<p>text</p>")
    for name in ("base.css", "report.css", "report.js"):
        assert (FOLDER / name).read_text(encoding="utf-8") in source


def test_a_table_aligns_numbers_and_marks_the_best_row() -> None:
    source = table(["run", "nats"], [["a", "2.0"], ["b", "1.5"]], numbers={1}, best=1)
    assert rows(source, "run") == [["a", "2.0"], ["b", "1.5"]]
    assert '<tr class=best-row><td class="text">b</td><td class="number">1.5</td></tr>' in source
    assert source.count("best-row") == 1

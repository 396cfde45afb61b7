"""Look inside: guesses, activations, and the units that track a feature."""

import json
from typing import Any
from urllib.parse import urlencode

import pytest
from selenium.webdriver.common.keys import Keys

from tests import browsers
from tests.processes import ROOT
from tests.servers import Server
from tests.system.browser.conftest import KEY
from tests.system.browser.page import Page
from tests.system.browser.test_access import give_key

LICENSE = (ROOT / "LICENSE").read_text(encoding="utf-8")  # a text that the model was not trained on
UNITS = 360  # of a layer of the included model
SHORT = "To be, or not to be, that is the question:\n\nWhether 'tis nobler"


def open_text(page: Page, text: str, **query: object) -> None:
    page.open(f"#inside?{urlencode({'text': text, **query})}")
    page.wait(lambda: page.shown("#inside .units [role=option]"), 180)
    page.wait(lambda: page.shown("#inside .track"))


def inspected(site: Server, text: str, **fields: Any) -> list[dict[str, Any]]:
    status, _, body = site.request("POST", "/inspect", {"text": text, **fields})
    assert status == 200
    return list(json.loads(body)["characters"])


def colour_of_cell(page: Page, row: int, column: int) -> list[int]:
    """The colour in the corner of a character's cell."""
    script = """
    const canvas = document.querySelectorAll("#inside .cell-row")[arguments[0]].querySelector("canvas");
    const scale = canvas.width / canvas.clientWidth;
    const at = [(arguments[1] * 10 + 1) * scale, 19 * scale].map(Math.round);
    const pixel = new OffscreenCanvas(1, 1).getContext("2d", {willReadFrequently: true});
    pixel.drawImage(canvas, ...at, 1, 1, 0, 0, 1, 1);
    return [...pixel.getImageData(0, 0, 1, 1).data];
    """
    return list(page.run(script, row, column))


def test_the_unit_that_tracks_the_line_position_best_is_shown_first(page: Page, site: Server) -> None:
    features = json.loads(site.request("POST", "/neurons", {"text": LICENSE})[2])["features"]
    best = next(feature for feature in features if feature["feature"] == "line_position")["units"][0]
    layer, unit = best["layer"], best["unit"]
    open_text(page, LICENSE)
    assert page.text("#inside h2") == f"Layer {layer}, unit {unit}"
    assert page.text("#inside .tracks h3") == "Position in the line"
    assert "comments, indentation, web addresses" in page.text("#inside .tracks > .note")
    assert len(page.all("#inside .units [role=option]")) == UNITS
    values = [one["activations"][0] for one in inspected(site, LICENSE, units=[[layer, unit]])]
    assert page.text("#inside tbody td") == f"+{max(values):.2f}"
    row = LICENSE.splitlines()[4]
    start = LICENSE.index(row)
    shown = [it.text for it in page.all("#inside .cell-row")]
    number = shown.index(row + "↵")
    for column in (0, len(row) - 1):
        _, green, blue, alpha = colour_of_cell(page, number, column)
        assert (green > blue) == (values[start + column] > 0)
        assert abs(alpha / 255 - abs(values[start + column])) < 0.02
    assert f"layer={layer}&unit={unit}" in page.driver.current_url


def test_arrow_keys_move_through_the_units(page: Page) -> None:
    open_text(page, SHORT, model="tiny", layer=0, unit=1)
    assert page.text("#inside h2") == "Layer 0, unit 1"
    page.run("document.querySelector('#inside .units [aria-selected=true]').focus()")
    page.keys(Keys.ARROW_RIGHT)
    assert page.text("#inside h2") == "Layer 0, unit 2"
    assert page.text("#announcer").startswith("Layer 0, unit 2.")
    page.keys(Keys.END)
    last = len(page.all("#inside .units [role=option]")) - 1
    assert page.text("#inside h2") == f"Layer 0, unit {last}"
    assert page.run("return document.activeElement.getAttribute('aria-selected')") == "true"
    assert f"unit={last}" in page.driver.current_url


def test_the_text_keeps_its_characters_and_shows_guesses_and_activations(page: Page, site: Server) -> None:
    open_text(page, SHORT, model="tiny", layer=0, unit=1)
    characters = inspected(site, SHORT, model="tiny", units=[[0, 1]])
    text = page.run("return [...document.querySelectorAll('.cell-row')].map((row) => row.textContent).join('')")
    assert text.replace("↵", "\n") == SHORT
    page.run("document.querySelector('#inside .cells').focus()")
    page.keys(Keys.HOME, Keys.ARROW_RIGHT)
    value = characters[1]["activations"][0]
    assert f"activation {'−' if value < 0 else '+'}{abs(value):.2f}" in page.text("#announcer")
    assert len(page.shown(".card li")) == 5
    height = page.run("return document.querySelector('.cell-row').clientHeight")
    page.run("document.querySelector('#inside [type=checkbox]').click()")
    assert page.run("return document.querySelector('.cell-row').clientHeight") < height


def test_the_strongest_positions_lead_to_the_text(page: Page) -> None:
    open_text(page, SHORT, model="tiny", layer=0, unit=1)
    page.run("document.querySelector('#inside details').open = true")
    position = int(page.text("#inside tbody td:nth-child(2)"))
    assert page.text("#inside tbody mark") in (SHORT[position - 1], "␣", "↵")
    page.shown("#inside .context")[0].click()
    assert page.run("return document.activeElement.className") == "cells"


def test_the_text_of_write_is_taken_over(page: Page) -> None:
    page.open("#write?prompt=aЖ&length=30&seed=1&model=tiny")
    written = page.finish()
    assert "lacks 1 of the prompt's 2 characters" in page.text("#write .status")
    page.visit("inside")
    page.press("Take the text of Write")
    page.wait(lambda: page.shown("#inside .cell-row"))
    text = page.run("return [...document.querySelectorAll('.cell-row')].map((row) => row.textContent).join('')")
    assert text.replace("↵", "\n") == written
    page.wait(lambda: page.shown("#inside .units [role=option]"), 180)


def test_the_model_writes_a_text_and_stop_ends_the_reading(page: Page) -> None:
    page.open("#inside")
    page.wait(lambda: page.all("#inside option[value=tiny]"))
    page.choose("#inside [name=model]", "tiny")
    page.press("Let the model write")
    page.wait(lambda: page.shown("#inside .units [role=option]"), 180)
    page.press("Edit")
    assert len(page.run("return document.querySelector('#inside textarea').value")) == 1200
    page.press("Look inside")
    page.keys(Keys.ESCAPE)
    page.wait(lambda: not [it for it in page.shown("#inside button") if it.text.startswith("Stop")])
    assert not page.shown("#inside .notice")


def test_another_model_reads_the_same_text(page: Page) -> None:
    open_text(page, SHORT, model="tiny")
    few = len(page.all("#inside .units [role=option]"))
    page.choose("#inside [name=model]", "shakespeare")
    page.wait(lambda: len(page.shown("#inside .units [role=option]")) == UNITS, 180)
    assert few < UNITS
    assert "model=shakespeare" in page.driver.current_url


def test_errors_are_sentences_with_a_way_out(page: Page) -> None:
    page.open("#inside")
    page.wait(lambda: page.all("#inside option[value=tiny]"))
    page.choose("#inside [name=model]", "tiny")
    page.press("Look inside")
    assert "Paste a text first" in page.text("#inside .status")
    page.run("document.querySelector('#inside textarea').value = 'a'.repeat(10001)")
    page.press("Look inside")
    assert "at most 10,000 characters here, and this one has 10,001" in page.text("#inside .notice")
    page.press("Use the first 10,000")
    assert len(page.run("return document.querySelector('#inside textarea').value")) == 10_000


# Answers the first requests for a path with the given responses, and records the path of each request.
ANSWER = """
const [path, responses] = arguments;
const send = fetch;
window.asked = [];
window.fetch = (url, options) => {
    window.asked.push(new URL(url).pathname);
    const next = String(url).endsWith(path) && responses.shift();
    if (!next) return send(url, options);
    const {status, message, code, headers} = next;
    return Promise.resolve(new Response(JSON.stringify({error: {message, code, param: null}}), {status, headers}));
};
"""


def read_with(page: Page, path: str, *responses: dict[str, Any]) -> None:
    """Read a text with the tiny model; the first requests for `path` get these responses."""
    page.open("#inside")
    page.wait(lambda: page.all("#inside option[value=tiny]"))
    page.choose("#inside [name=model]", "tiny")
    page.run(ANSWER, path, list(responses))
    page.type_prompt(SHORT)
    page.watch("#inside .status")
    page.press("Look inside")


@pytest.mark.parametrize("path", ["/inspect", "/neurons"])
def test_a_version_without_the_function_is_named_and_another_one_can_be_chosen(page: Page, path: str) -> None:
    message = "Version 1 of 'tiny' was published without the function 'inspect'."
    read_with(page, path, {"status": 501, "message": message, "code": "unsupported_by_model"})
    page.wait(lambda: page.text("#inside .notice") == f"{message} Choose another version.")
    assert not page.shown("#inside .notice button"), "the same request would fail again"
    assert page.text("#inside .status") == ""
    page.press("Edit" if path == "/neurons" else "Look inside")
    if path == "/neurons":
        page.press("Look inside")
    page.wait(lambda: page.shown("#inside .track[aria-pressed=true]"), 180)
    assert not page.shown("#inside .notice")


@pytest.mark.parametrize("path", ["/inspect", "/neurons"])
def test_a_busy_service_is_asked_again_after_a_countdown(page: Page, path: str) -> None:
    busy = {
        "status": 429,
        "message": "3 streams are open, which is the limit.",
        "code": "queue_full",
        "headers": {"Retry-After": "2"},
    }
    read_with(page, path, busy)
    page.wait(lambda: page.shown("#inside .track[aria-pressed=true]"), 180)
    busy_again = [text for text in page.said() if "again in" in text]
    assert busy_again == [f"The service is busy. Trying again in {seconds} s" for seconds in (2, 1)]
    assert page.run("return window.asked").count(path) >= 2
    page.wait(lambda: page.text("#inside .status") == "")
    assert not page.shown("#inside .notice")


@pytest.mark.parametrize("path", ["/inspect", "/neurons"])
def test_stop_ends_the_countdown(page: Page, path: str) -> None:
    busy = {
        "status": 429,
        "message": "The rate limit is 2/minute.",
        "code": "rate_limit_exceeded",
        "headers": {"Retry-After": "60"},
    }
    read_with(page, path, busy, busy)
    page.wait(lambda: "Trying again in" in page.text("#inside .status"))
    page.choose("#inside [name=version]", "1")  # begins again
    page.wait(lambda: page.run("return window.asked").count(path) == 2)
    page.wait(lambda: "Trying again in" in page.text("#inside .status"))
    page.keys(Keys.ESCAPE)
    page.wait(lambda: page.text("#inside .status") == "")
    assert page.run("return window.asked").count(path) == 2
    assert page.shown("#inside textarea")
    assert page.run("return document.querySelector('#inside textarea').value") == SHORT


def test_guesses_are_off_on_a_phone(page: Page) -> None:
    browsers.resize(page.driver, browsers.PHONE, scale=2, is_phone=True)
    open_text(page, SHORT, model="tiny")
    assert not page.run("return document.querySelector('#inside [type=checkbox]').checked")


def test_the_colours_follow_the_theme(page: Page) -> None:
    open_text(page, SHORT, model="tiny", layer=0, unit=1)
    light = colour_of_cell(page, 0, 5)
    page.press("Dark")
    page.wait(lambda: colour_of_cell(page, 0, 5) != light)
    page.run("localStorage.clear()")


def test_a_key_is_asked_for(closed_page: Page) -> None:
    page = closed_page
    page.open(f"#inside?{urlencode({'text': SHORT})}")
    give_key(page, KEY)
    page.wait(lambda: page.shown("#inside .units [role=option]"), 180)


def test_the_pictures_of_a_wide_layer_fit_into_one_response(page: Page) -> None:
    page.open("#models")
    chars = page.driver.execute_async_script("""
        const done = arguments[0];
        import(new URL("static/reading.js", document.baseURI)).then(({Reading}) => {
            const reading = new Reading({}, "", {});
            done([360, 700, 1024].map((units) => {
                reading.pictureRows = Array.from({length: 30}, (_, row) => [64 * row, 64 * row + 64]);
                reading.fitPictures(units);
                return reading.pictureChars;
            }));
        });
    """)
    assert chars == [1920, 1408, 960]

"""Compare, Models and Score; then every view on a phone, zoomed, dark, and examined by axe-core."""

import itertools
import json
from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys

from tests import browsers
from tests.servers import Server
from tests.system.browser.axe import AXE, violations
from tests.system.browser.page import Page


def test_five_temperatures_stream_with_one_seed(page: Page, site: Server) -> None:
    page.open("#compare?prompt=KING&length=60&seed=3&model=shakespeare")
    page.wait(lambda: len(page.shown(".columns .column")) == 5)
    page.wait(lambda: page.text("#compare .status") == "Seed 3")
    assert [it.text for it in page.shown(".columns h2")] == ["0.2", "0.5", "0.8", "1.0", "1.2"]
    texts = [page.run("return arguments[0].textContent", it) for it in page.all(".columns .text")]
    for temperature, text in zip((0.2, 0.5, 0.8, 1.0, 1.2), texts, strict=True):
        assert text == "KING" + site.generate(prompt="KING", length=60, seed=3, temperature=temperature)["text"]


def test_two_models_stream_side_by_side(page: Page) -> None:
    page.open("#compare")
    page.wait(lambda: page.all("#compare option[value=tiny]"))
    page.choose("#compare [aria-label=Compare]", "versions")
    page.choose("#compare [name=model]", "tiny", number=1)
    page.fill("length", "40")
    size = "const {clientHeight, scrollHeight} = arguments[0]; return [clientHeight, scrollHeight, innerHeight * 0.6]"
    (prompt,) = page.shown(".prompt")
    page.type_prompt("Привет\n" * 60)
    shown, needed, most = page.run(size, prompt)
    assert 300 < shown <= most < needed
    assert page.run("return getComputedStyle(arguments[0]).overflowY", prompt) == "auto"
    page.type_prompt("aЖ")
    page.press("Start")
    page.wait(lambda: page.text("#compare .status").startswith("Seed"))
    assert all("lacks 1 of the prompt's 2 characters" in it.text for it in page.shown(".columns .note"))
    assert [it.text.split()[0] for it in page.shown(".columns h2")] == ["shakespeare", "tiny"]
    texts = [page.run("return arguments[0].textContent", it) for it in page.all(".columns .text")]
    page.open(page.driver.current_url.removeprefix(page.address))
    page.wait(lambda: page.text("#compare .status").startswith("Seed"))
    assert [page.run("return arguments[0].textContent", it) for it in page.all(".columns .text")] == texts


def test_an_error_of_one_column_is_shown_while_the_other_column_is_written(page: Page) -> None:
    page.open("#compare?compare=versions&length=20000&model=shakespeare&version=99&model2=shakespeare&seed=1")
    page.wait(lambda: "99" in page.text("#compare .notice"))
    assert page.text("#compare .status") == "Writing"
    page.keys(Keys.ESCAPE)
    page.wait(lambda: page.text("#compare .status") == "Stopped.")
    assert "99" in page.text("#compare .notice")
    page.driver.get_log("browser")  # the browser logs the status 404


def test_a_view_that_could_not_be_loaded_is_loaded_later(page: Page) -> None:
    page.open("#write")
    page.wait(lambda: page.text(".about"))
    conditions = {"latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
    page.driver.execute_cdp_cmd("Network.emulateNetworkConditions", conditions | {"offline": True})
    try:
        page.visit("compare")
        page.wait(lambda: page.text("main > .notice").startswith("Compare cannot be loaded"))
    finally:
        page.driver.execute_cdp_cmd("Network.emulateNetworkConditions", conditions | {"offline": False})
    page.press("Try again")
    page.wait(lambda: page.shown("#compare .prompt"))
    page.driver.get_log("browser")  # the browser logs the request that failed


def test_models_show_their_versions_curves_and_samples(page: Page) -> None:
    page.open("#write")
    page.wait(lambda: page.text(".about"))
    page.run("""
        const send = fetch;
        const refusals = [["/models", "rate_limit_exceeded"], ["/models/tiny/1", "queue_full"]];
        window.fetch = (url, options) => {
            if (new URL(url).pathname !== refusals[0]?.[0]) return send(url, options);
            const error = {message: "", code: refusals.shift()[1]};
            const headers = {"Retry-After": "1"};
            return Promise.resolve(new Response(JSON.stringify({error}), {status: 429, headers}));
        };
    """)
    page.watch("#models .status")
    page.visit("models")
    page.wait(lambda: len(page.shown("#models table")) == 2)
    reasons = ("The rate limit is reached", "The service is busy")
    assert [text for text in page.said() if "again in" in text] == [f"{it}. Trying again in 1 s" for it in reasons]
    assert [it.text.split()[0] for it in page.shown(".models h2")] == ["shakespeare", "tiny"]
    assert "875,202 parameters" in page.text(".models table")
    assert len(page.shown(".curve")) == 2
    last = page.text(".sample")
    slider = page.shown("#models [type=range]")[0]
    slider.send_keys("\ue012")  # arrow left
    assert page.text(".sample") != last
    page.press("0.5")
    page.choose("#models select", "tiny 1", number=1)
    assert len(page.shown(".curve")) == 4


def test_a_text_is_scored_and_compared_with_another(page: Page, site: Server) -> None:
    text = "To be, or not to be, that is the question:\nWhether 'tis nobler in the mind to suffer"
    page.open("#score")
    page.wait(lambda: page.all("#score option[value=tiny]"))
    page.press("Score")
    assert "Paste a text first" in page.text("#score .status")
    page.type_prompt(text)
    page.press("Score")
    page.wait(lambda: page.shown(".number"))
    bits = json.loads(site.request("POST", "/score", {"text": text})[2])["bits_per_char"]
    assert page.text(".number") == f"{bits:.2f} bits per character"
    assert page.text("#score .text") == text
    for model in ("tiny", "shakespeare"):
        page.choose("#score [name=model]", model)
        page.wait(lambda model=model: f"the better {model} " in page.text(".verdict"))
        bits = json.loads(site.request("POST", "/score", {"text": text, "model": model})[2])["bits_per_char"]
        assert page.text(".number") == f"{bits:.2f} bits per character"
    page.press("A second text")
    page.shown(".paste")[1].send_keys("SELECT count(*) FROM versions WHERE refused IS NULL;")
    page.press("Score")
    page.wait(lambda: page.shown(".number"))
    assert page.text(".number") == "The first is more like the corpus"
    page.press("Edit")
    page.run("""
        const send = fetch;
        window.fetch = () => {
            window.fetch = send;
            return Promise.reject(new TypeError());
        };
    """)
    page.press("Score")
    page.wait(lambda: page.shown("#score .notice button"))
    page.run("document.querySelector('#score .notice button').focus()")
    page.keys("\ue007")  # Enter: try again
    page.wait(lambda: page.shown(".number"))
    assert page.run("return document.activeElement.textContent") == "Edit"


def test_the_numbers_of_a_byte_model_are_of_bytes(page: Page) -> None:
    page.open("#score")
    page.wait(lambda: page.all("#score option[value=tiny]"))
    page.run("""
        const send = fetch;
        window.fetch = async (url, options) => {
            const response = await send(url, options);
            if (!String(url).includes("/models/shakespeare/")) return response;
            const {manifest, history} = await response.json();
            return new Response(JSON.stringify({manifest: {...manifest, unit: "byte"}, history}));
        };
    """)
    score(page)
    assert "bits per character" in page.text(".number")
    assert "corpus" not in page.text(".verdict"), "its loss is in bits per byte"
    page.visit("models")
    page.wait(lambda: page.shown("#models .curve"))
    cells = [it.text for it in page.shown(".models td") if "bits per" in it.text or "txt" in it.text]
    assert ["bytes" in it or "bits per byte" in it for it in cells[:2]] == [True, True]
    assert " bytes, epoch" in page.text(".moment")
    assert page.text(".moment").endswith("bits per byte.")
    assert {"bytes read", "bits per byte"} <= {it.text for it in page.shown("#models svg text")}
    page.choose("#models select", "tiny 1", number=1)
    assert {"bytes or characters read", "bits per byte or character"} <= {
        it.text for it in page.shown("#models svg text")
    }
    page.visit("write")
    page.wait(lambda: "one byte at a time" in page.text(".about"))
    assert "characters" not in page.text(".about")


@pytest.mark.parametrize("values", [[2.02, 2.03, 2.72], [2.0, 2.0, 2.0], [0.1, 1.0, 6.0], [5.7, 5.8, 5.9], [2.0, 2.3]])
def test_the_labels_of_the_scale_do_not_overlap_on_a_phone(page: Page, values: list[float]) -> None:
    page.open("#models")
    boxes = page.driver.execute_async_script(
        """
        const [values, done] = arguments;
        import(new URL("static/chart.js", document.baseURI)).then(({scale}) => {
            const marks = values.map((value, at) => ({value, label: `${["first", "second", "corpus"][at]} 2.02`}));
            const drawn = scale(marks, {width: 320, label: ""});
            document.querySelector("main").replaceChildren(drawn);
            const labels = [...drawn.querySelectorAll("text")].map((label) => label.getBoundingClientRect());
            done(labels.map(({left, right, top, bottom}) => [left, right, top, bottom]));
        });
        """,
        values,
    )
    assert len(boxes) == 2 + len(values), "the ends have labels too"
    for (left, right, top, bottom), other in itertools.combinations(boxes, 2):
        assert right <= other[0] or other[1] <= left or bottom <= other[2] + 2 or other[3] <= top + 2, boxes


def test_the_views_are_named_on_one_line_of_a_small_phone(page: Page) -> None:
    browsers.resize(page.driver, (360, 740), scale=2, is_phone=True)
    page.open("#write")
    assert len({link.location["y"] for link in page.shown("nav a")}) == 1


VIEWS = {
    "write": ("#write?prompt=ROMEO%3A%0A&length=100&seed=7", lambda page: page.finish()),
    "empty": ("#write", lambda page: page.wait(lambda: page.text(".about"))),
    "compare": (
        "#compare?prompt=KING&length=40&seed=3",
        lambda page: page.wait(lambda: "Seed" in page.text("#compare .status")),
    ),
    "models": ("#models", lambda page: page.wait(lambda: page.shown(".curve"))),
    "score": ("#score", lambda page: score(page)),
    "inside": (
        "#inside?text=To+be%2C+or+not+to+be%2C+that+is+the+question&model=tiny",
        lambda page: page.wait(lambda: page.shown("#inside .track[aria-pressed=true]")),
    ),
}


def score(page: Page) -> None:
    page.wait(lambda: page.all("#score option"))
    page.type_prompt("But soft, what light through yonder window breaks?")
    page.press("Score")
    page.wait(lambda: page.shown(".number"))


def show(page: Page, view: str) -> None:
    fragment, wait = VIEWS[view]
    page.open(fragment)
    wait(page)


def check_width(page: Page, width: int) -> None:
    """Check that the view fits into a window, also with a model whose name is long."""
    page.wait(lambda: page.run("return document.documentElement.clientWidth") == width, timeout_s=10)
    assert not page.is_wider_than(width)
    page.run("""
        const name = "all_his_contemporaries_in_one_enormous_corpus_v2";
        const walker = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
        while (walker.nextNode()) {
            const node = walker.currentNode;
            node.data = node.data.replace(/\\b(shakespeare|tiny)\\b/, name);
        }
    """)
    assert not page.is_wider_than(width)


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_fits_on_a_phone_and_at_200_percent(page: Page, view: str) -> None:
    browsers.resize(page.driver, browsers.PHONE, scale=2, is_phone=True)
    show(page, view)
    check_width(page, browsers.PHONE[0])
    if view == "compare":
        lefts = [
            page.run("return arguments[0].getBoundingClientRect().left", page.all(it)[0]) for it in (".form", ".column")
        ]
        assert lefts[0] == lefts[1]
    browsers.resize(page.driver, (640, 450), scale=2)  # what zooming a window of 1280 by 900 pixels does
    check_width(page, 640)
    browsers.resize(page.driver, (320, 568), is_phone=True)
    check_width(page, 320)


def test_dark_follows_the_system_and_the_switch(page: Page) -> None:
    background = "return getComputedStyle(document.body).backgroundColor"
    page.open("#write")
    light = page.run(background)
    browsers.prefer(page.driver, "dark")
    page.wait(lambda: page.run(background) != light)
    page.press("Dark")
    assert page.run(background) == light
    page.open("#write")
    assert page.run(background) == light  # the choice is kept
    page.run("localStorage.clear()")


@pytest.mark.skipif(not Path(AXE).is_file(), reason="needs axe-core: AXE_CORE is the path of axe.min.js")
@pytest.mark.parametrize("view", VIEWS)
def test_axe_finds_no_violation(page: Page, view: str) -> None:
    show(page, view)
    page.run("for (const it of document.querySelectorAll('details')) it.open = true")
    page.run(Path(AXE).read_text(encoding="utf-8"))
    assert violations(page) == []
    browsers.prefer(page.driver, "dark")
    if view == "write":
        page.point_at(20, click=True)
        page.wait(lambda: page.shown(".card"))
        page.press("Code")
        page.point_at(20, click=True)
    assert violations(page) == []

"""Write: texts, links that make them again, guesses and branches."""

import json
import math
import subprocess

from selenium.webdriver.common.keys import Keys

from tests import browsers
from tests.servers import Server
from tests.system.browser.page import Page

LINK = "#write?prompt=ROMEO%3A%0A&temperature=0.8&length=120&seed=7"


def test_the_text_is_that_of_the_seed_and_the_address_makes_it_again(page: Page, site: Server) -> None:
    page.open(LINK)
    text = page.finish()
    assert text == "ROMEO:\n" + site.generate(prompt="ROMEO:\n", temperature=0.8, length=120, seed=7)["text"]
    address = page.driver.current_url
    assert "version=" in address
    page.open(address.removeprefix(page.address))
    assert page.finish() == text


def test_a_branch_goes_on_with_a_guess_and_its_link_makes_it_again(page: Page) -> None:
    page.open(LINK)
    first = page.finish()
    page.point_at(40)
    page.wait(lambda: page.shown(".card .guess"))
    assert len(page.shown(".card .guess")) == 5
    guess = page.shown(".card button.guess")[0]
    chosen = page.run("return arguments[0].querySelector('.unseen').textContent", guess).removesuffix(", ")
    guess.click()
    page.wait(lambda: page.text("#write .text")[:41] != first[:41])
    branch = page.finish()
    assert branch[:40] == first[:40]
    assert branch[40] == {"space": " ", "line break": "\n"}.get(chosen, chosen)
    assert len(branch) == 40 + 1 + 120
    address = page.driver.current_url
    page.keys(Keys.BACKSPACE)
    page.wait(lambda: page.text("#write .text") == first)
    page.open(address.removeprefix(page.address))
    page.wait(lambda: len(page.text("#write .text")) == len(branch))
    assert page.finish() == branch
    assert page.text(".chosen") == branch[40]


DELAY = """
const send = fetch;
window.fetch = (url, options) => String(url).endsWith("/generate")
    ? new Promise((_, reject) => options.signal.addEventListener("abort", () => reject(options.signal.reason)))
    : send(url, options);
"""
FAIL_ONCE = """
const send = fetch;
window.fetch = (url, options) => {
    if (!String(url).endsWith("/generate")) return send(url, options);
    window.fetch = send;
    return arguments[0] ? Promise.resolve(new Response(arguments[0], {status: 404})) : Promise.reject(new TypeError());
};
"""


def open_card(page: Page, index: int) -> None:
    page.point_at(index, click=True)
    page.wait(lambda: page.shown(".card button.guess"))
    # The pointer's own opening of the card waits for a frame.
    page.driver.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")


def test_a_branch_that_makes_nothing_leaves_the_text_and_can_be_tried_again(page: Page) -> None:
    page.open(LINK)
    first = page.finish()
    address = page.driver.current_url
    page.run(DELAY)
    open_card(page, 40)
    page.shown(".card button.guess")[0].click()
    page.wait(lambda: len(page.text("#write .text")) == 41)
    page.point_at(20)
    page.wait(lambda: page.shown(".card .said"))
    page.keys(Keys.ESCAPE)  # closes the card and stops the request
    page.wait(lambda: "Stopped after 0" in page.text("#write .status"))
    assert not page.shown(".card")
    assert (page.text("#write .text"), page.driver.current_url) == (first, address)
    assert "Back" not in [it.text for it in page.shown("button")]
    open_card(page, 40)
    page.shown(".card button.guess")[0].click()
    page.wait(lambda: len(page.text("#write .text")) == 41)
    page.keys(Keys.BACKSPACE)
    page.wait(lambda: "The text before" in page.text("#write .status"))
    assert (page.text("#write .text"), page.driver.current_url) == (first, address)

    page.open(address.removeprefix(page.address))
    page.finish()
    page.run(FAIL_ONCE)
    open_card(page, 40)
    page.shown(".card button.guess")[0].click()
    page.wait(lambda: "does not answer" in page.text(".notice"))
    assert (page.text("#write .text"), page.driver.current_url) == (first, address)
    page.run("document.querySelector('.notice button').focus()")
    page.keys(Keys.ENTER)  # Try again
    page.wait(lambda: len(page.text("#write .text")) == 40 + 1 + 120)
    branch = page.finish()
    assert page.run("return document.activeElement.textContent") == "Continue"
    assert page.text(".chosen") == branch[40] != first[40]
    assert "%22put%22" in page.driver.current_url
    page.keys(Keys.BACKSPACE)
    page.wait(lambda: page.text("#write .text") == first)

    page.run(FAIL_ONCE, json.dumps({"error": {"message": "There is none.", "code": "model_not_found"}}))
    page.press("Continue")
    page.press("Use the newest version")
    page.wait(lambda: len(page.text("#write .text")) == len(first) + 120)
    assert page.text("#write .text").startswith(first)


def test_digits_choose_a_guess_of_the_card_that_is_shown(page: Page) -> None:
    page.open(LINK)
    first = page.finish()
    open_card(page, 20)
    page.keys(Keys.ESCAPE)
    assert not page.shown(".card")
    page.keys(*"12345")
    page.point_at(41)  # without the focus
    page.wait(lambda: page.shown(".card button.guess"))
    page.fill("length", "12")  # digits in a field are text
    assert page.text("#write .text") == first
    page.run("document.activeElement.blur()")
    page.point_at(40)
    page.wait(lambda: page.shown(".card button.guess"))
    page.keys(Keys.ESCAPE)
    assert not page.shown(".card")
    page.point_at(42)
    page.wait(lambda: page.shown(".card button.guess"))
    page.keys(guess_key(page))
    page.wait(lambda: page.shown(".chosen"))
    assert page.finish()[:42] == first[:42]
    assert len(page.text("#write .text")) == 42 + 1 + 12


def guess_key(page: Page) -> str:
    """The number of the first guess of the card that can be chosen."""
    rows = "return [...document.querySelectorAll('.card li')].findIndex((row) => row.querySelector('button')) + 1"
    return str(page.run(rows))


def test_everything_works_with_the_keyboard_alone(page: Page) -> None:
    page.open("#write")
    page.wait(lambda: page.text(".about"))
    page.run("document.querySelector('main').focus()")
    page.keys(Keys.TAB, "JULIET:", Keys.TAB, Keys.ENTER)  # the prompt, then Start
    first = page.finish()
    assert first.startswith("JULIET:")

    def reach_the_text() -> bool:
        page.run("document.querySelector('main').focus()")
        page.keys(Keys.TAB)  # from the start of the page to the text
        return bool(page.shown(".card"))

    page.wait(reach_the_text)  # again if the page has only now shown the end of the text
    page.keys(
        Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_DOWN, Keys.ARROW_UP, Keys.END, Keys.HOME, *[Keys.ARROW_RIGHT] * 9
    )
    page.wait(lambda: "Guesses:" in page.text("#announcer"))
    page.keys(guess_key(page))
    page.wait(lambda: page.shown(".chosen"))
    assert page.finish()[:9] == first[:9]
    page.keys(Keys.BACKSPACE)
    page.wait(lambda: page.text("#write .text") == first)


def test_the_keyboard_reaches_a_text_whose_beginning_is_above_the_window(page: Page) -> None:
    browsers.resize(page.driver, (1280, 300))
    page.open(LINK.replace("120", "600"))
    page.finish()
    page.run("document.querySelector('main').focus()")
    page.run("scrollTo(0, document.body.scrollHeight)")
    assert page.run("return document.querySelector('#write .text').getBoundingClientRect().top") < 0
    page.keys(Keys.TAB)
    page.wait(lambda: page.shown(".card"), timeout_s=10)


def test_a_stopped_text_is_made_again_by_its_link(page: Page) -> None:
    page.open("#write")
    page.wait(lambda: page.text(".about"))
    page.driver.find_element("xpath", "//label[contains(., 'Reading speed')]/input").click()
    page.type_prompt("ROMEO:")
    page.press("Start")
    page.wait(lambda: len(page.text("#write .text")) > 15)
    page.keys(Keys.ESCAPE)
    page.wait(lambda: "Stopped after" in page.text("#write .status"))
    text = page.text("#write .text")
    assert len(text) < 300
    page.open(page.driver.current_url.removeprefix(page.address))
    assert page.finish() == text


def test_a_text_is_continued_and_edited(page: Page) -> None:
    page.open(LINK)
    first = page.finish()
    page.press("Continue")
    page.wait(lambda: len(page.text("#write .text")) == len(first) + 120)
    longer = page.finish()
    address = page.driver.current_url
    page.press("Edit")
    (prompt,) = page.shown(".prompt")
    assert prompt.get_attribute("value") == longer
    prompt.send_keys(Keys.BACKSPACE * 3, "xyz")
    page.run("document.activeElement.blur()")
    page.keys(Keys.BACKSPACE)  # changes nothing while a prompt is written
    assert page.shown(".prompt")[0].get_attribute("value") == longer[:-3] + "xyz"
    for _ in range(2):
        page.driver.find_element("xpath", "//label[contains(., 'Fixed-width')]/input").click()
        assert page.run("return arguments[0].scrollHeight - arguments[0].clientHeight", prompt) <= 1
    page.press("Start")
    page.wait(lambda: len(page.text("#write .text")) == len(longer) + 120)
    assert page.finish().startswith(longer[:-3] + "xyz")
    page.press("New")
    assert page.shown(".prompt")[0].get_attribute("value") == longer[:-3] + "xyz"
    page.open(address.removeprefix(page.address))
    page.wait(lambda: len(page.text("#write .text")) == len(longer))
    assert page.finish() == longer


def test_shades_follow_the_probability_and_can_be_switched_off(page: Page, site: Server) -> None:
    page.open(LINK)
    page.finish()
    logprobs = site.generate(prompt="ROMEO:\n", temperature=0.8, length=120, seed=7)["logprobs"]
    rare = sum(math.exp(logprob) < 0.03 for logprob in logprobs)
    assert (
        sum(len(page.run("return arguments[0].textContent", it)) for it in page.all(".text .s3, .text .s4, .text .s5"))
        == rare
        > 0
    )
    color = "return getComputedStyle(document.querySelector('.text .s3')).backgroundColor"
    shaded = page.run(color)
    page.driver.find_element("xpath", "//label[contains(., 'Shade')]/input").click()
    assert page.run(color) == "rgba(0, 0, 0, 0)" != shaded


COUNT = """
const send = fetch;
window.generated = 0;
window.fetch = (url, options) => {
    window.generated += String(url).endsWith("/generate");
    return send(url, options);
};
"""


def test_a_view_keeps_its_text_and_its_address_while_another_is_shown(page: Page) -> None:
    page.open(LINK)
    text = page.finish()
    address = page.driver.current_url
    page.run(COUNT)
    page.visit("models")
    page.wait(lambda: page.shown("#models .curve"))
    page.driver.back()
    page.wait(lambda: page.shown("#write"))
    assert (page.text("#write .text"), page.driver.current_url) == (text, address)
    page.driver.forward()
    page.wait(lambda: page.shown("#models"))
    page.visit("write")
    page.wait(lambda: page.shown("#write"))
    assert (page.text("#write .text"), page.driver.current_url) == (text, address)
    assert page.run("return window.generated") == 0


def test_a_text_that_ends_while_another_view_is_shown_leaves_its_address(page: Page) -> None:
    page.open("#write")
    page.wait(lambda: page.text(".about"))
    page.fill("length", "2000")
    page.press("Start")
    page.visit("models")
    page.wait(lambda: page.shown("#models .curve"))
    page.wait(lambda: page.text("#announcer").startswith("2,000 characters"))
    assert page.driver.current_url.endswith("#models")
    page.visit("write")
    page.wait(lambda: page.shown("#write"))
    assert "&length=2000&seed=" in page.driver.current_url


def test_again_takes_another_seed_unless_a_setting_has_changed(page: Page) -> None:
    page.open(LINK)
    first = page.finish()
    page.press("Again")
    page.wait(lambda: page.text("#write .text") not in ("ROMEO:\n", first))
    other = page.finish()
    assert other[:7] == first[:7]
    assert other != first
    assert page.shown("main [name=seed]")[0].get_attribute("value") == ""
    page.press("seed ")  # keeps it
    page.fill("temperature", "0.7")
    page.press("Again")
    page.wait(lambda: "temperature=0.7" in page.driver.current_url)
    assert page.shown("main [name=seed]")[0].get_attribute("value") != ""
    page.press("Back")
    page.wait(lambda: page.text("#write .text") == other)


def test_again_compares_all_settings_and_the_length_that_was_requested(page: Page) -> None:
    page.open("#write?prompt=A&length=60&seed=7&top_k=2")
    page.finish()
    page.run("document.querySelector('#write details').open = true")
    page.fill("top_k", "")
    page.press("Again")
    page.wait(lambda: "top_k" not in page.driver.current_url)
    assert "seed=7" in page.driver.current_url
    page.fill("length", "2000")
    page.fill("seed", "9")
    page.driver.find_element("xpath", "//label[contains(., 'Reading speed')]/input").click()
    page.press("Again")
    page.wait(lambda: page.text("#write .status") == "Writing" and len(page.text("#write .text")) > 5)
    page.press("Stop")
    page.wait(lambda: "seed=9" in page.driver.current_url)
    page.press("Again")
    page.wait(lambda: page.text("#write .status") == "Writing" and len(page.text("#write .text")) > 5)
    assert page.shown("main [name=seed]")[0].get_attribute("value") == ""
    page.press("Stop")


def test_the_request_as_curl_gives_the_same_text(page: Page) -> None:
    page.open(LINK)
    text = page.finish()
    page.press("Code")
    command = page.text(".code code")
    made = subprocess.run(
        ["bash", "-c", command.replace("curl", "curl -s", 1)], capture_output=True, text=True, check=True
    )
    assert "ROMEO:\n" + made.stdout == text
    for form, part in {"Python": "client.stream(", "openai": "max_tokens=120", "JavaScript": "await fetch("}.items():
        page.press(form)
        assert part in page.text(".code code")
        assert json.dumps("ROMEO:\n") in page.text(".code code")
    page.press("openai")
    assert "at most 2" not in page.text(".code code")
    page.press("Edit")
    page.fill("temperature", "3")
    page.press("Code")
    page.press("Code")
    assert "temperature=3,  # /v1/completions accepts at most 2" in page.text(".code code")


def test_the_text_is_copied_also_over_plain_http(page: Page) -> None:
    page.open(LINK)
    text = page.finish()
    page.driver.execute_cdp_cmd(
        "Browser.grantPermissions", {"permissions": ["clipboardReadWrite", "clipboardSanitizedWrite"]}
    )
    page.run("window.later = []; window.setTimeout = (act) => String(act).includes('label') && window.later.push(act)")
    copy = page.button("Copy")
    for clicks in (1, 2):
        copy.click()
        page.wait(lambda clicks=clicks: page.run("return window.later.length") == clicks)
    assert copy.text == "Copied"
    page.run("Object.defineProperty(navigator, 'clipboard', {value: undefined})")  # as over plain HTTP
    page.run("for (const act of window.later) act()")
    assert copy.text == "Copy"
    page.run("document.addEventListener('copy', () => (window.copied = document.activeElement.value))")
    copy.click()
    page.wait(lambda: copy.text == "Copied")
    assert page.run("return window.copied") == text
    assert page.driver.switch_to.active_element == copy


def test_a_link_to_a_missing_version_offers_the_newest(page: Page) -> None:
    page.open(LINK + "&model=shakespeare&version=99")
    page.wait(lambda: page.shown(".notice"))
    assert "99" in page.text(".notice")
    page.press("Use the newest version")
    assert page.finish().startswith("ROMEO:\n")
    page.driver.get_log("browser")  # the browser logs the status 404


def test_a_link_to_a_missing_model_offers_the_default_one(page: Page) -> None:
    page.open(LINK + "&model=none&version=9")
    page.wait(lambda: "none" in page.text(".notice"))
    assert page.text(".about") == ""
    page.press("Use the default model")
    assert page.finish().startswith("ROMEO:\n")
    page.driver.get_log("browser")  # the browser logs the status 404


def test_a_damaged_link_says_so(page: Page) -> None:
    page.open("#none")
    page.wait(lambda: page.driver.current_url.endswith("#write"))
    links = (
        'prompt=A&then={"at":5,"put":"a"}', "length=6", "prompt=A&length=many", "prompt=A&length=-5",
        "prompt=A&length=1.5", "prompt=A&temperature=9", "prompt=A&version=0", 'prompt=A&then={"at":5,"put":{"a":1}}',
        'prompt=A&then={"at":5,"put":"ab"}', 'prompt=A&then={"put":"a"}', 'prompt=A&then={"at":5,"length":"6"}',
        'prompt=A&then={"at":5,"stop":"a"}',
    )  # fmt: skip
    read = """
        const [links, done] = arguments;
        import(new URL("static/params.js", document.baseURI)).then(({fromQuery}) =>
            done(links.map((link) => fromQuery(new URLSearchParams(link)) !== null)));
    """
    assert page.driver.execute_async_script(read, links) == [True] + [False] * (len(links) - 1)
    page.open("#write?prompt=A&length=-5")
    page.wait(lambda: "damaged" in page.text(".notice"))
    page.press("Begin with an empty page")
    assert page.shown(".prompt")


def test_a_version_without_guesses_is_shaded_only(page: Page) -> None:
    page.open("#write")
    page.wait(lambda: page.text(".about"))
    page.run("""
        const send = fetch;
        const error = {error: {message: "It has no advance_top.", param: "model", code: "unsupported_by_model"}};
        window.fetch = (url, options) => options.body?.includes("top_guesses")
            ? Promise.resolve(new Response(JSON.stringify(error), {status: 501})) : send(url, options);
    """)
    page.type_prompt("ROMEO:")
    page.fill("length", "60")
    page.press("Start")
    text = page.finish()
    assert len(text) == 66
    page.point_at(next(index for index in range(10, 66) if text[index].isalpha()))
    page.wait(lambda: page.shown(".card .said"))
    assert not page.shown(".card .guess")


def test_a_connection_that_breaks_keeps_the_text_and_offers_to_continue(page: Page) -> None:
    page.open("#write")
    page.wait(lambda: page.text(".about"))
    page.run("""
        const send = fetch;
        window.fetch = async (url, options) => {
            window.fetch = send;
            const {body, headers} = await send(url, options);
            const {value} = await body.getReader().read();
            return new Response(new Blob([value.slice(0, 400)]), {headers});
        };
    """)
    page.type_prompt("ROMEO:")
    page.fill("length", "40")
    page.press("Start")
    page.wait(lambda: "connection broke" in page.text(".notice"))
    kept = page.text("#write .text")
    assert f"length={len(kept) - len('ROMEO:')}&" in page.driver.current_url
    page.press("Continue from here")
    page.wait(lambda: len(page.text("#write .text")) == len(kept) + 40)
    assert page.text("#write .text").startswith(kept)

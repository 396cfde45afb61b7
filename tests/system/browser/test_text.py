"""The text of the playground beside its characters."""

from typing import Any

from tests.system.browser.page import Page


def result_of(page: Page, script: str) -> Any:
    """The value that an asynchronous script returns. It has an empty `view`, which is the content of the page."""
    page.open("#models")
    page.driver.set_script_timeout(30)
    return page.driver.execute_async_script(f"""
        const done = arguments[0];
        (async () => {{
            const {{TextView}} = await import(new URL("static/text.js", document.baseURI));
            const view = new TextView("A text");
            document.querySelector("main").replaceChildren(view.element);
            {script}
        }})().then(done);
    """)


def test_the_text_stays_in_step_with_its_characters(page: Page) -> None:
    differences = result_of(
        page,
        """
            const differences = [];
            for (let round = 0; round < 100; round += 1) {
                const more = Array.from({length: round % 7 + 1}, (_, index) =>
                    ({text: ["a", "😀", "\\n", "é", " "][(round + index) % 5], logprob: -index}));
                view.truncate(Math.floor(view.characters.length * 0.9));
                view.push(more);
                await view.drained();
                if (view.element.textContent !== view.text) differences.push(round);
            }
            for (let index = 0; index < view.characters.length; index += 1) {
                const {left, right, top, bottom} = view.boxOf(index);
                const found = view.indexAt((left + right) / 2, (top + bottom) / 2);
                if (right > left && found !== index) differences.push(index);
            }
            view.load([..."שלום"].map((text) => ({text})));
            const {right} = view.element.getBoundingClientRect();
            if (view.boxOf(0).right < right - 1) differences.push("not on the right");
            return differences;
        """,
    )
    assert differences == []


def test_a_copy_ends_with_the_last_character_of_the_selection(page: Page) -> None:
    copied = result_of(
        page,
        """
            view.push(["a", "😀", "b"].map((text) => ({text, logprob: -1})));
            await view.drained();
            const node = document.createTreeWalker(view.element, NodeFilter.SHOW_TEXT).nextNode();
            const copied = [];
            for (const [start, end] of [[0, 4], [1, 4], [0, 3], [0, 1]]) {
                getSelection().setBaseAndExtent(node, start, node, end);
                const clipboardData = new DataTransfer();
                const event = new ClipboardEvent("copy", {clipboardData, bubbles: true, cancelable: true});
                view.element.dispatchEvent(event);
                copied.push(event.clipboardData.getData("text/plain"));
            }
            return copied;
        """,
    )
    assert copied == ["a😀b", "😀b", "a😀", "a"]


def test_the_replacement_character_of_a_text_is_not_the_guess_of_the_same_code(page: Page) -> None:
    card = result_of(
        page,
        """
            const {inspectable} = await import(new URL("static/guesses.js", document.baseURI));
            inspectable(view);
            view.load([{text: "\\ufffd", logprob: -1, top: [["\\ufffd", -1]]}]);
            view.element.dispatchEvent(new KeyboardEvent("keydown", {key: "Home"}));
            return document.querySelector(".card").textContent;
        """,
    )
    assert card == "\ufffd 37 %…any other, 37 %"

"""The playground as a person uses it: buttons by their labels, fields by their names, keys."""

from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from selenium import webdriver
from selenium.common.exceptions import ElementClickInterceptedException, StaleElementReferenceException
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.select import Select

from tests import browsers
from tests.waiting import wait_until

KEY = "a-key-of-the-tests"  # of the service of `closed_page`


class Page:
    """One view of the playground in a browser."""

    def __init__(self, driver: webdriver.Chrome, address: str) -> None:
        self.driver, self.address = driver, address
        browsers.resize(driver, browsers.DESKTOP)
        browsers.prefer(driver, "light")
        browsers.console(driver)
        browsers.hosts(driver)

    def open(self, fragment: str = "") -> None:
        """Load the page anew at a fragment."""
        self.driver.get("about:blank")
        self.driver.get(self.address + fragment)
        self.wait(lambda: self.shown("main section"))

    def check(self, expected: Iterable[str] = ()) -> None:
        """Check that the page has caused no message and no request to another host."""
        messages = [
            message for message in browsers.console(self.driver) if not any(part in message for part in expected)
        ]
        assert messages == [], messages
        assert browsers.hosts(self.driver) <= {urlsplit(self.address).netloc}

    def wait(self, condition: Any, timeout_s: float = 60) -> Any:
        """Wait until a condition is true; an element that has just been replaced or moved does not count."""

        def holds() -> Any:
            try:
                return condition()
            except (StaleElementReferenceException, ElementClickInterceptedException):
                return False

        return wait_until(holds, timeout_s, explain=lambda: self.driver.find_element(By.TAG_NAME, "body").text[:2000])

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def watch(self, selector: str) -> None:
        """Record each text that the first element has from now on, however short, for `said`."""
        script = """
        window.said = [];
        const watch = () => {
            const text = document.querySelector(arguments[0])?.textContent;
            if (text && said.at(-1) !== text) said.push(text);
        };
        new MutationObserver(watch).observe(document.body, {subtree: true, childList: true, characterData: true});
        """
        self.run(script, selector)

    def said(self) -> list[str]:
        return list(self.run("return window.said"))

    def all(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def shown(self, selector: str) -> list[WebElement]:
        return [element for element in self.all(selector) if element.is_displayed()]

    def text(self, selector: str) -> str:
        """The text of the first element, without changes of white space."""
        return str(self.run("return document.querySelector(arguments[0])?.textContent ?? ''", selector))

    def button(self, label: str) -> WebElement:
        """The button with this label, as soon as it is shown."""
        found = self.wait(lambda: [it for it in self.shown("button") if it.text.split("\n")[0].startswith(label)])
        return found[0]

    def press(self, label: str) -> None:
        def is_clicked() -> bool:
            self.run("arguments[0].scrollIntoView({block: 'center'})", button := self.button(label))
            button.click()
            return True

        self.wait(is_clicked)

    def visit(self, view: str) -> None:
        """Follow the link to a view. It is not clicked at a position, because a growing text scrolls the page."""
        self.run("document.querySelector(`nav [data-view=${arguments[0]}]`).click()", view)

    def fill(self, name: str, value: str) -> None:
        """Type a value into a field of the shown view."""
        (field,) = self.shown(f"main [name={name}]")
        self._replace(field, value)

    def choose(self, selector: str, value: str, *, number: int = 0) -> None:
        """Choose an option of a list."""
        Select(self.all(selector)[number]).select_by_value(value)

    def type_prompt(self, text: str) -> None:
        (prompt,) = self.wait(lambda: self.shown("main .prompt"))
        self._replace(prompt, text)

    @staticmethod
    def _replace(field: WebElement, text: str) -> None:
        field.send_keys(Keys.CONTROL + "a")  # the key is held down until the end of the call
        field.send_keys(Keys.DELETE, text)

    def keys(self, *keys: str) -> None:
        """Press keys where the focus is."""
        ActionChains(self.driver).send_keys(*keys).perform()

    def finish(self) -> str:
        """Wait until a text of Write is complete, and return the text with its prompt."""
        self.wait(lambda: "bits per character" in self.text("#write .status"))
        return self.text("#write .text")

    def character(self, index: int) -> tuple[int, int]:
        """The middle of a character of the text in the window."""
        script = """
        let left = arguments[0];
        const walker = document.createTreeWalker(document.querySelector("main .text"), NodeFilter.SHOW_TEXT);
        while (walker.nextNode() && left >= walker.currentNode.length) left -= walker.currentNode.length;
        const range = document.createRange();
        range.setStart(walker.currentNode, left);
        range.setEnd(walker.currentNode, left + 1);
        range.startContainer.parentElement.scrollIntoView({block: "center"});
        const box = range.getBoundingClientRect();
        return [box.left + box.width / 2, box.top + box.height / 2];
        """
        x, y = self.run(script, index)
        return round(x), round(y)

    def point_at(self, index: int, *, click: bool = False) -> None:
        """Move the pointer to a character of the text."""
        x, y = self.character(index)
        actions = ActionChains(self.driver)
        actions.w3c_actions.pointer_action.move_to_location(x, y)
        if click:
            actions.click()
        actions.perform()

    def is_wider_than(self, width: int) -> bool:
        """Whether a part of the page can only be reached by scrolling it sideways in a window of this width."""
        return bool(self.run("return document.documentElement.scrollWidth") > width)  # a phone widens `innerWidth`

"""Takes every picture of the documentation: `python -m docs.pictures [ADDRESS [FOLDER]]`, while a service runs.

It lies beside the pages that show the pictures, so that both change together. With a folder it takes all of the
playground, those that no page shows too: every view, on a desktop and on a phone, light and dark. With the path of a
report (`runs/NAME/report.html`) it takes the picture of the report. The fonts are those of the machine.
"""

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlencode

from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains

from tests import browsers
from tests.system.browser.page import Page

FOLDER = Path(__file__).parent / "images"
LINK = "#write?prompt=ROMEO%3A%0A&temperature=0.8&length=480&seed=7"
FIRST = "To be, or not to be, that is the question:\nWhether 'tis nobler in the mind to suffer\nThe slings and arrows"
SECOND = "A request waits in a queue until one of the rows of the batch is free, and its prompt is read from the cache."

PLAY = """ROMEO:
Alas, that love, whose view is muffled still,
Should, without eyes, see pathways to his will!
Where shall we dine? O me! What fray was here?
Yet tell me not, for I have heard it all.
Here's much to do with hate, but more with love.

BENVOLIO:
No, coz, I rather weep.
"""


def write(page: Page) -> None:
    """A text with the card of a surprising character."""
    page.open(LINK)
    page.finish()
    page.run("scrollTo(0, 0)")
    x, y = page.run(
        "const box = [...document.querySelectorAll('.text .s3')][1].getBoundingClientRect();"
        "return [box.left + 4, box.top + box.height / 2]"
    )
    actions = ActionChains(page.driver)
    actions.w3c_actions.pointer_action.move_to_location(round(x), round(y))
    actions.click().perform()
    page.wait(lambda: page.shown(".card"))


def compare(page: Page) -> None:
    """Five temperatures."""
    page.open("#compare?prompt=JULIET%3A%0A&seed=5&length=300")
    page.wait(lambda: page.text("#compare .status") == "Seed 5")


def models(page: Page) -> None:
    """The curves, and a sample early in the training."""
    page.open("#models")
    page.wait(lambda: page.shown(".curve"))
    page.run(
        "const it = document.querySelector('#models [type=range]'); it.value = 2; it.dispatchEvent(new Event('input'))"
    )


def score(page: Page) -> None:
    """Two texts."""
    page.open("#score")
    page.wait(lambda: page.all("#score option"))
    page.press("A second text")
    for field, text in zip(page.shown(".paste"), (FIRST, SECOND), strict=True):
        field.send_keys(text)
    page.press("Score")
    page.wait(lambda: page.shown(".number"))


def inside(page: Page, text: str = PLAY) -> None:
    """The unit of the line position over a text like the corpus."""
    if page.run("return innerWidth") > browsers.PHONE[0]:
        browsers.resize(page.driver, (1280, 1010))  # as high as the view
    page.open(f"#inside?{urlencode({'text': text, 'layer': 0, 'unit': 165})}")
    page.wait(lambda: page.shown("#inside .units [role=option]"), 300)


def license(page: Page) -> None:
    """The same unit over a text that it was not chosen for, without guesses."""
    inside(page, (FOLDER.parent.parent / "LICENSE").read_text(encoding="utf-8"))
    if page.run("return document.querySelector('#inside [type=checkbox]').checked"):
        page.shown("#inside [type=checkbox]")[0].click()


VIEWS: tuple[Callable[[Page], None], ...] = (write, compare, models, score, inside, license)
SIZES = (("desktop", browsers.DESKTOP, 1, False), ("phone", browsers.PHONE, 2, True))


def take(driver: webdriver.Chrome, path: str) -> None:
    """A picture of the page as it is, light and dark."""
    for scheme in ("light", "dark"):
        browsers.prefer(driver, scheme)
        time.sleep(0.3)  # until the page is painted in the other colours
        driver.save_screenshot(f"{path}-{scheme}.png")
        print(f"{path}-{scheme}.png")


def take_playground(driver: webdriver.Chrome, address: str, folder: Path) -> None:
    """The pictures of the service at this address; the documentation shows few of a phone."""
    page = Page(driver, address)
    for name, size, scale, is_phone in SIZES:
        for view in VIEWS if folder != FOLDER or not is_phone else (write,):
            browsers.resize(driver, size, scale=scale, is_phone=is_phone)
            browsers.prefer(driver, "light")
            view(page)
            take(driver, f"{folder}/playground-{view.__name__}-{name}")


def take_report(driver: webdriver.Chrome, path: Path) -> None:
    """The top of a report."""
    browsers.resize(driver, (900, 730))
    driver.get(path.resolve().as_uri())
    take(driver, f"{FOLDER}/report")


def main() -> None:
    """Take the pictures that the arguments name, those of the documentation by default."""
    target = sys.argv[1] if len(sys.argv) > 1 else "http://localhost:8000/"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        driver = browsers.start(Path(profile))
        if target.endswith(".html"):
            take_report(driver, Path(target))
        else:
            take_playground(driver, target, Path(sys.argv[2]) if len(sys.argv) > 2 else FOLDER)
        driver.quit()


if __name__ == "__main__":
    main()

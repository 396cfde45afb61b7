"""A service that requires a key, and one that is busy."""

from tests.servers import Server
from tests.system.browser.page import KEY, Page


def give_key(page: Page, key: str) -> None:
    page.wait(lambda: page.shown("dialog"))
    page.shown("dialog input")[0].send_keys(key)
    page.press("Use key")


def test_the_page_asks_for_a_key_and_keeps_it_in_memory_only(closed_page: Page) -> None:
    page = closed_page
    page.open("#write?prompt=a&length=20&seed=1")
    give_key(page, "wrong")
    page.wait(lambda: "not valid" in page.text("dialog"))
    give_key(page, KEY)
    page.wait(lambda: "bits each" in page.text("#write .status"))
    page.press("Code")
    assert "$CHARLOOM_KEY" in page.text(".code code")
    stored = "JSON.stringify([localStorage, sessionStorage, document.cookie, location.href])"
    assert KEY not in page.run(f"return document.documentElement.outerHTML + {stored}")
    page.open("#models")
    page.wait(lambda: page.shown("dialog"))
    page.press("Not now")
    page.wait(lambda: "requires a valid key" in page.text(".notice"))


def test_a_busy_service_is_asked_again(closed_page: Page, closed_site: Server) -> None:
    page = closed_page
    page.open("#write")
    give_key(page, KEY)
    page.wait(lambda: page.text(".about"))
    connection = closed_site.connect()
    body = b'{"length": 100000, "temperature": 0.5}'
    connection.request(
        "POST", "/generate", body, {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"}
    )
    response = connection.getresponse()
    response.read(100)
    page.fill("length", "20")
    page.press("Start")
    page.wait(lambda: "Trying again" in page.text("#write .status"))
    response.close()
    connection.close()
    page.wait(lambda: "bits each" in page.text("#write .status"))

"""A service that requires a key, and one that is busy."""

import json

from tests.servers import Server
from tests.system.browser.page import KEY, Page
from tests.system.clients import ENDLESS


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
    page.wait(lambda: "bits per character" in page.text("#write .status"))
    page.press("Code")
    assert "$CHARLOOM_KEY" in page.text(".code code")
    stored = "JSON.stringify([localStorage, sessionStorage, document.cookie, location.href])"
    assert KEY not in page.run(f"return document.documentElement.outerHTML + {stored}")
    page.open("#models")
    page.wait(lambda: page.shown("dialog"))
    page.press("Not now")
    page.wait(lambda: "requires a valid key" in page.text(".notice"))


def test_the_description_of_the_api_is_shown_with_the_key(closed_page: Page, closed_site: Server) -> None:
    page = closed_page
    page.driver.get("about:blank")
    page.driver.get(f"{page.address}docs#score")
    page.wait(lambda: page.shown("dialog"))
    page.press("Not now")
    page.wait(lambda: "requires a valid key" in page.text(".notice"))
    page.press("Try again")
    give_key(page, KEY)
    page.wait(lambda: page.shown("#score"))
    assert page.run("return document.querySelector('#score').getBoundingClientRect().top") < 100
    saved = page.driver.execute_async_script("""
        const done = arguments[0];
        const create = URL.createObjectURL;
        URL.createObjectURL = (blob) => {
            blob.text().then(done);
            return create.call(URL, blob);
        };
        document.querySelector("[href='openapi.json']").click();
    """)
    document = closed_site.request("GET", "/openapi.json", headers={"Authorization": f"Bearer {KEY}"})[2]
    assert json.loads(saved) == json.loads(document)
    assert KEY not in page.run(
        "return document.documentElement.outerHTML + JSON.stringify([localStorage, sessionStorage])"
    )


def test_a_busy_service_is_asked_again(closed_page: Page, closed_site: Server) -> None:
    page = closed_page
    page.open("#write")
    give_key(page, KEY)
    page.wait(lambda: page.text(".about"))
    connection = closed_site.connect()
    body = json.dumps({"length": ENDLESS, "temperature": 0.5}).encode()
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
    page.wait(lambda: "bits per character" in page.text("#write .status"))

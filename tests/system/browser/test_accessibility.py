"""axe-core finds no violation on any view, light and dark. AXE_CORE is the path of its axe.min.js (see .ci/run)."""

import os
from pathlib import Path

import pytest

from tests import browsers
from tests.system.browser.page import Page
from tests.system.browser.test_views import VIEWS, show

AXE = os.environ.get("AXE_CORE", "")

pytestmark = pytest.mark.skipif(not Path(AXE).is_file(), reason="needs axe-core: AXE_CORE is the path of axe.min.js")


@pytest.mark.parametrize("view", VIEWS)
def test_axe_finds_no_violation(page: Page, view: str) -> None:
    show(page, view)
    page.run(Path(AXE).read_text(encoding="utf-8"))
    assert violations(page) == []
    browsers.prefer(page.driver, "dark")
    if view == "write":
        page.point_at(20, click=True)
        page.wait(lambda: page.shown(".card"))
        page.press("Code")
        page.point_at(20, click=True)
    assert violations(page) == []


def violations(page: Page) -> list[str]:
    found = page.driver.execute_async_script("axe.run().then(arguments[0])")
    return [
        f"{it['id']}: {node['html'][:200]} {node['failureSummary'][:300]}"
        for it in found["violations"]
        for node in it["nodes"]
    ]

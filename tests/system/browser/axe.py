"""axe-core, which examines a page for accessibility. AXE_CORE is the path of axe.min.js (see .ci/run)."""

import os

from tests.system.browser.page import Page

AXE = os.environ.get("AXE_CORE", "")


def violations(page: Page) -> list[str]:
    """The violations in a page that has loaded axe-core."""
    found = page.driver.execute_async_script("axe.run().then(arguments[0])")
    return [
        f"{it['id']}: {node['html'][:200]} {node['failureSummary'][:300]}"
        for it in found["violations"]
        for node in it["nodes"]
    ]

"""The pages that share the playground's style sheet: the description of the API, and the report of a training run."""

from pathlib import Path

import pytest

from tests import browsers
from tests.system.browser.axe import AXE, violations
from tests.system.browser.page import Page
from tests.training.report.runs import write_run
from training.report.write import write_report

PAGES = ("description", "report")


def open_page(page: Page, name: str, folder: Path) -> None:
    if name == "description":
        page.driver.get(f"{page.address}docs")
    else:
        page.driver.get(write_report(write_run(folder)).as_uri())


@pytest.mark.parametrize("name", PAGES)
def test_a_page_fits_on_a_small_phone(page: Page, tmp_path: Path, name: str) -> None:
    browsers.resize(page.driver, (360, 740), scale=2, is_phone=True)
    open_page(page, name, tmp_path)
    assert not page.is_wider_than(360)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_the_playgrounds_colours_light_and_dark(page: Page, tmp_path: Path, name: str) -> None:
    colours = "const {color, backgroundColor} = getComputedStyle(document.body); return [color, backgroundColor]"
    seen = []
    for scheme in ("light", "dark"):
        browsers.prefer(page.driver, scheme)
        page.open("#write")
        expected = page.run(colours)
        open_page(page, name, tmp_path)
        assert page.run(colours) == expected
        seen.append(expected)
    assert seen[0] != seen[1]


@pytest.mark.skipif(not Path(AXE).is_file(), reason="needs axe-core: AXE_CORE is the path of axe.min.js")
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_no_violation(page: Page, tmp_path: Path, name: str) -> None:
    open_page(page, name, tmp_path)
    page.run(Path(AXE).read_text(encoding="utf-8"))
    for scheme in ("light", "dark"):
        browsers.prefer(page.driver, scheme)
        assert violations(page) == []

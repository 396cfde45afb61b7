"""One browser and one service for all tests of the playground."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver

from tests import browsers
from tests.processes import ROOT
from tests.servers import Server
from tests.system.browser.page import KEY, Page
from tests.system.clients import ENDLESS


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests of this folder where a program is missing."""
    missing = [
        name for name, path in (("chromium", browsers.CHROMIUM), ("chromedriver", browsers.CHROMEDRIVER)) if not path
    ]
    for item in items:
        if missing and item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.skip(reason=f"needs {' and '.join(missing)}"))


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    started = browsers.start(tmp_path_factory.mktemp("profile"))
    yield started
    started.quit()


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> Iterator[Server]:
    """A service with the included model and the tiny one."""
    store = tmp_path_factory.mktemp("site") / "models"
    shutil.copytree(ROOT / "models/shakespeare", store / "shakespeare")
    shutil.copytree(tiny / "models/tiny", store / "tiny")
    started = Server(store, engines=1, slots=8, default_model="shakespeare")
    yield started
    started.stop()


@pytest.fixture(scope="session")
def closed_site(tmp_path_factory: pytest.TempPathFactory, tiny: Path) -> Iterator[Server]:
    """A service that requires a key, and has one slot and no queue."""
    folder = tmp_path_factory.mktemp("closed")
    shutil.copytree(tiny / "models", folder / "models")
    (folder / "keys").write_text(f"{KEY}\n")
    started = Server(folder / "models", engines=1, slots=1, queue=0, api_keys_file=folder / "keys", max_length=ENDLESS)
    yield started
    started.stop()


@pytest.fixture
def page(driver: webdriver.Chrome, site: Server) -> Iterator[Page]:
    """The page on a desktop in light colours. At the end it must have logged nothing and asked no other host."""
    opened = Page(driver, f"http://127.0.0.1:{site.port}/")
    yield opened
    opened.check()


@pytest.fixture
def closed_page(driver: webdriver.Chrome, closed_site: Server) -> Iterator[Page]:
    """As `page`, on a service that requires a key; refusals are in the browser's console."""
    opened = Page(driver, f"http://127.0.0.1:{closed_site.port}/")
    yield opened
    opened.check(expected=("401", "429"))

"""Headless Chromium, driven with selenium: its options, its console, the requests of its page."""

import json
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from selenium import webdriver
from selenium.webdriver.chrome.service import Service

from tests.ports import free_port

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
CHROMEDRIVER = shutil.which("chromedriver")
DESKTOP, PHONE = (1280, 900), (390, 844)
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--hide-scrollbars", "--force-color-profile=srgb",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)  # fmt: skip


def start(profile: Path) -> webdriver.Chrome:
    """A browser with an empty profile; every host but this machine is unknown to it."""
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM or ""
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    return webdriver.Chrome(options=options, service=Service(CHROMEDRIVER, port=free_port()))


def resize(browser: webdriver.Chrome, size: tuple[int, int], *, scale: float = 1, is_phone: bool = False) -> None:
    """Give the page a size in CSS pixels. On a phone it is touched, on a desktop pointed at."""
    metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": scale, "mobile": is_phone}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": is_phone})


def prefer(browser: webdriver.Chrome, scheme: str) -> None:
    """The colour scheme of the system: light or dark."""
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def console(browser: webdriver.Chrome) -> list[str]:
    """The warnings and errors since the last call; violations of the content security policy are among them."""
    return [entry["message"] for entry in browser.get_log("browser") if entry["level"] in ("WARNING", "SEVERE")]


def hosts(browser: webdriver.Chrome) -> set[str]:
    """The hosts of all requests since the last call."""
    messages: list[dict[str, Any]] = [
        json.loads(entry["message"])["message"] for entry in browser.get_log("performance")
    ]
    urls = [it["params"]["request"]["url"] for it in messages if it["method"] == "Network.requestWillBeSent"]
    return {urlsplit(url).netloc for url in urls if url.startswith("http")}

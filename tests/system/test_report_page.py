"""The report of a run in a real browser: its script works, it loads nothing, nothing is cut off."""

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path

import pytest

from tests.training.report.runs import LOSSES, write_run
from training.report.write import write_report

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")

# Runs in a copy of the page after the page's own script, and records the visible parts.
RECORD = """
const record = {
  samples: [...document.querySelectorAll("pre")].filter((pre) => pre.checkVisibility()).map((pre) => pre.textContent),
  summaries: [...document.querySelectorAll("summary")].filter((it) => it.checkVisibility()).map((it) => it.textContent),
  curves: [...document.querySelectorAll(".curve")].filter((it) => it.getBoundingClientRect().width > 100).length,
  stepper: document.querySelector(".stepper").checkVisibility(),
  tooWide: document.documentElement.scrollWidth > innerWidth,
};
document.body.dataset.record = JSON.stringify(record);
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a run of five evaluations."""
    return write_report(write_run(tmp_path_factory.mktemp("runs") / "seen"))


def browse(page: Path, *flags: str, first: str = "", without: str = "") -> dict:
    """Open a copy of the page without the matches of `without`, run the script `first`, and return the record."""
    copy = page.with_name("copy.html")
    source = re.sub(without, "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    copy.write_text(source.replace("</body>", f"<script>{first}\n{RECORD}</script></body>"), encoding="utf-8")
    net_log = page.with_name("net.json")
    result = subprocess.run(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
            "--disable-background-networking", "--host-resolver-rules=MAP * ~NOTFOUND",
            f"--user-data-dir={page.parent / 'profile'}", f"--log-net-log={net_log}", "--enable-logging=stderr",
            "--virtual-time-budget=2000", *flags, "--dump-dom", copy.as_uri(),
        ],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    record = json.loads(unescape(re.search(r'data-record="([^"]*)"', result.stdout)[1]))
    console = [line for line in result.stderr.splitlines() if "CONSOLE" in line]
    return record | {"console": console, "requested": requested(net_log)}


def requested(net_log: Path) -> set[str]:
    """The addresses that the page requested over a network; the browser's own requests have no origin."""
    events = [event.get("params", {}) for event in json.loads(net_log.read_text(encoding="utf-8"))["events"]]
    urls = [event["url"] for event in events if event.get("initiator", "not an origin") != "not an origin"]
    return {url for url in urls if not url.startswith(("file:", "data:"))}


def test_the_last_sample_is_visible_and_nothing_is_requested_or_logged(page: Path) -> None:
    seen = browse(page)
    assert seen["console"] == []
    assert seen["requested"] == set()
    assert seen["stepper"]
    assert len(seen["samples"]) == 1
    assert seen["samples"][0].startswith("hot 5")
    assert seen["curves"] == 4  # losses of training and validation, learning rate, speed
    assert not seen["tooWide"]


def test_a_request_or_an_error_would_be_recorded(page: Path) -> None:
    image = "new Image().src = 'http://127.0.0.1:9/x.png';"
    blocked = browse(page, first=f"{image} setTimeout(() => none.such());")
    assert any("ReferenceError" in line for line in blocked["console"])
    assert any("Content Security Policy" in line for line in blocked["console"])
    assert blocked["requested"] == set()
    allowed = browse(page, first=image, without="<meta http-equiv[^>]*>")
    assert allowed["requested"] == {"http://127.0.0.1:9/x.png"}


def test_the_buttons_choose_an_evaluation_and_a_temperature(page: Path) -> None:
    back = "document.querySelector('[data-by=\"-1\"]').click();"
    cool = "document.querySelector('.bar button').click();"
    seen = browse(page, first=back + back + cool)
    assert [text.partition(" <")[0] for text in seen["samples"]] == ["cool 3"]
    assert f"{LOSSES[2]:.3f} nats" in seen["summaries"][0]
    beyond = browse(page, first=back * 9)
    assert [text[:5] for text in beyond["samples"]] == ["hot 1"]


def test_without_script_every_sample_can_be_unfolded(page: Path) -> None:
    seen = browse(page, without="<script>.*?</script>")
    assert [text.partition(" ·")[0] for text in seen["summaries"][:-2]] == [f"epoch {n / 2:g}" for n in range(1, 6)]
    assert "at their defaults" in seen["summaries"][-2]
    # Those of the last evaluation; the others are folded.
    assert [text.strip()[:5] for text in seen["samples"]] == ["cool ", "hot 5"]
    assert not seen["stepper"]
    assert seen["console"] == []


def test_on_a_narrow_screen_nothing_is_cut_off(page: Path) -> None:
    seen = browse(page, "--window-size=500,900")
    assert not seen["tooWide"]
    assert seen["curves"] == 4

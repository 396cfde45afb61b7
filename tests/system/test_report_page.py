"""A run's report in a real browser: its script works, nothing is asked for, nothing is cut off."""

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

# Run in a copy of the page after its own script: does what a person does, notes what a person would see.
NOTE = """
const note = {
  samples: [...document.querySelectorAll("pre")].filter((pre) => pre.checkVisibility()).map((pre) => pre.textContent),
  summaries: [...document.querySelectorAll("summary")].filter((it) => it.checkVisibility()).map((it) => it.textContent),
  curves: [...document.querySelectorAll(".curve")].filter((it) => it.getBoundingClientRect().width > 100).length,
  stepper: document.querySelector(".stepper").checkVisibility(),
  tooWide: document.documentElement.scrollWidth > innerWidth,
};
document.body.dataset.note = JSON.stringify(note);
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(write_run(tmp_path_factory.mktemp("runs") / "seen"))


def browse(page: Path, *flags: str, first: str = "", without: str = "") -> dict:
    """Open a copy of the page, less what matches `without`; script `first` runs before what is visible is noted."""
    copy = page.with_name("copy.html")
    source = re.sub(without, "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    copy.write_text(source.replace("</body>", f"<script>{first}\n{NOTE}</script></body>"), encoding="utf-8")
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
    note = json.loads(unescape(re.search(r'data-note="([^"]*)"', result.stdout)[1]))
    console = [line for line in result.stderr.splitlines() if "CONSOLE" in line]
    return note | {"console": console, "asked": asked(net_log)}


def asked(net_log: Path) -> set[str]:
    """Every address that the page asked for over a network; the browser's own requests have no origin."""
    events = [event.get("params", {}) for event in json.loads(net_log.read_text(encoding="utf-8"))["events"]]
    begun = [event["url"] for event in events if event.get("initiator", "not an origin") != "not an origin"]
    return {url for url in begun if not url.startswith(("file:", "data:"))}


def test_the_last_sample_is_visible_and_the_page_is_quiet(page: Path) -> None:
    seen = browse(page)
    assert seen["console"] == []
    assert seen["asked"] == set()
    assert seen["stepper"]
    assert len(seen["samples"]) == 1
    assert seen["samples"][0].startswith("hot 5")
    assert seen["curves"] == 4  # both losses, once, and rate and speed
    assert not seen["tooWide"]


def test_a_request_or_an_error_would_be_noticed(page: Path) -> None:
    image = "new Image().src = 'http://127.0.0.1:9/x.png';"
    blocked = browse(page, first=f"{image} setTimeout(() => none.such());")
    assert any("ReferenceError" in line for line in blocked["console"])
    assert any("Content Security Policy" in line for line in blocked["console"])
    assert blocked["asked"] == set()
    allowed = browse(page, first=image, without="<meta http-equiv[^>]*>")
    assert allowed["asked"] == {"http://127.0.0.1:9/x.png"}


def test_stepping_back_and_choosing_a_temperature_shows_that_sample(page: Path) -> None:
    back = "document.querySelector('[data-by=\"-1\"]').click();"
    cool = "document.querySelector('.tabs button').click();"
    seen = browse(page, first=back + back + cool)
    assert [text.partition(" <")[0] for text in seen["samples"]] == ["cool 3"]
    assert f"{LOSSES[2]:.3f} nats" in seen["summaries"][0]
    beyond = browse(page, first=back * 9)
    assert [text[:5] for text in beyond["samples"]] == ["hot 1"]


def test_without_script_every_sample_can_be_unfolded(page: Path) -> None:
    seen = browse(page, without="<script>.*?</script>")
    assert [text.partition(" ·")[0] for text in seen["summaries"][:-2]] == [f"epoch {n / 2:g}" for n in range(1, 6)]
    assert "at their defaults" in seen["summaries"][-2]
    assert [text.strip()[:5] for text in seen["samples"]] == ["cool ", "hot 5"]  # of the last: the others are folded
    assert not seen["stepper"]
    assert seen["console"] == []


def test_a_narrow_screen_cuts_nothing_off(page: Path) -> None:
    seen = browse(page, "--window-size=500,900")
    assert not seen["tooWide"]
    assert seen["curves"] == 4

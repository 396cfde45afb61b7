"""Size, first paint and frame times of the playground: `python -m bench.page [ADDRESS]`, beside a service.

The bytes are those that the browser receives for the page and all of its views, without the responses of the API. The
characters of the measured text are made in the browser, 2,500 a second with five guesses each, so that the speed of the
service plays no part. `bench.page_memory` measures the memory.
"""

import json
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from selenium import webdriver

from tests import browsers
from tests.waiting import wait_until

CHARS = 20_000
PER_SECOND = 2_500
LOADS = 5
VIEWS = ("write", "compare", "inside", "models", "score")
FRAMES = """
(async (chars, perSecond, done) => {
const {TextView} = await import(new URL("static/text.js", document.baseURI));
const words = "To be or not to be that is the question whether it is nobler in the mind to suffer".split(" ");
let line = 0;
function* letters() {
  for (;;) {
    for (const letter of words[Math.floor(Math.random() * words.length)] + " ") yield letter;
    if ((line += 1) % 8 === 0) yield "\\n";
  }
}
const source = letters();
const next = () => {
  const top = Array.from({length: 5}, (_, index) => ["abcde"[index], -1 - index]);
  return {text: source.next().value, logprob: -8 * Math.random() ** 3, top};
};
const view = new TextView("A measured text");
const frames = [];
document.querySelector("main").replaceChildren(view.element);
view.onFrame = () => (document.scrollingElement.scrollTop = document.scrollingElement.scrollHeight);
const began = performance.now();
let made = 0;
for (let before = began; made < chars; ) {
  const now = await new Promise(requestAnimationFrame);
  frames.push(now - before);
  before = now;
  const due = Math.min(chars, Math.floor(((now - began) / 1000) * perSecond)) - made;
  view.push(Array.from({length: Math.max(0, due)}, next));
  made += Math.max(0, due);
}
await view.drained();
const sorted = frames.slice(2).sort((one, other) => one - other);
const at = (part) => Math.round(sorted[Math.floor((sorted.length - 1) * part)] * 10) / 10;
done({frames: sorted.length, p50_ms: at(0.5), p90_ms: at(0.9), p99_ms: at(0.99), longest_ms: at(1)});
}).apply(null, arguments);
"""
FILES = """
const entries = [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")];
const isFile = ({name}) => /\\/(static\\/[^/]*)?([#?].*)?$/.test(name);
return entries.filter(isFile).map((entry) => entry.encodedBodySize);
"""
PAINT = "return performance.getEntriesByName('first-contentful-paint')[0]?.startTime"


def load(driver: webdriver.Chrome, address: str) -> dict[str, Any]:
    """The bytes of all views, and the first contentful paint without a cache: the median of some loads."""
    paints = []
    for _ in range(LOADS):
        driver.get("about:blank")
        driver.execute_cdp_cmd("Network.clearBrowserCache", {})
        driver.get(address)
        paints.append(wait_until(lambda: driver.execute_script(PAINT)))
    first = driver.execute_script(FILES)
    for view in VIEWS:
        driver.execute_script("location.hash = arguments[0]", view)
        wait_until(lambda view=view: driver.execute_script("return document.querySelector('main section')?.id") == view)
    every = driver.execute_script(FILES)
    return {
        "first_view": {"files": len(first), "bytes": sum(first)},
        "all_views": {"files": len(every), "bytes": sum(every)},
        "first_contentful_paint_ms": round(statistics.median(paints)),
    }


def main() -> None:
    """Print the numbers."""
    address = sys.argv[1] if len(sys.argv) > 1 else "http://localhost:8000/"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        driver = browsers.start(Path(profile))
        driver.set_script_timeout(300)
        browsers.resize(driver, browsers.DESKTOP)
        print(json.dumps(load(driver, address)))
        print(json.dumps(driver.execute_async_script(FRAMES, CHARS, PER_SECOND)))
        driver.quit()


if __name__ == "__main__":
    main()

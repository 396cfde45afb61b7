"""Memory of the playground: `python -m bench.page_memory [ADDRESS] [--minutes 10]`, beside a service.

Write makes texts of 20,000 shaded characters, one after the other with Again, so that Back has the texts before. The
responses are made in the browser, 2,500 characters a second with five guesses each, so that the speed of the service
plays no part. After each text, the garbage is collected, and the heap and the nodes of the document are counted.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

from tests import browsers
from tests.system.browser.page import Page

CHARS = 20_000
PER_SECOND = 2_500
# Answers POST /generate with a stream of events like those of the service.
ANSWER = """
const [length, perSecond] = arguments;
const words = "To be or not to be that is the question whether it is nobler in the mind to suffer".split(" ");
function* letters() {
  for (let word = 1; ; word += 1) {
    yield* words[Math.floor(Math.random() * words.length)];
    yield word % 8 ? " " : "\\n";
  }
}
const event = (object) => `data: ${JSON.stringify(object)}\\n\\n`;
const guesses = () => Array.from("abcde", (letter, at) => [letter, -1 - at - Math.random()]);
const send = fetch;
window.fetch = (url, options) => {
  if (!String(url).endsWith("generate")) return send(url, options);
  const source = letters();
  let made = 0;
  const pull = async (controller) => {
    await new Promise((resolve) => setTimeout(resolve, 20));
    const due = Math.min(length - made, Math.round(perSecond / 50));
    const events = Array.from({length: due}, (_, at) => event(
      {index: made + at, text: source.next().value, logprob: -8 * Math.random() ** 3, top: guesses()}));
    made += due;
    if (made === length) events.push(event({finish_reason: "length", timings: {chars_per_second: perSecond}}));
    controller.enqueue(new TextEncoder().encode(events.join("")));
    if (made === length) controller.close();
  };
  const headers = {"X-Model": "measured", "X-Model-Version": "1", "X-Seed": "1"};
  return Promise.resolve(new Response(new ReadableStream({pull}), {headers}));
};
"""


def measure(page: Page) -> dict[str, float]:
    """The heap in MB and the nodes, without garbage."""
    page.driver.execute_cdp_cmd("HeapProfiler.collectGarbage", {})
    metrics = page.driver.execute_cdp_cmd("Performance.getMetrics", {})["metrics"]
    found = {metric["name"]: metric["value"] for metric in metrics}
    return {"heap_mb": round(found["JSHeapUsedSize"] / 1e6, 1), "nodes": int(found["Nodes"])}


def run(page: Page, minutes: float) -> None:
    """Make texts, and print a line after each."""
    page.open("#write")
    page.wait(lambda: page.text(".about"))
    page.driver.execute_cdp_cmd("Performance.enable", {})
    page.run(ANSWER, CHARS, PER_SECOND)
    page.fill("length", str(CHARS))
    began = time.monotonic()
    texts = 0
    print(json.dumps({"minutes": 0, "texts": 0} | measure(page)), flush=True)
    while (elapsed_min := (time.monotonic() - began) / 60) < minutes:
        page.press("Again" if texts else "Start")
        page.wait(lambda: page.shown("button.main")[0].text == "Continue", 300)
        assert page.run("return document.querySelector('#write .text').textContent.length") == CHARS
        texts += 1
        print(json.dumps({"minutes": round(elapsed_min, 1), "texts": texts} | measure(page)), flush=True)


def main() -> None:
    """Measure as the arguments say."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("address", nargs="?", default="http://localhost:8000/")
    parser.add_argument("--minutes", type=float, default=10)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        driver = browsers.start(Path(profile))
        run(Page(driver, arguments.address), arguments.minutes)
        driver.quit()


if __name__ == "__main__":
    main()

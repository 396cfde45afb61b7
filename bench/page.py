"""Frame times and memory of the playground's text while it grows: `python -m bench.page [ADDRESS]`, beside a service.

The characters are drawn in the browser, 2,500 a second with five guesses each, so that the speed of the service and of
its machine's network plays no part: first 20,000 characters once, then texts of 5,000 one after the other.
"""

import json
import sys
import tempfile
from pathlib import Path

from tests import browsers

CHARS = 20_000
TEXTS = 20
PER_SECOND = 2_500
MEASURE = """
(async (chars, texts, perSecond, done) => {
const {TextView} = await import(new URL("static/text.js", document.baseURI));
const main = document.querySelector("main");
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
const stream = async (length) => {
  const view = new TextView("A measured text");
  const frames = [];
  main.replaceChildren(view.element);
  view.onFrame = () => (document.scrollingElement.scrollTop = document.scrollingElement.scrollHeight);
  const began = performance.now();
  let made = 0;
  for (let before = began; made < length; ) {
    const now = await new Promise(requestAnimationFrame);
    frames.push(now - before);
    before = now;
    const due = Math.min(length, Math.floor(((now - began) / 1000) * perSecond)) - made;
    view.push(Array.from({length: Math.max(0, due)}, next));
    made += Math.max(0, due);
  }
  await view.drained();
  return frames.slice(2).sort((one, other) => one - other);
};
const heap = () => Math.round(performance.memory.usedJSHeapSize / 1e5) / 10;
const frames = await stream(chars);
const memory = [heap()];
for (let text = 0; text < texts; text += 1) {
  await stream(5000);
  if (text % 5 === 4) memory.push(heap());
}
const at = (part) => Math.round(frames[Math.floor((frames.length - 1) * part)] * 10) / 10;
done({frames: frames.length, p50_ms: at(0.5), p90_ms: at(0.9), p99_ms: at(0.99), longest_ms: at(1), heap_mb: memory});
}).apply(null, arguments);
"""


def main() -> None:
    """Print the times and the memory."""
    address = sys.argv[1] if len(sys.argv) > 1 else "http://localhost:8000/"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        driver = browsers.start(Path(profile))
        driver.set_script_timeout(300)
        browsers.resize(driver, browsers.DESKTOP)
        driver.get(address + "#models")
        measured = driver.execute_async_script(MEASURE, CHARS, TEXTS, PER_SECOND)
        print(json.dumps(measured))
        driver.quit()


if __name__ == "__main__":
    main()

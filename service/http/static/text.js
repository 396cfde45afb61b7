// A text of characters with probabilities. It is appended to once per frame, as runs of equal shade, one block a line,
// so that the browser lays out only the last line again and skips the lines that are not on the screen.

import {chance, h} from "./dom.js";

/** Probabilities below which the next shade begins. */
const SHADES = [0.3, 0.1, 0.03, 0.01, 0.001];
const MOST_CHARS_A_FRAME = 1500;
const READING = 32; // characters a second

const bits = (logprob) => -logprob / Math.LN2;

function classOf({logprob, chosen}) {
  if (logprob === undefined) return chosen ? "chosen" : "given";
  const probability = Math.exp(logprob);
  const shade = `s${SHADES.filter((limit) => probability < limit).length}`;
  return chosen ? `${shade} chosen` : shade;
}

/** Shows characters: objects with `text`, and `logprob`, `top` and `chosen` where they have them. */
export class TextView {
  characters = [];
  #offsets = []; // of each character, in UTF-16 units, since the nodes count in them
  #units = 0;
  #lines = []; // {element, start}: start is in UTF-16 units
  #isLineOpen = false;
  #queue = [];
  #frame = 0;
  #credit = 0;
  #before = 0;
  #drained = [];

  constructor(label) {
    this.element = h("div", {class: "text", role: "group", "aria-label": label, tabindex: 0});
    this.element.addEventListener("copy", (event) => this.#copy(event));
  }

  /** Whether characters appear at the speed of reading. */
  isSlow = false;

  /** Called after each frame that has added characters. */
  onFrame = () => {};

  get text() {
    return this.characters.map((character) => character.text).join("");
  }

  load(characters) {
    this.drop();
    this.truncate(0);
    this.#append(characters);
  }

  push(characters) {
    for (const character of characters) this.#queue.push(character);
    this.#schedule();
  }

  /** Forget the characters that are not shown yet. */
  drop() {
    this.#queue = [];
    this.#release();
  }

  /** Wait until all characters are shown. */
  drained() {
    return this.#queue.length ? new Promise((resolve) => this.#drained.push(resolve)) : Promise.resolve();
  }

  /** Keep the first `length` characters. */
  truncate(length) {
    if (length >= this.characters.length) return;
    const end = this.#offsets[length];
    while (this.#lines.length && this.#lines.at(-1).start >= end) this.#lines.pop().element.remove();
    const cut = this.#lines.pop();
    const first = cut ? this.#characterAt(cut.start) : 0;
    const again = this.characters.slice(first, length);
    cut?.element.remove();
    this.characters.length = this.#offsets.length = first;
    this.#units = cut ? cut.start : 0;
    this.#isLineOpen = false;
    this.#append(again);
  }

  /** The index of the character at a point of the window, or -1. */
  indexAt(x, y) {
    const caret = caretAt(x, y);
    if (!caret || !this.element.contains(caret.node)) return -1;
    const near = this.#indexOf(caret.node, caret.offset);
    for (const index of [near, near - 1, near + 1]) {
      if (index < 0 || index >= this.characters.length) continue;
      const box = this.boxOf(index);
      if (x >= box.left && x <= box.right && y >= box.top - 4 && y <= box.bottom + 4) return index;
    }
    return -1;
  }

  /** The rectangle of a character in the window. */
  boxOf(index) {
    const range = this.#rangeOf(index);
    const span = range.startContainer.parentElement;
    return span.classList.contains("nl") ? span.getClientRects()[0] : range.getBoundingClientRect();
  }

  lineOf(index) {
    return this.#line(this.#offsets[index]).element;
  }

  #schedule() {
    if (!this.#frame && this.#queue.length) {
      this.#before = performance.now();
      this.#frame = requestAnimationFrame((now) => this.#show(now));
    }
  }

  #show(now) {
    this.#frame = 0;
    let shown = MOST_CHARS_A_FRAME;
    if (this.isSlow) {
      this.#credit = Math.min(this.#credit + ((now - this.#before) / 1000) * READING, 8);
      shown = Math.floor(this.#credit);
      this.#credit -= shown;
    }
    if (shown > 0) {
      this.#append(this.#queue.splice(0, shown));
      this.onFrame();
    }
    this.#before = now;
    if (this.#queue.length) this.#frame = requestAnimationFrame((next) => this.#show(next));
    else this.#release();
  }

  #release() {
    for (const resolve of this.#drained.splice(0)) resolve();
  }

  #append(characters) {
    let run = "";
    let kind = "";
    const close = () => {
      if (run) this.#addRun(run, kind);
      run = "";
    };
    for (const character of characters) {
      const isBreak = character.text === "\n";
      const next = isBreak ? `${classOf(character)} nl` : classOf(character);
      if (next !== kind || !this.#isLineOpen) close();
      if (!this.#isLineOpen) this.#openLine();
      this.characters.push(character);
      this.#offsets.push(this.#units);
      this.#units += character.text.length;
      run += character.text;
      kind = next;
      if (isBreak) {
        close();
        this.#isLineOpen = false;
      }
    }
    close();
  }

  #openLine() {
    const element = h("div", {class: "line"});
    this.element.append(element);
    this.#lines.push({element, start: this.#units});
    this.#isLineOpen = true;
  }

  #addRun(run, kind) {
    const line = this.#lines.at(-1).element;
    const last = line.lastChild;
    if (last?.className === kind) last.firstChild.appendData(run);
    else line.append(h("span", {class: kind}, run));
  }

  #characterAt(unit) {
    return search(this.#offsets.length, (index) => this.#offsets[index] <= unit);
  }

  #line(unit) {
    return this.#lines[search(this.#lines.length, (index) => this.#lines[index].start <= unit)];
  }

  #rangeOf(index) {
    const unit = this.#offsets[index];
    const {element, start} = this.#line(unit);
    let left = unit - start;
    let span = element.firstChild;
    while (left >= span.firstChild.length) {
      left -= span.firstChild.length;
      span = span.nextSibling;
    }
    const range = document.createRange();
    range.setStart(span.firstChild, left);
    range.setEnd(span.firstChild, left + this.characters[index].text.length);
    return range;
  }

  /** The index of the character at a position of the document, or -1. */
  #indexOf(node, offset) {
    const unit = this.#unitOf(node, offset);
    return unit < 0 ? -1 : this.#characterAt(unit);
  }

  #unitOf(node, offset) {
    const element = (node.nodeType === Node.TEXT_NODE ? node.parentElement : node).closest(".line");
    if (!element) return -1;
    let unit = this.#lines.find((line) => line.element === element).start;
    let span = element.firstChild;
    if (node.nodeType === Node.TEXT_NODE) {
      for (; span.firstChild !== node; span = span.nextSibling) unit += span.firstChild.length;
      unit += offset;
    }
    return unit;
  }

  #copy(event) {
    const range = getSelection().rangeCount && getSelection().getRangeAt(0);
    if (!range || !this.element.contains(range.commonAncestorContainer)) return;
    const start = this.#unitOf(range.startContainer, range.startOffset);
    const end = this.#unitOf(range.endContainer, range.endOffset);
    if (start < 0 || end < 0) return;
    const last = end < this.#units ? this.#characterAt(end) : this.characters.length;
    const copied = this.characters.slice(this.#characterAt(start), last).map((character) => character.text);
    event.clipboardData.setData("text/plain", copied.join(""));
    event.preventDefault();
  }
}

/** The last of `length` indices for which `isBefore` holds; they are the first ones. */
export function search(length, isBefore) {
  let low = 0;
  let high = length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (isBefore(middle)) low = middle;
    else high = middle - 1;
  }
  return low;
}

function caretAt(x, y) {
  if (document.caretPositionFromPoint) {
    const caret = document.caretPositionFromPoint(x, y);
    return caret && {node: caret.offsetNode, offset: caret.offset};
  }
  const range = document.caretRangeFromPoint?.(x, y);
  return range && {node: range.startContainer, offset: range.startOffset};
}

/** The mean surprise of characters in bits; NaN without any. */
export function meanBits(characters) {
  const known = characters.filter((character) => character.logprob !== undefined);
  return known.reduce((sum, character) => sum + bits(character.logprob), 0) / known.length;
}

/** The shades, with the probabilities at which they begin. */
export function legend() {
  const names = ["likely", ...SHADES.map((limit) => `< ${chance(limit)}`)];
  return h("p", {class: "legend"}, names.map((name, shade) => h("span", {class: `s${shade}`}, name)));
}

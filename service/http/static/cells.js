// A text in rows of equal cells, with the activation of a unit over each character and the guesses under it. The rows are
// text; only those near the visible part have a canvas.

import {glyph, h} from "./dom.js";
import {onLook, palette} from "./palette.js";
import {drawRow} from "./rows.js";
import {search} from "./text.js";

const SIZES = {cell: 0.625, graph: 1.125, line: 1.5, guess: 0.875, gap: 0.625}; // in the root's font size
const GUESSES = 5;
const LONGEST_CUT = 16; // a longer word is divided between two rows
const WIDE = 0x1100; // the first code point whose letters may be wider than a cell

/** Shows characters: objects with `text`, `logprob` and `top`. It has the interface that `inspectable` needs. */
export class CellText {
  characters = [];
  #values = new Float32Array();
  #rows = []; // {element, from, to, canvas}
  #columns = 0;
  #hasGuesses = true;
  #look = null; // the arguments of drawRow besides the row

  #watch;

  constructor(label) {
    this.element = h("div", {class: "cells", role: "group", "aria-label": label, tabindex: 0});
    this.#watch = new IntersectionObserver((entries) => this.#see(entries), {root: this.element, rootMargin: "400px 0px"});
    new ResizeObserver(() => this.#fit()).observe(this.element);
    onLook(() => this.#redraw());
  }

  /** Show these characters in place of the present ones, without activations. */
  load(characters) {
    this.characters = characters;
    this.#values = new Float32Array(characters.length).fill(NaN);
    this.#columns = 0;
    this.element.scrollTop = 0;
    this.#fit();
  }

  /** Show the activations of a unit, one for each character; NaN where there is none. */
  paint(values) {
    this.#values = values;
    this.#redraw();
  }

  withGuesses(isOn) {
    this.#hasGuesses = isOn;
    this.#columns = 0;
    this.#fit();
  }

  reveal(index) {
    this.lineOf(index)?.scrollIntoView({block: "nearest"});
  }

  /** The index of the character at a point of the window, or -1. */
  indexAt(x, y) {
    const element = document.elementFromPoint(x, y)?.closest(".cell-row");
    const row = this.#rows.find((one) => one.element === element);
    if (!row) return -1;
    const index = row.from + Math.floor((x - element.getBoundingClientRect().left) / this.#pixels("cell"));
    return index < row.to ? index : -1;
  }

  /** The rectangle of a character in the window. */
  boxOf(index) {
    const row = this.#rowOf(index);
    const {left, top} = row.element.getBoundingClientRect();
    const cell = this.#pixels("cell");
    return new DOMRect(left + (index - row.from) * cell, top + this.#pixels("graph"), cell, this.#pixels("line"));
  }

  lineOf(index) {
    return this.#rowOf(index).element;
  }

  #rowOf(index) {
    return this.#rows[search(this.#rows.length, (row) => this.#rows[row].from <= index)];
  }

  #pixels(name) {
    return SIZES[name] * parseFloat(getComputedStyle(document.documentElement).fontSize);
  }

  /** Build the rows for the width of the element. */
  #fit() {
    const columns = Math.floor(this.element.clientWidth / this.#pixels("cell"));
    if (!columns || columns === this.#columns) return;
    this.#columns = columns;
    this.#watch.disconnect();
    const guesses = this.#hasGuesses ? GUESSES * SIZES.guess : 0;
    const height = SIZES.graph + SIZES.line + guesses + SIZES.gap;
    for (const [name, size] of Object.entries({...SIZES, height})) this.element.style.setProperty(`--${name}`, `${size}rem`);
    this.#rows = rowsOf(this.characters, columns).map(([from, to]) => {
      const letters = h("span", {class: "letters"}, lettersOf(this.characters.slice(from, to)));
      return {element: h("div", {class: "cell-row"}, letters), from, to, canvas: null};
    });
    this.element.replaceChildren(...this.#rows.map((row) => row.element));
    this.#look = null;
    for (const row of this.#rows) this.#watch.observe(row.element);
  }

  #see(entries) {
    const rows = new Map(this.#rows.map((row) => [row.element, row]));
    for (const {target, isIntersecting} of entries) {
      const row = rows.get(target);
      if (!row || isIntersecting === Boolean(row.canvas)) continue;
      if (isIntersecting) {
        row.canvas = h("canvas", {"aria-hidden": "true"});
        target.prepend(row.canvas);
        this.#draw(row);
      } else {
        row.canvas.remove();
        row.canvas = null;
      }
    }
  }

  #redraw() {
    this.#look = null;
    for (const row of this.#rows) if (row.canvas) this.#draw(row);
  }

  #draw({canvas, from, to}) {
    this.#look ??= this.#newLook();
    drawRow(canvas, {characters: this.characters, values: this.#values, from, to}, this.#look);
  }

  #newLook() {
    const guess = this.#hasGuesses ? this.#pixels("guess") : 0;
    const [cell, graph, line] = ["cell", "graph", "line"].map((name) => this.#pixels(name));
    const font = `${guess * 0.82}px ${getComputedStyle(this.element).fontFamily}`;
    return {cell, graph, line, guess, font, height: graph + line + GUESSES * guess, density: devicePixelRatio, colours: palette()};
  }
}

/**
 * The first and last positions of rows. A row ends with line breaks, or after at most `columns` characters, where possible
 * after a space.
 */
export function rowsOf(characters, columns) {
  const rows = [];
  let from = 0;
  while (from < characters.length) {
    const most = Math.min(from + columns, characters.length);
    const row = characters.slice(from, most).map(({text}) => text);
    let to = from + row.indexOf("\n") + 1;
    if (to === from) {
      const space = row.lastIndexOf(" ");
      to = most < characters.length && space > Math.max(columns - LONGEST_CUT, 0) ? from + space + 1 : most;
    }
    while (to < most && characters[to - 1].text === "\n" && characters[to].text === "\n") to += 1;
    rows.push([from, to]);
    from = to;
  }
  return rows;
}

/** Nodes as wide as their cells: ASCII is spaced by the style sheet, other characters have boxes. */
function lettersOf(characters) {
  const nodes = [];
  for (const {text} of characters) {
    const isPlain = text >= " " && text < "\u007f";
    if (isPlain && typeof nodes.at(-1) === "string") nodes[nodes.length - 1] += text;
    else if (isPlain) nodes.push(text);
    else nodes.push(h("span", {class: `boxed ${text.codePointAt(0) >= WIDE ? "wide-letter" : ""}`}, glyph(text)));
  }
  return nodes;
}

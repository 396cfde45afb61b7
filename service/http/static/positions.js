// A unit over a text in words: its name, the features that it tracks, and the positions at which it is strongest.

import {glyph, h} from "./dom.js";

const AROUND = 24; // characters on each side of a position
const MOST = 5; // positions of each sign
const APART = 32; // characters between two positions

export const signed = (value) => `${value < 0 ? "−" : "+"}${Math.abs(value).toFixed(2)}`;

/** The heading over the text, and the table under it. `onGo(index)` is called when a position is chosen. */
export class UnitFacts {
  title = h("h2", {}, "\u00a0");
  facts = h("p", {class: "note"}, "\u00a0");
  #table = h("div", {class: "wide", tabindex: 0, role: "group", "aria-label": "Strongest positions"});
  positions = h("details", {}, h("summary", {}, "Strongest positions"), this.#table);

  constructor(onGo) {
    this.onGo = onGo;
  }

  /** Show a unit. `words` name the features that it tracks, if there are any. */
  show([layer, unit], characters, values, words) {
    const order = [...values.keys()].filter((index) => Number.isFinite(values[index])).sort((one, other) => values[other] - values[one]);
    this.title.textContent = `Layer ${layer}, unit ${unit}`;
    const range = order.length ? `From ${signed(values[order.at(-1)])} to ${signed(values[order[0]])} here.` : "";
    this.facts.textContent = `${words ? `${words[0].toUpperCase()}${words.slice(1)}. ` : ""}${range}` || "\u00a0";
    const high = strongest(order, (index) => values[index] > 0);
    const low = strongest(order.reverse(), (index) => values[index] < 0);
    this.#table.replaceChildren(h("table", {}, h("caption", {class: "unseen"}, "The highest and the lowest activations"),
      h("thead", {}, h("tr", {}, ["Activation", "Position", "Text"].map((head) => h("th", {scope: "col"}, head)))),
      h("tbody", {}, [...high, ...low.reverse()].map((index) => this.#row(characters, index, values[index])))));
  }

  get sentence() {
    return `${this.title.textContent}. ${this.facts.textContent}`;
  }

  #row(characters, index, value) {
    const around = (from, to) => characters.slice(Math.max(0, from), to).map(({text}) => (text === " " ? text : glyph(text))).join("");
    const go = h("button", {type: "button", class: "quiet context", onclick: () => this.onGo(index)},
      around(index - AROUND, index), h("mark", {}, glyph(characters[index].text)), around(index + 1, index + AROUND));
    return h("tr", {}, h("td", {"data-head": "Activation", class: value < 0 ? "low" : "high"}, signed(value)),
      h("td", {"data-head": "Position"}, index + 1), h("td", {"data-head": "Text"}, go));
  }
}

/** The first positions of a ranking, apart from each other. */
function strongest(order, isWanted) {
  const found = [];
  for (const index of order) {
    if (found.length === MOST || !isWanted(index)) break;
    if (found.every((one) => Math.abs(one - index) >= APART)) found.push(index);
  }
  return found;
}

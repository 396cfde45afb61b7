// The units of a layer as a grid of small pictures: each is the text, one pixel a character, in the unit's colours.

import {count, h} from "./dom.js";
import {onLook, palette} from "./palette.js";

/** `onChoose(layer, unit)` is called when the reader moves to a unit, `onOpen(layer)` for the pictures of a layer. */
export class UnitGrid {
  layer = 0;
  #options = [];
  #reading = null;
  #chosen = -1;

  constructor(onChoose, onOpen) {
    Object.assign(this, {onChoose, onOpen});
    this.tabs = h("div", {class: "bar", role: "group", "aria-label": "Layer"});
    this.note = h("p", {class: "note"});
    this.grid = h("div", {class: "units", role: "listbox", "aria-label": "Units", onkeydown: (event) => this.#onKey(event)});
    this.element = h("section", {hidden: true, "aria-label": "All units"}, this.tabs, this.note, this.grid);
    onLook(() => this.#drawAll());
  }

  /** Offer the layers; the pictures of `layer` are still to come. */
  open(reading, layer, size) {
    const {pictureChars, characters} = reading;
    this.layer = layer;
    this.#reading = null;
    this.tabs.replaceChildren(...Array.from({length: size.layers}, (_, number) =>
      h("button", {type: "button", class: "quiet", "aria-pressed": String(number === layer), onclick: () => this.onOpen(number)}, `Layer ${number}`)));
    const part = pictureChars < characters.length ? `the first ${count(pictureChars)} characters` : "the text";
    this.note.textContent = `${count(size.units)} units, each over ${part}. Arrow keys move from one to the next.`;
    this.grid.hidden = true;
    this.element.hidden = false;
  }

  /** Show the pictures. `tracked` has the words for units that track a feature. */
  show(reading, units, tracked) {
    this.#reading = reading;
    if (this.#options.length !== units) {
      this.#options = Array.from({length: units}, (_, unit) => this.#option(unit));
      this.grid.replaceChildren(...this.#options);
    }
    this.grid.setAttribute("aria-label", `Units of layer ${this.layer}`);
    this.grid.hidden = false;
    this.#options.forEach((option, unit) => {
      const words = tracked.get(`${this.layer}.${unit}`);
      option.setAttribute("aria-label", words ? `Unit ${unit}, ${words}` : `Unit ${unit}`);
      option.title = words ?? "";
      option.classList.toggle("known", Boolean(words));
    });
    this.#drawAll();
  }

  mark(layer, unit) {
    this.#options[this.#chosen]?.setAttribute("aria-selected", "false");
    this.#chosen = layer === this.layer ? unit : -1;
    const option = this.#options[this.#chosen];
    option?.setAttribute("aria-selected", "true");
    const reachable = Math.max(this.#chosen, 0);
    this.#options.forEach((one, index) => (one.tabIndex = index === reachable ? 0 : -1));
    if (!option) return;
    const {offsetTop: top, offsetHeight: height} = option; // only the grid is scrolled, not the page
    const {scrollTop, clientHeight} = this.grid;
    if (top < scrollTop || top + height > scrollTop + clientHeight) this.grid.scrollTop = top - (clientHeight - height) / 2;
  }

  #option(unit) {
    const choose = () => this.onChoose(this.layer, unit);
    return h("div", {role: "option", "aria-selected": "false", tabindex: -1, onclick: choose},
      h("canvas", {"aria-hidden": "true"}), h("span", {"aria-hidden": "true"}, unit));
  }

  #onKey(event) {
    const at = this.#options.indexOf(document.activeElement);
    if (at < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
    const top = this.#options[0].offsetTop;
    const columns = this.#options.filter((option) => option.offsetTop === top).length;
    const last = this.#options.length - 1;
    const moves = {
      ArrowLeft: at - 1, ArrowRight: at + 1, ArrowUp: at - columns, ArrowDown: at + columns, Home: 0, End: last,
      Enter: at, " ": at,
    };
    const next = moves[event.key];
    if (next === undefined) return;
    event.preventDefault();
    if (next < 0 || next > last) return;
    this.#options[next].focus();
    this.onChoose(this.layer, next);
  }

  #drawAll() {
    if (!this.#reading) return;
    const {"up-mark": up, "down-mark": down} = palette();
    this.#options.forEach((option, unit) => draw(option.firstChild, this.#reading, this.#reading.activations(this.layer, unit), [up, down]));
  }
}

function draw(canvas, {pictureRows: rows}, values, [up, down]) {
  canvas.width = Math.max(...rows.map(([from, to]) => to - from));
  canvas.height = rows.length;
  canvas.style.height = `${rows.length * 1.25}px`;
  const context = canvas.getContext("2d");
  const image = context.createImageData(canvas.width, canvas.height);
  for (const [y, [from, to]] of rows.entries()) {
    for (let index = from; index < to; index += 1) {
      const colour = values[index] >= 0 ? up : down;
      image.data.set([...colour, Math.abs(values[index]) * 255], (y * canvas.width + index - from) * 4);
    }
  }
  context.putImageData(image, 0, 0);
}

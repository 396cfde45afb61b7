// Compare: the same prompt and seed at five temperatures, or with two versions, side by side.

import {setAddress} from "./address.js";
import {generate} from "./api.js";
import {fillChoices, modelFields} from "./choice.js";
import {actionBar, button, count, decimal, h, stopButton} from "./dom.js";
import {inspectable} from "./guesses.js";
import {Notice, waiting} from "./notice.js";
import {InvalidField, numberField, present, temperatureField} from "./params.js";
import {Status, unknownChars} from "./status.js";
import {TextView, meanBits} from "./text.js";

const TEMPERATURES = [0.2, 0.5, 0.8, 1, 1.2];
const SEED_BELOW = 2 ** 32; // of a drawn seed

export default class Compare {
  notice = new Notice();
  status = new Status();
  running = null; // AbortController
  columns = h("div", {class: "columns"});

  constructor() {
    this.prompt = h("textarea", {class: "prompt", rows: 2, spellcheck: "false", "aria-label": "Prompt", placeholder: "The beginning that they share"});
    this.models = modelFields();
    this.other = modelFields("Beside");
    this.temperature = temperatureField();
    this.length = numberField("length", 400);
    this.seed = numberField("seed");
    this.kind = h("select", {}, h("option", {value: "temperatures"}, "temperatures"), h("option", {value: "versions"}, "two models"));
    this.kind.setAttribute("aria-label", "Compare");
    this.kind.addEventListener("change", () => this.#draw());
    this.second = h("div", {class: "fields"}, this.other.elements, this.temperature.element);
    this.start = button("Start", () => this.begin(), "main");
    this.stop = stopButton(() => this.halt());
    this.form = h("div", {class: "form"}, this.prompt,
      h("div", {class: "fields"}, h("p", {class: "field"}, h("span", {}, "Compare"), this.kind), this.models.elements, this.length.element, this.seed.element),
      this.second, actionBar(this.start, this.stop, this.status.element));
    this.#draw();
    this.parts = [this.form, this.notice.element, this.columns];
  }

  async show(query) {
    if (!(await fillChoices(this, () => this.show(query), this.models, this.other)) || !query) return;
    const number = (name) => (query.has(name) ? Number(query.get(name)) : undefined);
    this.prompt.value = query.get("prompt") ?? "";
    this.kind.value = query.get("compare") === "versions" ? "versions" : "temperatures";
    this.models.write({model: query.get("model"), version: number("version")});
    this.other.write({model: query.get("model2"), version: number("version2")});
    this.temperature.write(number("temperature"));
    this.length.write(number("length") ?? 400);
    this.seed.write(number("seed"));
    this.#draw();
    await this.begin();
  }

  async begin() {
    const columns = this.#read();
    if (!columns) return;
    this.running?.abort();
    const running = (this.running = new AbortController());
    this.notice.hide();
    const made = columns.map(({title, params}) => new Column(title, params));
    this.columns.replaceChildren(...made.map((column) => column.element));
    this.#draw();
    this.status.wait("Writing");
    const runs = made.map((column) => column.run(running.signal, (...wait) => this.status.wait(waiting(...wait))));
    for (const run of runs) {
      run.catch((error) => running.signal.aborted || this.notice.show(error, [["Try again", () => this.begin()]]));
    }
    const isWhole = (await Promise.allSettled(runs)).every((one) => one.status === "fulfilled");
    if (this.running !== running) return;
    this.running = null;
    this.#draw();
    this.status.end(isWhole ? `Seed ${columns[0].params.seed}` : running.signal.aborted ? "Stopped." : "");
    if (isWhole) this.#address(made, columns[0].params);
  }

  /** The columns that the fields describe; null if the browser has reported an invalid one. */
  #read() {
    try {
      const seed = this.seed.read() ?? Math.floor(Math.random() * SEED_BELOW);
      const shared = {prompt: this.prompt.value, length: this.length.read() ?? 400, seed};
      if (this.kind.value === "temperatures") {
        return TEMPERATURES.map((temperature) => ({title: temperature.toFixed(1), params: {...this.models.read(), ...shared, temperature}}));
      }
      const temperature = this.temperature.read() ?? 1;
      return [this.models, this.other].map((fields) => {
        const {name, version} = fields.current() ?? {};
        return {title: name ? `${name} ${version}` : "no model", params: {...fields.read(), ...shared, temperature}};
      });
    } catch (error) {
      if (error instanceof InvalidField) return null;
      throw error;
    }
  }

  #address(made, {prompt, length, seed, temperature}) {
    const [first, last] = [made[0].made, made.at(-1).made];
    const isTwo = this.kind.value === "versions";
    const second = isTwo ? {model2: last.model, version2: last.version, temperature} : {};
    const query = {prompt, compare: this.kind.value, model: first.model, version: first.version, ...second, length, seed};
    setAddress("compare", `#compare?${new URLSearchParams(query)}`);
  }

  get canBegin() {
    return !this.running;
  }

  halt() {
    this.running?.abort();
  }

  #draw() {
    this.second.hidden = this.kind.value !== "versions";
    const hadFocus = document.activeElement;
    this.start.hidden = this.running !== null;
    this.stop.hidden = this.running === null;
    if (hadFocus?.hidden) (this.running ? this.stop : this.start).focus();
  }
}

class Column {
  made = {};

  constructor(title, params) {
    this.params = params;
    this.text = new TextView(`The text of ${title}`);
    this.facts = h("p", {class: "note"}, "\u00a0");
    this.element = h("section", {class: "column", "aria-label": title}, h("h2", {}, title), this.facts, this.text.element);
    inspectable(this.text);
    this.text.load([...params.prompt].map((text) => ({text})));
  }

  async run(signal, onWait) {
    const last = await generate(present(this.params), {
      signal, onWait,
      onStart: (made) => (this.made = made),
      onCharacters: (characters) => this.text.push(characters),
    });
    await this.text.drained();
    this.facts.textContent = [`${decimal(meanBits(this.text.characters))} bits per character`, ...unknownChars(last)].join(" · ");
    this.facts.title = `${count(last.timings.chars_per_second)} characters a second`;
  }
}

// Score: the bits per character of a text, its surprising places, and which of two texts is more like the corpus.

import {score, versionOf} from "./api.js";
import {scale} from "./chart.js";
import {fillChoices, modelFields} from "./choice.js";
import {actionBar, announce, button, count, decimal, h, stopButton, symbolOf} from "./dom.js";
import {close, inspectable} from "./guesses.js";
import {Notice, waiting} from "./notice.js";
import {present} from "./params.js";
import {Status} from "./status.js";
import {TextView, legend} from "./text.js";

export default class Score {
  notice = new Notice();
  status = new Status();
  running = null; // AbortController
  panes = [new Pane("Text"), new Pane("Second text")];

  constructor() {
    this.models = modelFields();
    for (const choice of [this.models.model, this.models.version]) {
      choice.addEventListener("change", () => (this.running || !this.panes[0].isEditing) && this.begin());
    }
    this.side = h("aside", {class: "side open", "aria-label": "Settings"}, this.models.elements);
    this.panes[1].element.hidden = true;
    this.start = button("Score", () => this.begin(), "main");
    this.stop = stopButton(() => this.halt());
    this.editButton = button("Edit", () => this.edit());
    this.second = button("A second text", () => this.#toggle());
    this.verdict = h("div", {class: "verdict"});
    this.legend = legend();
    this.page = h("div", {class: "page"}, this.verdict, h("div", {class: "panes"}, this.panes.map((pane) => pane.element)), this.notice.element,
      h("div", {class: "foot"}, actionBar(this.start, this.stop, this.editButton, this.second), this.status.element), this.legend);
    new ResizeObserver(() => this.#drawScale()).observe(this.verdict);
    this.#draw();
    this.parts = [this.page, this.side];
  }

  async show() {
    await fillChoices(this, () => this.show(), this.models);
  }

  async begin() {
    const panes = this.#shown();
    const empty = panes.find((pane) => !pane.input.value);
    if (empty) {
      this.status.end("Paste a text first.");
      empty.input.focus();
      return;
    }
    this.running?.abort();
    const running = (this.running = new AbortController());
    this.notice.hide();
    this.verdict.replaceChildren();
    try {
      const model = this.models.read();
      const {name, version} = this.models.current() ?? {};
      const onWait = (...wait) => this.status.wait(waiting(...wait));
      const {manifest} = version ? await versionOf(name, version, onWait) : {};
      running.signal.throwIfAborted();
      // A text has bits per character; the losses in the manifest of a byte model are bits per byte.
      this.heldOut = symbolOf(manifest) === "byte" ? undefined : manifest?.metrics?.validation?.bits_per_char;
      const onMore = () => this.status.wait(`${count(panes.reduce((sum, pane) => sum + pane.scored, 0))} characters scored`);
      for (const pane of panes) pane.begin(manifest?.normalization);
      this.#draw();
      await Promise.all(panes.map((pane) => pane.run(model, {signal: running.signal, onWait, onMore})));
      if (this.running === running) this.#finish(panes);
    } catch (error) {
      if (!running.signal.aborted) this.notice.show(error, [["Try again", () => this.begin()]]);
      if (this.running === running) this.edit();
    } finally {
      if (this.running === running) this.running = null;
      this.#draw();
    }
  }

  #finish(panes) {
    const [one, other] = panes.map((pane) => pane.result.bits_per_char);
    let sentence = `${decimal(one)} bits per character`;
    if (other !== undefined) {
      const difference = Math.abs(one - other);
      const like = one < other ? "The first" : "The second";
      sentence = difference < 0.005 ? "Both are equally like the corpus" : `${like} is more like the corpus`;
    }
    const corpus = Number.isFinite(this.heldOut) ? ` The held-out part of the corpus has ${decimal(this.heldOut)}.` : "";
    const {model, version} = panes[0].result;
    this.figure = h("figure", {});
    this.verdict.replaceChildren(h("p", {class: "number"}, sentence), h("p", {class: "note"}, panes.map((pane, index) => pane.facts(other === undefined ? "" : ["First: ", "Second: "][index])).join(" "), corpus, ` The fewer bits, the better ${model} ${version} predicts the text.`), this.figure);
    this.status.end();
    announce(`${sentence}.`);
    this.#drawScale();
  }

  #drawScale() {
    const width = this.figure?.clientWidth;
    if (!width) return;
    const panes = this.#shown().filter((pane) => pane.result);
    const names = panes.length > 1 ? ["first", "second"] : ["this text"];
    const marks = panes.map((pane, index) => ({value: pane.result.bits_per_char, label: `${names[index]} ${decimal(pane.result.bits_per_char)}`, kind: "own"}));
    if (Number.isFinite(this.heldOut)) marks.push({value: this.heldOut, label: `corpus ${decimal(this.heldOut)}`, kind: "theirs"});
    this.figure.replaceChildren(scale(marks, {width, label: marks.map((mark) => mark.label).join(", ")}));
  }

  edit() {
    close();
    for (const pane of this.panes) pane.edit();
    this.verdict.replaceChildren();
    this.status.end();
    this.#draw();
    this.panes[0].input.focus();
  }

  #toggle() {
    this.panes[1].element.hidden = !this.panes[1].element.hidden;
    this.edit();
    if (!this.panes[1].element.hidden) this.panes[1].input.focus();
  }

  #shown() {
    return this.panes.filter((pane) => !pane.element.hidden);
  }

  get canBegin() {
    return this.panes[0].isEditing;
  }

  halt() {
    this.running?.abort();
  }

  #draw() {
    const isEditing = this.panes[0].isEditing;
    const hadFocus = document.activeElement;
    this.start.hidden = this.running !== null || !isEditing;
    this.stop.hidden = this.running === null;
    this.editButton.hidden = isEditing || this.running !== null;
    this.second.hidden = this.running !== null;
    this.second.textContent = this.panes[1].element.hidden ? "A second text" : "One text";
    this.legend.hidden = isEditing;
    if (hadFocus?.hidden) (this.running ? this.stop : isEditing ? this.start : this.editButton).focus();
  }
}

class Pane {
  isEditing = true;
  result = null;

  constructor(label) {
    this.input = h("textarea", {class: "prompt paste", rows: 8, spellcheck: "false", "aria-label": label, placeholder: `${label === "Text" ? "Paste a text" : "Paste another text"}, to see how well the model predicts it.`});
    this.text = new TextView(`${label}. Arrow keys move from character to character.`);
    this.text.element.hidden = true;
    this.element = h("div", {class: "pane"}, this.input, this.text.element);
    this.cursor = inspectable(this.text);
  }

  edit() {
    this.isEditing = true;
    this.result = null;
    this.input.hidden = false;
    this.text.element.hidden = true;
    this.text.load([]);
  }

  /** Show the text, normalised as the service does it. */
  begin(normalization) {
    this.isEditing = false;
    this.result = null;
    this.scored = 0;
    this.characters = [...(normalization === "NFC" ? this.input.value.normalize("NFC") : this.input.value)];
    this.input.hidden = true;
    this.text.element.hidden = false;
    this.cursor.forget();
    this.text.load([]);
  }

  async run(model, {signal, onWait, onMore}) {
    const onLogprobs = (logprobs) => {
      this.text.push(logprobs.map((logprob, index) => ({text: this.characters[this.scored + index] ?? "\ufffd", logprob})));
      this.scored += logprobs.length;
      onMore();
    };
    this.result = await score(present({...model, text: this.characters.join("")}), {signal, onWait, onLogprobs});
    await this.text.drained();
  }

  facts(name) {
    const {chars, bits_per_char: bits, unknown_chars: unknown, perplexity, finish_reason: reason} = this.result;
    const missing = unknown ? `, ${count(unknown)} of them not in the model's alphabet` : "";
    const cut = reason === "timeout" ? " up to the time limit" : "";
    return `${name}${count(chars)} characters${missing}${cut}, ${name ? `${decimal(bits)} bits per character, ` : ""}perplexity ${decimal(perplexity, 1)}.`;
  }
}

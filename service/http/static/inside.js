// Look inside: a text, the guesses of the network before each character, and the activation of one of its units.

import {setAddress} from "./address.js";
import {send, versionOf} from "./api.js";
import {CellText} from "./cells.js";
import {fillChoices, modelFields} from "./choice.js";
import {actionBar, announce, button, count, h, stopButton} from "./dom.js";
import {close, inspectable} from "./guesses.js";
import {Notice, waiting} from "./notice.js";
import {present} from "./params.js";
import {UnitFacts, signed} from "./positions.js";
import {MOST_CHARS, Reading, strength} from "./reading.js";
import {offeredText} from "./shared.js";
import {Status} from "./status.js";
import {TrackList, trackedUnits} from "./tracks.js";
import {UnitGrid} from "./units.js";

const WRITTEN_CHARS = 1200; // of a text that the model writes here
const SETTLE_MS = 200; // a unit is asked for when the reader has stayed on it

export default class Inside {
  text = new CellText("The text in cells. Arrow keys move from character to character.");
  unit = new UnitFacts((index) => this.#go(index));
  notice = new Notice();
  status = new Status();
  tracks = new TrackList((layer, unit) => this.choose(layer, unit), (isOwn) => this.#more((reading) => this.#find(reading, isOwn)));
  grid = new UnitGrid((layer, unit) => this.choose(layer, unit), (layer) => this.#more((reading) => this.#showLayer(reading, layer)));
  models = modelFields();
  reading = null;
  running = null; // AbortController
  chosen = null; // [layer, unit]
  isPicked = false; // whether the reader has chosen the unit
  restart = () => {}; // what runs, or has been read, with another model
  #settle = 0;
  #asking = null;

  constructor() {
    this.cursor = inspectable(this.text);
    this.#buildPage();
    this.#buildSide();
    this.#draw();
    this.parts = [this.page, this.side];
  }

  #buildPage() {
    this.input = h("textarea", {
      class: "prompt paste", rows: 8, spellcheck: "false", "aria-label": "Text",
      placeholder: "Paste a text, to see the network's guesses and activations while it reads.",
    });
    this.start = button("Look inside", () => this.begin(), "main");
    this.stop = stopButton(() => this.halt());
    this.editButton = button("Edit", () => this.edit());
    this.writeButton = button("Let the model write", () => this.write());
    this.takeButton = button("Take the text of Write", () => this.take());
    const key = h("p", {class: "scale note"}, h("span", {}, "−1"), h("i", {class: "ramp"}), h("span", {}, "+1"),
      h("span", {class: "reads"}, "A bar above the line is a positive activation, below it a negative one."));
    this.guessKey = h("p", {class: "note"}, "Below each character are the five that the network expected: the redder, the more likely. A frame marks a correct guess.");
    this.result = h("div", {}, this.unit.title, this.unit.facts, this.text.element, key, this.guessKey, this.grid.element, this.unit.positions);
    const bar = actionBar(this.start, this.stop, this.editButton, this.writeButton, this.takeButton);
    this.page = h("div", {class: "page"}, this.input, this.result, this.notice.element, h("div", {class: "foot"}, bar, this.status.element));
  }

  #buildSide() {
    const isPhone = matchMedia("(max-width: 40rem)").matches;
    this.guesses = h("input", {type: "checkbox", checked: !isPhone, onchange: () => this.#toggleGuesses()});
    this.side = h("aside", {class: "side open", "aria-label": "Settings and neurons"}, this.models.elements,
      h("label", {class: "check"}, this.guesses, "Guesses under the text"), this.tracks.element);
    for (const choice of [this.models.model, this.models.version]) {
      choice.addEventListener("change", () => (this.reading || this.running) && this.restart());
    }
    this.#toggleGuesses();
  }

  /** Open the view; a link has a text and a unit. */
  async show(query) {
    this.#draw();
    if (!(await fillChoices(this, () => this.show(query), this.models)) || !query?.get("text")) return;
    this.models.write({model: query.get("model"), version: Number(query.get("version")) || undefined});
    this.input.value = query.get("text");
    const unit = [query.get("layer"), query.get("unit")];
    await this.begin(unit.every((one) => /^\d+$/.test(one ?? "")) ? unit.map(Number) : null);
  }

  async take() {
    this.edit();
    this.input.value = offeredText();
    await this.begin();
  }

  /** Let the model write a text, and look inside. */
  async write() {
    this.edit();
    this.restart = () => this.write();
    await this.#run("Writing", async (signal, onWait) => {
      const body = present({...this.models.read(), length: WRITTEN_CHARS, stream: false});
      ({text: this.input.value} = await (await send("generate", {body, signal, onWait})).json());
    }) && (await this.begin());
  }

  /** Read the text, find the units that track its features, and show a unit. */
  async begin(unit = null) {
    if (!this.input.value) {
      this.status.end("Paste a text first, or let the model write one.");
      this.input.focus();
      return;
    }
    const characters = [...this.input.value];
    if (characters.length > MOST_CHARS) {
      const cut = () => {
        this.input.value = characters.slice(0, MOST_CHARS).join("");
        this.begin(unit);
      };
      this.notice.show(new Error(`A text has at most ${count(MOST_CHARS)} characters here, and this one has ${count(characters.length)}.`),
        [[`Use the first ${count(MOST_CHARS)}`, cut]]);
      return;
    }
    this.restart = () => this.begin();
    this.reading = null;
    this.chosen = unit;
    this.tracks.element.hidden = this.grid.element.hidden = true;
    await this.#run("Reading", (signal, onWait) => this.#read(signal, onWait));
  }

  async #read(signal, onWait) {
    const reading = new Reading(this.models.read(), this.input.value, {signal, onWait});
    await reading.begin();
    const {manifest} = await versionOf(reading.model.model, reading.model.version, onWait);
    this.size = {layers: manifest.layers, units: manifest.units};
    reading.fitPictures(manifest.units);
    this.reading = reading;
    this.cursor.forget();
    this.#draw();
    this.text.load(reading.characters);
    if (this.chosen && !(this.chosen[0] < manifest.layers && this.chosen[1] < manifest.units)) this.chosen = null; // of another model
    this.isPicked = this.chosen !== null;
    if (this.chosen) await this.#show(...this.chosen);
    this.status.wait("Looking for neurons");
    await this.#find(reading);
    await this.#showLayer(reading, this.chosen[0]);
    this.status.end(reading.isCut ? `The time limit ended the reading after ${count(reading.characters.length)} characters.` : "");
  }

  /** Rank the units, and show the best of all where the reader has not chosen one. */
  async #find(reading, isOwn) {
    await reading.find(isOwn);
    this.tracks.show(reading.features);
    this.tracks.element.hidden = false;
    const found = reading.features.features.flatMap((feature) => feature.units.map((one) => ({...one, share: strength(feature, one).share})));
    const best = found.toSorted((one, other) => other.share - one.share)[0] ?? {layer: 0, unit: 0};
    await reading.load([[best.layer, best.unit], ...found.map((one) => [one.layer, one.unit])]);
    if (this.isPicked) this.#paint();
    else await this.choose(best.layer, best.unit, {isPicked: false});
  }

  async #more(work) {
    const {reading} = this;
    await this.#run("Reading", (signal, onWait) => work(Object.assign(reading, {signal, onWait})));
  }

  /** Show a unit; its activations are asked for where they are not known. */
  async choose(layer, unit, {isPicked = true} = {}) {
    this.chosen = [layer, unit];
    this.isPicked ||= isPicked;
    const {reading} = this;
    this.#asking?.abort();
    clearTimeout(this.#settle);
    this.#paint();
    if (isPicked) announce(this.unit.sentence);
    if (reading.isKnown(layer, unit)) return;
    const asking = (this.#asking = new AbortController());
    await new Promise((resolve) => (this.#settle = setTimeout(resolve, SETTLE_MS)));
    await this.#show(layer, unit, asking.signal);
  }

  async #show(layer, unit, signal) {
    const {reading} = this;
    try {
      await reading.load([[layer, unit]], signal);
    } catch (error) {
      if (!signal?.aborted && !reading.signal.aborted) this.notice.show(error, [["Try again", () => this.choose(layer, unit)]]);
      return;
    }
    if (this.reading === reading && this.chosen[0] === layer && this.chosen[1] === unit) this.#paint();
  }

  #paint() {
    const {characters, features} = this.reading;
    const values = this.reading.activations(...this.chosen);
    this.text.paint(values);
    characters.forEach((character, index) => {
      character.note = Number.isFinite(values[index]) ? `activation ${signed(values[index])}` : undefined;
    });
    const words = features && trackedUnits(features).get(this.chosen.join("."));
    this.unit.show(this.chosen, characters, values, words);
    this.#mark();
    const query = new URLSearchParams({text: this.input.value, ...this.reading.model, layer: this.chosen[0], unit: this.chosen[1]});
    setAddress("inside", `#inside?${query}`);
  }

  #mark() {
    const [layer, unit] = this.chosen;
    this.tracks.mark(layer, unit);
    this.grid.mark(layer, unit);
  }

  #go(index) {
    this.text.reveal(index);
    this.text.element.focus({preventScroll: true});
  }

  #toggleGuesses() {
    this.text.withGuesses(this.guesses.checked);
    this.guessKey.hidden = !this.guesses.checked;
  }

  async #showLayer(reading, layer) {
    const hadFocus = this.grid.tabs.contains(document.activeElement);
    this.grid.open(reading, layer, this.size);
    if (hadFocus) this.grid.tabs.children[layer].focus();
    await reading.loadLayer(layer);
    if (this.grid.layer !== layer) return;
    this.grid.show(reading, this.size.units, trackedUnits(reading.features));
    this.#mark();
  }

  edit() {
    this.running?.abort();
    close();
    this.reading = null;
    this.tracks.element.hidden = this.grid.element.hidden = true;
    this.status.end();
    this.#draw();
    this.input.focus();
  }

  /** Run requests, with Stop and with errors in words; whether they have ended by themselves. */
  async #run(message, work) {
    this.running?.abort();
    const running = (this.running = new AbortController());
    this.notice.hide();
    this.status.wait(message);
    this.#draw();
    try {
      await work(running.signal, (seconds, error) => this.status.wait(seconds > 0 ? waiting(seconds, error) : message));
      if (this.status.isWaiting) this.status.end();
      return true;
    } catch (error) {
      if (this.running === running) this.status.end();
      if (!running.signal.aborted) this.notice.show(error, error.status === 501 ? [] : [["Try again", () => this.begin(this.chosen)]]);
      else if (this.running === running && this.reading && !this.chosen) this.edit(); // there is nothing over the text yet
      return false;
    } finally {
      if (this.running === running) this.running = null;
      this.#draw();
    }
  }

  get canBegin() {
    return !this.reading && !this.running;
  }

  halt() {
    this.running?.abort();
  }

  #draw() {
    const isRunning = this.running !== null;
    const isRead = this.reading !== null;
    const hadFocus = document.activeElement;
    this.result.hidden = !isRead;
    this.input.hidden = isRead;
    this.start.hidden = isRunning || isRead;
    this.stop.hidden = !isRunning;
    this.editButton.hidden = !isRead || isRunning;
    this.writeButton.hidden = isRunning;
    this.takeButton.hidden = isRunning || !offeredText();
    if (hadFocus?.hidden) (isRunning ? this.stop : isRead ? this.editButton : this.start).focus();
  }
}

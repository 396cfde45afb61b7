// The reading of a text by the network: guesses and activations (POST /inspect), and the units that track a
// feature (POST /neurons). Knows no element of the page.

import {send} from "./api.js";
import {present} from "./params.js";
import {rowsOf} from "./cells.js";

export const MOST_CHARS = 10000; // of a text in POST /inspect
const MOST_ACTIVATIONS = 1_000_000; // of one response
export const PICTURE = {columns: 64, rows: 30}; // characters in the picture of a unit
const SHORT = 1000; // a text with fewer characters has rough rankings
const SAMPLE = {length: 3000, seed: 1, stream: false};
const MOST_UNITS = 3; // of a feature

const nameOf = (layer, unit) => `${layer}.${unit}`;

/** A text that a version of a model reads. `wait` is called with the seconds that a busy service asks to wait. */
export class Reading {
  characters = [];
  features = null; // the response of POST /neurons
  #units = new Map();
  #layers = new Map();

  constructor(model, text, {signal, onWait}) {
    Object.assign(this, {model, text, signal, onWait});
  }

  /** Read the text; the characters have their guesses afterwards. */
  async begin() {
    const read = await this.#inspect({text: this.text});
    this.characters = read.characters;
    this.isCut = read.finish_reason === "timeout";
    this.model = {model: read.model, version: read.version};
    this.pictureRows = rowsOf(this.characters, PICTURE.columns).slice(0, PICTURE.rows);
  }

  get pictureChars() {
    return this.pictureRows.at(-1)?.[1] ?? 0;
  }

  /** Rank the units on this text, or on one that the model writes; `isOwn` is undefined for "as the length suggests". */
  async find(isOwn = this.characters.length >= SHORT) {
    let text = this.text;
    if (!isOwn) ({text} = await this.#post("generate", {...this.model, ...SAMPLE}));
    this.features = {...(await this.#post("neurons", {...this.model, text, limit: MOST_UNITS})), isOwn};
  }

  /** The activations of a unit over the text; NaN where they have not been asked for. */
  activations(layer, unit) {
    return this.#units.get(nameOf(layer, unit)) ?? this.#fromLayer(layer, unit);
  }

  /** Whether the activations of a unit are known for the whole text. */
  isKnown(layer, unit) {
    return this.#units.has(nameOf(layer, unit)) || (this.hasLayer(layer) && this.pictureChars >= this.characters.length);
  }

  hasLayer(layer) {
    return this.#layers.has(layer);
  }

  /** Ask for the activations of some units over the whole text. */
  async load(units, signal = this.signal) {
    const wanted = units.filter(([layer, unit]) => !this.isKnown(layer, unit));
    if (!wanted.length) return;
    const {characters} = await this.#inspect({text: this.text, units: wanted}, signal);
    for (const [at, [layer, unit]] of wanted.entries()) {
      const values = new Float32Array(this.characters.length).fill(NaN);
      characters.slice(0, values.length).forEach((character, index) => (values[index] = character.activations[at]));
      this.#units.set(nameOf(layer, unit), values);
    }
  }

  /** Shorten the pictures so that one response can have the activations of all `units` of a layer. */
  fitPictures(units) {
    this.pictureRows = this.pictureRows.filter(([, stop]) => stop * units <= MOST_ACTIVATIONS);
  }

  /** Ask for the activations of a layer over the characters of the pictures. */
  async loadLayer(layer) {
    if (this.hasLayer(layer)) return;
    const text = this.characters.slice(0, this.pictureChars).map((character) => character.text).join("");
    const {characters, units} = await this.#inspect({text, layer});
    const values = units.map(([, unit]) => Float32Array.from(characters, (character) => character.activations[unit]));
    this.#layers.set(layer, values);
  }

  #fromLayer(layer, unit) {
    const values = new Float32Array(this.characters.length).fill(NaN);
    const known = this.#layers.get(layer)?.[unit];
    if (known) values.set(known.subarray(0, values.length));
    return values;
  }

  #inspect(body, signal) {
    return this.#post("inspect", {...this.model, ...body}, signal);
  }

  async #post(path, body, signal = this.signal) {
    const response = await send(path, {body: present(body), signal, onWait: this.onWait});
    return response.json();
  }
}

const FEATURES = {
  line_position: "Position in the line", inside_quotes: "Quotation marks", bracket_depth: "Brackets", capitals: "Capitals",
  capital_run: "Words in capitals", indentation: "Indentation", inside_comment: "Comments", inside_url: "Web addresses",
};

export const featureName = (feature) => FEATURES[feature] ?? feature.replaceAll("_", " ");

/** How much of a feature a unit knows, from 0 to 1, and in words. */
export function strength({measure, max_score: most}, {score, sign}) {
  const side = sign < 0 ? "−" : "+";
  if (measure === "absolute_correlation") return {share: score, short: `${side}${score.toFixed(2)}`, words: `correlation ${side}${score.toFixed(2)}`};
  return {share: score / most, short: `${side}${score.toFixed(2)} bit`, words: `${score.toFixed(2)} of ${most.toFixed(2)} bits, ${sign < 0 ? "low" : "high"} inside`};
}

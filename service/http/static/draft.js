// A text as the requests that made it, and the texts before its branches. Knows no element of the page.
//
// A step is one request: its parameters, the characters `at` of the text that it keeps, and the character `put` that
// follows them if the reader has chosen one.

import {isSame, toFragment} from "./params.js";

const MOST_PAST = 50; // texts
const MOST_PAST_CHARS = 100000; // of all of them: 20,000 characters with their guesses take 6 MB

/** The steps of a text; all positions but `base` are counted from the end of the prompt. */
export class Draft {
  base = 0; // characters of the prompt
  steps = [];
  #past = [];

  start(base) {
    this.base = base;
    this.steps = [];
  }

  get hasPast() {
    return this.#past.length > 0;
  }

  /** The text as it is, for `restore`. */
  copy(characters) {
    return {characters: [...characters], base: this.base, steps: this.steps};
  }

  /** Keep the text as it is, for `back`. */
  remember(characters) {
    if (!this.steps.length) return;
    this.#past.push(this.copy(characters));
    let kept = this.#past.reduce((sum, one) => sum + one.characters.length, 0);
    while (this.#past.length > 1 && (this.#past.length > MOST_PAST || kept > MOST_PAST_CHARS)) {
      kept -= this.#past.shift().characters.length;
    }
  }

  /** Take the text that was remembered last, for `restore`; undefined without one. */
  back() {
    return this.#past.pop();
  }

  /** Return to a copy; its characters. */
  restore({characters, base, steps}) {
    Object.assign(this, {base, steps});
    this.#past = this.#past.filter((one) => one.steps !== steps);
    return characters;
  }

  /** Forget the steps of which a request keeps nothing; with `put`, it keeps the probabilities of the next character too. */
  branch({at, put}) {
    this.steps = this.steps.filter((step) => step.at < at || (put && step.at === at && !step.put));
  }

  add(step) {
    this.steps = [...this.steps, step];
  }

  /** The last request was stopped, or failed, after `made` characters. */
  cut(made) {
    const last = this.steps.at(-1);
    this.steps = [...this.steps.slice(0, -1), {...last, length: made, requested: last.length}];
  }

  /** Whether the text is that of one request with these parameters; without a seed, whether it is that of any seed. */
  isMadeBy(params) {
    const [first, ...later] = this.steps;
    return !later.length && isSame({...first, length: first.requested ?? first.length}, {...params, seed: params.seed ?? first.seed});
  }

  prompt(characters) {
    return join(characters.slice(0, this.base));
  }

  /** The last request, as it was sent; null before the first. */
  request(characters) {
    const last = this.steps.at(-1);
    return last ? {prompt: join(characters.slice(0, this.base + startOf(last))), ...requestOf(last)} : null;
  }

  fragment(characters) {
    return this.steps.length ? toFragment("write", this.prompt(characters), this.steps) : "#write";
  }
}

const join = (characters) => characters.map((character) => character.text).join("");

/** The position at which the characters of a step begin. */
const startOf = (step) => step.at + (step.put ? 1 : 0);

/** The characters of a step that the next one needs: one more than it keeps shows the probability of its `put`. */
export function lengthNeeded(step, next) {
  const length = step.length ?? 500;
  return next ? Math.min(length, Math.max(1, next.at - startOf(step) + (next.put ? 1 : 0))) : length;
}

/** The fields of a step that are sent. */
export const requestOf = ({at, put, requested, ...params}) => params;

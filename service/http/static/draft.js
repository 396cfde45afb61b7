// A text as the requests that made it, and the texts before its branches. Knows no element of the page.
//
// A step is one request: its parameters, the characters `at` of the text that it keeps, and the character `put` that
// follows them if the reader has chosen one.

import {toFragment} from "./params.js";

const MOST_PAST = 50;

/** The steps of a text; all positions but `base` are counted from the end of the prompt. */
export class Draft {
  base = 0; // characters of the prompt
  steps = [];
  #past = [];

  /** Begin a new text with a prompt of `base` characters. */
  start(base) {
    this.base = base;
    this.steps = [];
  }

  get hasPast() {
    return this.#past.length > 0;
  }

  /** Keep the text as it is, for `back`. */
  remember(characters) {
    if (!this.steps.length) return;
    this.#past.push({characters: [...characters], base: this.base, steps: this.steps});
    if (this.#past.length > MOST_PAST) this.#past.shift();
  }

  /** Return to the text that was remembered last; its characters, or null. */
  back() {
    const earlier = this.#past.pop();
    if (!earlier) return null;
    Object.assign(this, {base: earlier.base, steps: earlier.steps});
    return earlier.characters;
  }

  /** Forget the steps that a branch at a position leaves out. */
  branch(at) {
    this.steps = this.steps.filter((step, number) => number === 0 || step.at < at || (step.at === at && !step.put));
  }

  /** A request has begun. */
  add(step) {
    this.steps = [...this.steps, step];
  }

  /** The last request was stopped, or failed, after `made` characters. `isBegun`: it had been accepted. */
  cut(made, isBegun) {
    if (!isBegun) return;
    const last = this.steps.at(-1);
    this.steps = made > 0 ? [...this.steps.slice(0, -1), {...last, length: made}] : this.steps.slice(0, -1);
  }

  /** The fragment of the address that makes the text again. */
  fragment(prompt) {
    return this.steps.length ? toFragment("write", prompt, this.steps) : "#write";
  }
}

/** The position at which the characters of a step begin. */
export const startOf = (step) => step.at + (step.put ? 1 : 0);

/** The characters of a step that the next one needs: one more than it keeps shows the probability of its `put`. */
export function lengthNeeded(step, next) {
  const length = step.length ?? 500;
  return next ? Math.min(length, next.at - startOf(step) + (next.put ? 1 : 0)) : length;
}

/** The fields of a step that are sent. */
export const requestOf = ({at, put, ...params}) => params;

// The line under a text: the reason for a wait, and the facts of a finished text.

import {announce, count, decimal, h} from "./dom.js";
import {meanBits} from "./text.js";

/** The line. Each new sentence is announced to screen readers; of a countdown, only its beginning. */
export class Status {
  element = h("p", {class: "status"});
  #announced = "";

  get isWaiting() {
    return this.element.querySelector(".busy") !== null;
  }

  /** Show the reason for a wait. */
  wait(sentence) {
    this.element.replaceChildren(h("span", {class: "busy"}, sentence));
    this.#announce(sentence);
  }

  /** Show an end; `more` are elements after the sentence. */
  end(sentence = "", ...more) {
    this.element.replaceChildren(sentence, ...more);
    if (sentence) this.#announce(sentence);
    else this.#announced = "";
  }

  #announce(sentence) {
    const kind = sentence.replace(/[\d,]+/g, "");
    if (kind !== this.#announced) announce(sentence);
    this.#announced = kind;
  }
}

const WHY = {stop: ", ended by a stop string", timeout: ", ended by the time limit"};

/** A list with the number of characters of the prompt that the model cannot read, empty if it can read all of them. */
export function unknownChars({usage: {prompt_chars: chars, unknown_chars: unknown}}) {
  return unknown ? [`the model's alphabet lacks ${count(unknown)} of the prompt's ${count(chars)} characters`] : [];
}

/** The facts of a generation in a sentence: `first` is the time to the first character in ms. */
export function summary(characters, last, first) {
  const speed = last.timings?.chars_per_second;
  const facts = [
    `${count(characters.length)} characters${WHY[last.finish_reason] ?? ""}`, speed && `${count(speed)} a second`,
    `first after ${count(first)} ms`, `${decimal(meanBits(characters))} bits per character`,
    ...unknownChars(last),
  ];
  return facts.filter(Boolean).join(" · ");
}

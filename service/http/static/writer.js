// Makes a text request by request: sends a step, shows its characters, stops, repeats the steps of a link. Knows neither
// the prompt's field nor the buttons.

import {generate} from "./api.js";
import {count} from "./dom.js";
import {lengthNeeded, requestOf} from "./draft.js";
import {waiting} from "./notice.js";
import {present} from "./params.js";
import {summary} from "./status.js";

/**
 * `onBegin()` is called when a request begins, `onEnd(sentence)` when it has ended, with null if it has made nothing at all,
 * and `onError(error)` when it has failed.
 */
export class Writer {
  running = null; // AbortController
  #ended = Promise.resolve();

  constructor({text, draft, status}, {onBegin, onEnd, onError}) {
    Object.assign(this, {text, draft, status, onBegin, onEnd, onError});
  }

  /** Stop the request that runs, and wait until it has ended. */
  async halt() {
    this.running?.abort();
    await this.#ended;
  }

  /** Make the text of a link again, request by request; the text has only its prompt. */
  async replay(steps) {
    for (const [number, step] of steps.entries()) {
      const length = lengthNeeded(step, steps[number + 1]);
      if (step.put) step.put = this.#chosen(step);
      if (length > 0 && !(await this.perform({...step, length}))) return;
    }
  }

  /** The character that a link's step has chosen, with its probability where the step before has shown it. */
  #chosen({at, put}) {
    const {top} = this.text.characters[this.draft.base + at] ?? {};
    const guess = top?.find(([character]) => character === put.text);
    return {text: put.text, logprob: guess?.[1], top, chosen: true};
  }

  /** Run one request and show its characters; true if it has ended by itself. */
  async perform(step) {
    const {text, draft, status} = this;
    await this.halt();
    text.truncate(draft.base + step.at);
    if (step.put) text.push([step.put]);
    await text.drained();
    const running = (this.running = new AbortController());
    const before = text.characters.length;
    const began = performance.now();
    let first = 0;
    let isBegun = false;
    this.onBegin();
    status.wait("Writing");
    const run = generate(present({prompt: text.text, ...requestOf(step)}), {
      signal: running.signal,
      onWait: (seconds) => status.wait(waiting(seconds)),
      onStart: (made) => {
        isBegun = true;
        draft.add({...step, ...made});
        status.wait("Writing");
      },
      onCharacters: (characters) => {
        first ||= performance.now() - began;
        text.push(characters);
      },
    });
    const ended = (this.#ended = this.#settle(run, running.signal));
    const last = await ended;
    if (last) this.onEnd(summary(text.characters.slice(before), last, first));
    else this.#cut(text.characters.length - before, isBegun);
    return Boolean(last);
  }

  /** Wait for the end of a request; its last event, or null if it has failed or was stopped. */
  async #settle(run, signal) {
    try {
      const last = await run;
      await Promise.race([this.text.drained(), new Promise((resolve) => signal.addEventListener("abort", resolve))]);
      if (!signal.aborted) return last;
    } catch (error) {
      if (!signal.aborted) this.onError(error);
    } finally {
      this.running = null;
    }
    if (signal.aborted) this.text.drop();
    return null;
  }

  /** The end of a request that was stopped, or has failed, after `made` characters. */
  #cut(made, isBegun) {
    const {text, draft} = this;
    draft.cut(made, isBegun);
    const isEmpty = text.characters.length === draft.base && !draft.steps.length;
    this.onEnd(isEmpty ? null : `Stopped after ${count(made)} characters.`);
  }
}

// Makes a text request by request: sends a step, shows its characters, stops, repeats the steps of a link. Knows neither
// the prompt's field nor the buttons.

import {generate} from "./api.js";
import {count} from "./dom.js";
import {lengthNeeded, requestOf} from "./draft.js";
import {waiting} from "./notice.js";
import {present} from "./params.js";
import {summary} from "./status.js";

/**
 * `onBegin()` is called when a request begins, `onEnd(sentence)` when it has ended, with null if there is only the prompt, and
 * then `onError(error, step, made)` if it has failed after `made` characters.
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
      if (!(await this.perform({...step, length}))) return;
    }
  }

  /** The character that a link's step has chosen, with its probability where the step before has shown it. */
  #chosen({at, put}) {
    const {top} = this.text.characters[this.draft.base + at] ?? {};
    const guess = top?.find(([character]) => character === put.text);
    return {text: put.text, logprob: guess?.[1], top, chosen: true};
  }

  /** Run one request and show its characters; true if it has ended by itself. One that makes nothing leaves the text as it was. */
  async perform(step) {
    const {text, draft, status} = this;
    await this.halt();
    const earlier = draft.copy(text.characters);
    draft.branch(step);
    text.truncate(draft.base + step.at);
    if (step.put) text.push([step.put]);
    await text.drained();
    const running = (this.running = new AbortController());
    const before = text.characters.length;
    const began = performance.now();
    let first = 0;
    this.onBegin();
    status.wait("Writing");
    const run = generate(present({prompt: text.text, ...requestOf(step)}), {
      signal: running.signal,
      onWait: (...wait) => status.wait(waiting(...wait)),
      onStart: (made) => {
        draft.add({...step, ...made});
        status.wait("Writing");
      },
      onCharacters: (characters) => {
        first ||= performance.now() - began;
        text.push(characters);
      },
    });
    const ended = (this.#ended = this.#settle(run, running.signal));
    const {last, error} = await ended;
    const made = text.characters.length - before;
    if (last) this.onEnd(summary(text.characters.slice(before), last, first));
    else this.#cut(made, earlier);
    if (error) this.onError(error, step, made);
    return Boolean(last);
  }

  /** Wait until a request has ended and its characters are shown: its `last` event or its `error`, neither if it was stopped. */
  async #settle(run, signal) {
    const aborted = new Promise((resolve) => signal.addEventListener("abort", resolve));
    const end = await run.then((last) => ({last}), (error) => ({error}));
    await Promise.race([this.text.drained(), aborted]);
    this.running = null;
    if (!signal.aborted) return end;
    this.text.drop();
    return {};
  }

  /** The end of a request that was stopped, or has failed, after `made` characters. */
  #cut(made, earlier) {
    const {text, draft} = this;
    if (made) draft.cut(made);
    else text.load(draft.restore(earlier));
    this.onEnd(draft.steps.length ? `Stopped after ${count(made)} characters.` : null);
  }
}

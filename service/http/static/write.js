// Write: a prompt, the text that the model writes after it, and branches of that text.

import {BROKEN, generate, models} from "./api.js";
import {CodePanel} from "./code.js";
import {announce, copy, count, decimal, h} from "./dom.js";
import {Draft, lengthNeeded, requestOf, startOf} from "./draft.js";
import {close, inspectable} from "./guesses.js";
import {legend} from "./legend.js";
import {Notice, waiting} from "./notice.js";
import {fromQuery, present} from "./params.js";
import {Settings, describe} from "./settings.js";
import {offerText} from "./shared.js";
import {TextView, meanBits} from "./text.js";

const MOST_ADDRESS_CHARS = 8000; // a longer link is only copied

/** Build the view in `section`. */
export function mount(section) {
  const view = new Write();
  offerText(() => (view.isEditing ? view.prompt.value : view.text.text));
  section.append(h("h1", {class: "unseen"}, "Write"), view.page, view.settings.element);
  addEventListener("keydown", (event) => section.isConnected && view.onKey(event));
  return (query) => view.show(query);
}

class Write {
  text = new TextView("The text. Arrow keys move from character to character.");
  notice = new Notice();
  draft = new Draft();
  settings = new Settings({
    onModel: () => this.#describe(),
    onShade: (isOn) => this.#shade(isOn),
    onSlow: (isSlow) => (this.text.isSlow = isSlow),
    onMono: (isMono) => this.page.classList.toggle("mono", isMono),
  });
  running = null; // AbortController
  isEditing = true;

  constructor() {
    this.cursor = inspectable(this.text, (index, guess) => this.branch(index, guess));
    this.text.element.addEventListener("dblclick", () => getSelection().isCollapsed && this.edit());
    this.text.onFrame = () => this.#follow();
    this.#buildPage();
    this.#draw();
  }

  #buildPage() {
    this.prompt = h("textarea", {
      class: "prompt", rows: 1, spellcheck: "false", "aria-label": "The beginning of the text",
      placeholder: "Write a beginning, or press Start and let the model begin.",
    });
    this.prompt.addEventListener("input", () => this.#grow());
    this.about = h("p", {class: "note about"});
    this.start = this.#button("Start", () => this.begin(), "main");
    this.stop = this.#button("Stop", () => this.halt(), "main");
    this.stop.append(h("kbd", {}, "Esc"));
    this.more = this.#button("Continue", () => this.proceed(), "main");
    this.reading = [
      this.#button("Edit", () => this.edit()),
      this.#button("New", () => this.renew()),
      this.#button("Again", () => this.again()),
      (this.backButton = this.#button("Back", () => this.back())),
      (this.copyButton = this.#button("Copy", () => copy(this.text.text, this.copyButton))),
      (this.linkButton = this.#button("Link", () => copy(this.#link(), this.linkButton))),
    ];
    this.codeButton = this.#button("Code", () => this.#toggleCode());
    this.codeButton.setAttribute("aria-expanded", "false");
    this.settingsButton = this.#button("Settings", () => this.settings.toggle(this.settingsButton), "quiet settings-button");
    this.settingsButton.setAttribute("aria-expanded", "false");
    this.status = h("p", {class: "status"});
    this.legend = legend();
    this.code = new CodePanel();
    const bar = h("div", {class: "bar", role: "group", "aria-label": "Actions"},
      this.start, this.stop, this.more, this.reading, this.codeButton, this.settingsButton);
    this.page = h("div", {class: "page"}, this.prompt, this.text.element, this.notice.element, this.about,
      h("div", {class: "foot"}, bar, this.status), this.legend, this.code.element);
  }

  #button(label, onclick, kind = "quiet") {
    return h("button", {type: "button", class: kind, onclick}, label);
  }

  /** Open the view; a link begins to make its text. */
  async show(query) {
    const link = query && fromQuery(query);
    if (query && !link) this.notice.show(new Error("This link is damaged."), [["Begin with an empty page", () => this.clear()]]);
    if (link) this.settings.write(link.steps[0]);
    try {
      this.settings.models.fill(await models());
      this.#describe();
    } catch (error) {
      this.notice.show(error, [["Try again", () => this.show(query)]]);
      return;
    }
    if (link) await this.replay(link);
    else if (this.isEditing && matchMedia("(pointer: fine)").matches) this.prompt.focus();
    this.#grow();
  }

  clear() {
    this.halt();
    history.replaceState(null, "", "#write");
    this.prompt.value = "";
    this.edit();
  }

  /** Generate from the prompt. */
  async begin() {
    const params = this.settings.read();
    if (!params) return;
    this.notice.hide();
    this.#showPrompt(this.prompt.value);
    await this.#perform({...params, at: 0, put: null});
  }

  /** Go on from the end of the text. */
  async proceed() {
    const params = this.settings.read();
    if (params) await this.#perform({...params, at: this.text.characters.length - this.draft.base, put: null});
  }

  /** The same prompt with another seed, unless the seed is chosen. */
  async again() {
    const params = this.settings.read();
    if (!params) return;
    this.draft.remember(this.text.characters);
    this.text.truncate(this.draft.base);
    this.draft.start(this.draft.base);
    await this.#perform({...params, at: 0, put: null});
  }

  /** Go on with a guess in place of the character `index`. */
  async branch(index, [character, logprob]) {
    const params = this.settings.read();
    if (!params) return;
    close();
    await this.halt();
    this.draft.remember(this.text.characters);
    const at = index - this.draft.base;
    const {top} = this.text.characters[index];
    this.draft.branch(at);
    await this.#perform({...params, at, put: {text: character, logprob, top, chosen: true}});
  }

  /** Return to the text before the last branch. */
  async back() {
    await this.halt();
    const characters = this.draft.back();
    if (!characters) return;
    this.isEditing = false;
    this.text.load(characters);
    this.cursor.forget();
    this.#finished("The text before.");
  }

  /** Make the whole text the prompt. */
  async edit() {
    await this.halt();
    if (!this.isEditing) {
      this.draft.remember(this.text.characters);
      this.prompt.value = this.text.text;
      this.draft.start(0);
    }
    this.isEditing = true;
    close();
    this.#draw();
    this.#grow();
    this.prompt.focus();
    this.prompt.setSelectionRange(this.prompt.value.length, this.prompt.value.length);
    this.status.textContent = "";
  }

  /** Return to the prompt alone. */
  async renew() {
    await this.halt();
    const prompt = this.#prompt();
    await this.edit();
    this.prompt.value = prompt;
    this.#grow();
  }

  /** Stop the request that runs, and wait until it has ended. */
  async halt() {
    this.running?.abort();
    await this.ended;
  }

  /** Make the text of a link again, request by request. */
  async replay({prompt, steps}) {
    await this.halt();
    this.notice.hide();
    this.settings.write(steps.at(-1));
    this.prompt.value = prompt;
    this.#showPrompt(prompt);
    for (const [number, step] of steps.entries()) {
      const length = lengthNeeded(step, steps[number + 1]);
      if (step.put) step.put = this.#chosen(step);
      if (length > 0 && !(await this.#perform({...step, length}))) return;
    }
  }

  /** The character that a link's step has chosen, with its probability where the step before has shown it. */
  #chosen({at, put}) {
    const {top} = this.text.characters[this.draft.base + at] ?? {};
    const guess = top?.find(([character]) => character === put.text);
    return {text: put.text, logprob: guess?.[1], top, chosen: true};
  }

  /** Run one request and show its characters; true if it has ended by itself. */
  async #perform(step) {
    await this.halt();
    this.text.truncate(this.draft.base + step.at);
    if (step.put) this.text.push([step.put]);
    await this.text.drained();
    const prompt = this.text.text;
    this.seen = document.scrollingElement.scrollHeight;
    const running = (this.running = new AbortController());
    const before = this.text.characters.length;
    const began = performance.now();
    let first = 0;
    let isBegun = false;
    this.notice.hide();
    this.#draw();
    this.#say("Writing");
    const run = generate(present({prompt, ...requestOf(step)}), {
      signal: running.signal,
      onWait: (seconds) => this.#say(waiting(seconds)),
      onStart: (made) => {
        isBegun = true;
        this.draft.add({...step, ...made});
        this.#say("Writing");
      },
      onCharacters: (characters) => {
        first ||= performance.now() - began;
        this.text.push(characters);
      },
    });
    this.ended = this.#settle(run);
    const last = await this.ended;
    if (!last) this.#cut(this.text.characters.length - before, isBegun);
    else this.#finished(summary(this.text.characters.slice(before), last, first));
    return Boolean(last);
  }

  /** Wait for the end of a request, whatever it is; the last event if there is one. */
  async #settle(run) {
    const {signal} = this.running;
    try {
      const last = await run;
      await Promise.race([this.text.drained(), new Promise((resolve) => signal.addEventListener("abort", resolve))]);
      if (!signal.aborted) return last;
    } catch (error) {
      if (!signal.aborted) this.notice.show(error, this.#waysOut(error));
    } finally {
      this.running = null;
    }
    if (signal.aborted) this.text.drop();
    return null;
  }

  /** Show the end of a request that was stopped, or failed, after `made` characters. */
  #cut(made, isBegun) {
    this.draft.cut(made, isBegun);
    if (this.text.characters.length > this.draft.base || this.draft.steps.length) {
      this.#finished(`Stopped after ${count(made)} characters.`);
      return;
    }
    this.isEditing = true; // nothing was made: the prompt is there again
    this.status.textContent = "";
    this.#draw();
    this.#grow();
  }

  #waysOut(error) {
    if (error.code === BROKEN) return [["Continue from here", () => this.proceed()]];
    if (error.status === 404) {
      const other = error.param === "version" ? "Use the newest version" : "Use the default model";
      return [[other, () => this.#useNewest(error.param)]];
    }
    if (error.status === 422) return [];
    return [["Try again", () => (this.isEditing ? this.begin() : this.proceed())]];
  }

  async #useNewest(param) {
    const response = await models();
    const fields = this.settings.models;
    fields.write({model: param === "version" ? fields.model.value : response.default});
    fields.fill(response);
    await this.begin();
  }

  #finished(sentence) {
    this.status.replaceChildren(sentence);
    announce(sentence);
    const {seed} = this.draft.steps.at(-1) ?? {};
    if (seed !== undefined) {
      const keep = this.#button(`seed ${seed}`, () => this.settings.fields.seed.write(seed), "quiet seed");
      keep.title = "Keep this seed";
      this.status.append(" · ", keep);
    }
    const link = this.#link();
    if (link.length <= MOST_ADDRESS_CHARS) history.replaceState(null, "", link);
    this.#draw();
    this.#drawCode();
  }

  #say(sentence) {
    const before = this.status.textContent.replace(/\d+/, "");
    this.status.replaceChildren(h("span", {class: "busy"}, sentence));
    if (before !== sentence.replace(/\d+/, "")) announce(sentence); // of a countdown, only its beginning
  }

  #link() {
    return new URL(this.draft.fragment(this.#prompt()), location.href).href;
  }

  #prompt() {
    return this.text.characters.slice(0, this.draft.base).map((character) => character.text).join("");
  }

  #showPrompt(prompt) {
    this.isEditing = false;
    this.cursor.forget();
    this.text.load([...prompt].map((text) => ({text})));
    this.draft.start(this.text.characters.length);
  }

  #draw() {
    const isRunning = this.running !== null;
    const isReading = !this.isEditing && !isRunning;
    const hadFocus = document.activeElement;
    this.prompt.hidden = this.about.hidden = !this.isEditing;
    this.text.element.hidden = this.isEditing;
    this.start.hidden = !this.isEditing || isRunning;
    this.stop.hidden = !isRunning;
    this.more.hidden = !isReading;
    for (const button of this.reading) button.hidden = !isReading;
    this.backButton.hidden = isRunning || !this.draft.hasPast;
    this.legend.hidden = this.isEditing || this.page.classList.contains("plain");
    this.text.element.setAttribute("aria-busy", isRunning);
    // A hidden button loses the focus: the button that takes its place gets it.
    if (hadFocus?.hidden) (isRunning ? this.stop : this.isEditing ? this.start : this.more).focus({preventScroll: true});
  }

  #shade(isOn) {
    this.page.classList.toggle("plain", !isOn);
    this.#draw();
  }

  /** The height of the prompt is that of its text. */
  #grow() {
    this.prompt.style.height = "auto";
    this.prompt.style.height = `${this.prompt.scrollHeight}px`;
  }

  /** Keep the end of the text in sight while it grows, unless the reader has scrolled away from it. */
  #follow() {
    const root = document.scrollingElement;
    const height = root.scrollHeight;
    if (root.scrollTop + innerHeight > this.seen - 120) root.scrollTop = height;
    this.seen = height;
  }

  async #describe() {
    this.about.textContent = await describe(this.settings.models.current());
  }

  #toggleCode() {
    this.codeButton.setAttribute("aria-expanded", this.code.toggle());
    this.#drawCode();
  }

  /** Show the last request as code, or the one that Start would send. */
  #drawCode() {
    if (this.code.isOpen) this.code.draw(this.#request());
  }

  #request() {
    const last = this.isEditing ? null : this.draft.steps.at(-1);
    if (!last) return present({prompt: this.prompt.value, length: 500, ...this.settings.read()});
    const start = this.draft.base + startOf(last);
    const before = this.text.characters.slice(0, start).map((character) => character.text);
    return present({prompt: before.join(""), length: 500, ...requestOf(last)});
  }

  onKey(event) {
    const isTyping = event.target.matches("input, textarea, select");
    if (document.querySelector("dialog[open]")) return;
    if (event.key === "Escape" && this.running) this.halt();
    else if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && this.isEditing && !this.running) this.begin();
    else if (event.key === "Backspace" && !isTyping && !event.ctrlKey && !event.metaKey && this.draft.hasPast) this.back();
    else return;
    event.preventDefault();
  }
}

function summary(characters, last, first) {
  const speed = last.timings?.chars_per_second;
  const made = characters.length;
  const why = last.finish_reason === "stop" ? ", ended by a stop string" : last.finish_reason === "timeout" ? ", ended by the time limit" : "";
  const facts = [`${count(made)} characters${why}`, speed && `${count(speed)} a second`, `first after ${count(first)} ms`, `${decimal(meanBits(characters))} bits each`];
  return facts.filter(Boolean).join(" · ");
}

// Write: a prompt, the text that the model writes after it, and branches of that text.

import {BROKEN, generate, models, versionOf} from "./api.js";
import {announce, chance, copy, count, decimal, h} from "./dom.js";
import {close, inspectable} from "./guesses.js";
import {Notice, waiting} from "./notice.js";
import {InvalidField, fromQuery, modelFields, numberField, present, stopField, temperatureField, toFragment} from "./params.js";
import {FORMS, snippet} from "./snippets.js";
import {SHADES, TextView, meanBits} from "./text.js";

const MOST_BACK = 50; // earlier texts that are kept
const MOST_ADDRESS_CHARS = 8000; // a longer link is only copied

/** Build the view in `section`. */
export function mount(section) {
  const view = new Write();
  section.append(h("h1", {class: "unseen"}, "Write"), view.page, view.side);
  addEventListener("keydown", (event) => section.isConnected && view.onKey(event));
  return (query) => view.show(query);
}

class Write {
  text = new TextView("The text. Arrow keys move from character to character.");
  notice = new Notice();
  steps = []; // the requests that made the text (see toFragment), with the version and seed that they got
  base = 0; // characters of the prompt
  past = []; // earlier texts, for Back
  running = null; // AbortController
  isEditing = true;

  constructor() {
    this.cursor = inspectable(this.text, (index, guess) => this.branch(index, guess));
    this.text.element.addEventListener("dblclick", () => getSelection().isCollapsed && this.edit());
    this.text.onFrame = () => this.#follow();
    this.#buildPage();
    this.#buildSide();
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
      this.#button("Again", () => this.again()),
      (this.backButton = this.#button("Back", () => this.back())),
      (this.copyButton = this.#button("Copy", () => copy(this.text.text, this.copyButton))),
      (this.linkButton = this.#button("Link", () => copy(this.#link(), this.linkButton))),
    ];
    this.codeButton = this.#button("Code", () => this.#toggleCode());
    this.codeButton.setAttribute("aria-expanded", "false");
    this.settingsButton = this.#button("Settings", () => this.#toggleSettings(), "quiet settings-button");
    this.settingsButton.setAttribute("aria-expanded", "false");
    this.status = h("p", {class: "status"});
    this.legend = legend();
    this.code = this.#codePanel();
    const bar = h("div", {class: "bar", role: "group", "aria-label": "Actions"},
      this.start, this.stop, this.more, this.reading, this.codeButton, this.settingsButton);
    this.page = h("div", {class: "page"}, this.prompt, this.text.element, this.notice.element, this.about,
      h("div", {class: "foot"}, bar, this.status), this.legend, this.code);
  }

  #button(label, onclick, kind = "quiet") {
    return h("button", {type: "button", class: kind, onclick}, label);
  }

  #buildSide() {
    this.models = modelFields();
    this.fields = {
      temperature: temperatureField(), length: numberField("length"), seed: numberField("seed"),
      top_k: numberField("top_k"), top_p: numberField("top_p"), stop: stopField(),
    };
    const {temperature, length, seed, top_k: topK, top_p: topP, stop} = this.fields;
    const option = (label, isOn, onchange) =>
      h("label", {class: "check"}, h("input", {type: "checkbox", checked: isOn, onchange}), label);
    const shades = option("Shade by probability", true, (event) => this.#shade(event.target.checked));
    const slow = option("Reading speed", false, (event) => (this.text.isSlow = event.target.checked));
    const mono = option("Fixed-width letters", false, (event) => this.page.classList.toggle("mono", event.target.checked));
    this.side = h("aside", {"aria-label": "Settings", class: "side"}, this.models.elements, temperature.element,
      length.element, seed.element,
      h("details", {}, h("summary", {}, "More"), topK.element, topP.element, stop.element), shades, slow, mono);
    this.models.model.addEventListener("change", () => this.#describe());
    this.models.version.addEventListener("change", () => this.#describe());
  }

  #codePanel() {
    const pre = h("pre", {tabindex: 0, "aria-label": "The request"}, h("code"));
    const tabs = FORMS.map((form) => this.#button(form, () => this.#chooseForm(form)));
    const copyCode = this.#button("Copy", () => copy(pre.textContent, copyCode));
    this.form = FORMS[0];
    this.formTabs = tabs;
    return h("section", {class: "code", hidden: true, "aria-label": "The request as code"},
      h("div", {class: "bar"}, tabs, copyCode), pre);
  }

  /** Open the view; a link begins to make its text. */
  async show(query) {
    const link = query && fromQuery(query);
    if (query && !link) this.notice.show(new Error("This link is damaged."), [["Begin with an empty page", () => this.clear()]]);
    if (link) this.#write(link.steps[0]);
    try {
      this.models.fill(await models());
      this.#describe();
    } catch (error) {
      this.#explain(error, [["Try again", () => this.show(query)]]);
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
    const params = this.#read();
    if (!params) return;
    this.notice.hide();
    this.#showPrompt(this.prompt.value);
    await this.#perform({...params, at: 0, put: null});
  }

  /** Go on from the end of the text. */
  async proceed() {
    const params = this.#read();
    if (params) await this.#perform({...params, at: this.#made(), put: null});
  }

  /** The same prompt with another seed, unless the seed is chosen. */
  async again() {
    const params = this.#read();
    if (!params) return;
    this.#remember();
    this.text.truncate(this.base);
    this.steps = [];
    await this.#perform({...params, at: 0, put: null});
  }

  /** Go on with a guess in place of the character `index`. */
  async branch(index, [character, logprob]) {
    const params = this.#read();
    if (!params) return;
    close();
    await this.halt();
    this.#remember();
    const at = index - this.base;
    const {top} = this.text.characters[index];
    this.steps = this.steps.filter((step, number) => number === 0 || step.at < at || (step.at === at && !step.put));
    await this.#perform({...params, at, put: {text: character, logprob, top, chosen: true}});
  }

  /** Return to the text before the last branch. */
  async back() {
    await this.halt();
    const earlier = this.past.pop();
    if (!earlier) return;
    Object.assign(this, {steps: earlier.steps, base: earlier.base, isEditing: false});
    this.text.load(earlier.characters);
    this.cursor.forget();
    this.#finished("The text before.");
  }

  /** Make the whole text the prompt. */
  async edit() {
    await this.halt();
    if (!this.isEditing) {
      this.#remember();
      this.prompt.value = this.text.text;
      this.steps = [];
    }
    this.isEditing = true;
    close();
    this.#draw();
    this.#grow();
    this.prompt.focus();
    this.prompt.setSelectionRange(this.prompt.value.length, this.prompt.value.length);
    this.status.textContent = "";
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
    this.#write(steps.at(-1));
    this.prompt.value = prompt;
    this.#showPrompt(prompt);
    for (const [number, step] of steps.entries()) {
      const next = steps[number + 1];
      // Of a step that a branch cuts short, one character more shows the probability of the guess.
      const needed = next ? next.at - step.at - (step.put ? 1 : 0) + (next.put ? 1 : 0) : Infinity;
      if (step.put) step.put = this.#chosen(step);
      if (needed > 0 && !(await this.#perform({...step, length: Math.min(step.length ?? 500, needed)}))) return;
    }
  }

  /** The character that a link's step has chosen, with its probability where the step before has shown it. */
  #chosen({at, put}) {
    const {top} = this.text.characters[this.base + at] ?? {};
    const guess = top?.find(([character]) => character === put.text);
    return {text: put.text, logprob: guess?.[1], top, chosen: true};
  }

  /** Run one request and show its characters; true if it has ended by itself. */
  async #perform(step) {
    await this.halt();
    this.text.truncate(this.base + step.at);
    if (step.put) this.text.push([step.put]);
    await this.text.drained();
    const prompt = this.text.text;
    const running = (this.running = new AbortController());
    const before = this.text.characters.length;
    const began = performance.now();
    let first = 0;
    this.notice.hide();
    this.#draw();
    this.#say("Writing");
    const run = generate(present({prompt, ...requestOf(step)}), {
      signal: running.signal,
      onWait: (seconds) => this.#say(waiting(seconds)),
      onStart: (made) => {
        this.steps = [...this.steps, {...step, ...made}];
        this.#say("Writing");
      },
      onCharacters: (characters) => {
        first ||= performance.now() - began;
        this.text.push(characters);
      },
    });
    this.ended = this.#settle(run, before);
    const last = await this.ended;
    if (last) this.#finished(summary(this.text.characters.slice(before), last, first));
    return Boolean(last);
  }

  /** Wait for the end of a request, whatever it is; the last event if there is one. */
  async #settle(run, before) {
    const {signal} = this.running;
    try {
      const last = await run;
      await Promise.race([this.text.drained(), new Promise((resolve) => signal.addEventListener("abort", resolve))]);
      if (!signal.aborted) return last;
    } catch (error) {
      if (!signal.aborted) this.#explain(error, this.#waysOut(error));
    } finally {
      this.running = null;
    }
    if (signal.aborted) this.text.drop();
    this.#cut(before);
    return null;
  }

  /** After a request that was stopped or failed: its step ends where the text ends. */
  #cut(before) {
    const made = this.text.characters.length - before;
    const last = this.steps.at(-1);
    if (last && made > 0) last.length = made;
    else if (last && last.at + (last.put ? 1 : 0) === before - this.base) this.steps = this.steps.slice(0, -1);
    if (this.text.characters.length === this.base && !this.steps.length) {
      this.isEditing = true;
      this.#draw();
      this.#grow();
      this.status.textContent = "";
    } else {
      this.#finished(`Stopped after ${count(Math.max(made, 0))} characters.`);
    }
  }

  #explain(error, ways) {
    if (error instanceof InvalidField) return;
    this.notice.show(error, ways);
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
    this.models.write({model: param === "version" ? this.models.model.value : response.default});
    this.models.fill(response);
    await this.begin();
  }

  #finished(sentence) {
    this.status.replaceChildren(sentence);
    announce(sentence);
    const {seed, model, version} = this.steps.at(-1) ?? {};
    if (seed !== undefined) {
      const keep = this.#button(`seed ${seed}`, () => this.fields.seed.write(seed), "quiet seed");
      keep.title = "Keep this seed";
      this.status.append(` ${model} ${version}, `, keep);
    }
    const link = this.#link();
    if (link.length <= MOST_ADDRESS_CHARS) history.replaceState(null, "", link);
    this.#draw();
    this.#drawCode();
  }

  #say(sentence) {
    this.status.replaceChildren(h("span", {class: "busy"}, sentence));
    if (sentence === "Writing") announce(sentence);
  }

  #link() {
    if (!this.steps.length) return new URL("#write", location.href).href;
    const prompt = this.text.characters.slice(0, this.base).map((character) => character.text).join("");
    return new URL(toFragment("write", prompt, this.steps), location.href).href;
  }

  #made() {
    return this.text.characters.length - this.base;
  }

  #showPrompt(prompt) {
    this.steps = [];
    this.isEditing = false;
    this.cursor.forget();
    const characters = [...prompt].map((text) => ({text}));
    this.base = characters.length;
    this.text.load(characters);
  }

  #remember() {
    if (!this.text.characters.length || !this.steps.length) return;
    this.past.push({characters: [...this.text.characters], steps: this.steps, base: this.base});
    if (this.past.length > MOST_BACK) this.past.shift();
  }

  /** The parameters in the fields; null if the browser has shown what is wrong with one. */
  #read() {
    try {
      const values = Object.entries(this.fields).map(([name, one]) => [name, one.read()]);
      return present({...this.models.read(), ...Object.fromEntries(values)});
    } catch (error) {
      if (!(error instanceof InvalidField)) throw error;
      this.side.classList.add("open");
      error.input.closest("details")?.setAttribute("open", "");
      error.input.reportValidity();
      return null;
    }
  }

  #write(step) {
    this.models.write(step);
    for (const [name, one] of Object.entries(this.fields)) one.write(step[name] ?? (name === "temperature" ? 1 : name === "length" ? 500 : undefined));
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
    this.backButton.hidden = isRunning || !this.past.length;
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
    if (this.seen === undefined || root.scrollTop + innerHeight > this.seen - 120) root.scrollTop = height;
    this.seen = height;
  }

  async #describe() {
    const current = this.models.current();
    if (!current?.version) {
      this.about.textContent = current ? "" : "The service has no model yet. Publish one, and it appears here.";
      return;
    }
    try {
      const {manifest} = await versionOf(current.name, current.version);
      const files = manifest.corpus?.files?.map((file) => file.path) ?? [];
      const read = manifest.corpus?.characters ? `It has read ${count(manifest.corpus.characters)} characters${files.length === 1 ? ` of ${files[0]}` : ""}` : "";
      this.about.textContent = `${current.name}, version ${current.version}, is a network of ${count(manifest.parameters)} numbers. ${read} and writes one character at a time.`;
    } catch {
      this.about.textContent = "";
    }
  }

  #toggleSettings() {
    const isOpen = this.side.classList.toggle("open");
    this.settingsButton.setAttribute("aria-expanded", isOpen);
    if (isOpen) this.models.model.focus();
  }

  #toggleCode() {
    this.code.hidden = !this.code.hidden;
    this.codeButton.setAttribute("aria-expanded", !this.code.hidden);
    this.#drawCode();
  }

  #chooseForm(form) {
    this.form = form;
    this.#drawCode();
  }

  #drawCode() {
    if (this.code.hidden) return;
    const params = this.#read();
    const last = this.isEditing ? null : this.steps.at(-1);
    const start = last ? this.base + last.at + (last.put ? 1 : 0) : 0;
    const before = this.text.characters.slice(0, start).map((character) => character.text);
    const prompt = last ? before.join("") : this.prompt.value;
    const body = present({prompt, length: 500, ...(last ? requestOf(last) : params)});
    this.code.querySelector("code").textContent = snippet(this.form, body);
    for (const tab of this.formTabs) tab.setAttribute("aria-pressed", tab.textContent === this.form);
  }

  onKey(event) {
    const isTyping = event.target.matches("input, textarea, select");
    if (document.querySelector("dialog[open]")) return;
    if (event.key === "Escape" && this.running) this.halt();
    else if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && this.isEditing && !this.running) this.begin();
    else if (event.key === "Backspace" && !isTyping && !event.ctrlKey && !event.metaKey && this.past.length) this.back();
    else return;
    event.preventDefault();
  }
}

/** The fields of a step that are sent. */
const requestOf = ({at, put, ...params}) => params;

function summary(characters, last, first) {
  const speed = last.timings?.chars_per_second;
  const made = characters.length;
  const why = last.finish_reason === "stop" ? ", ended by a stop string" : last.finish_reason === "timeout" ? ", ended by the time limit" : "";
  return `${count(made)} characters${why}${speed ? `, ${count(speed)} a second` : ""}, the first after ${count(first)} ms, ${decimal(meanBits(characters))} bits each.`;
}

/** The shades and the probabilities at which they begin. */
export function legend() {
  const names = ["likely", ...SHADES.map((limit) => `< ${chance(limit)}`)];
  return h("p", {class: "legend"}, names.map((name, shade) => h("span", {class: `s${shade}`}, name)));
}

// Write: a prompt, the text that the model writes after it, and branches of that text.

import {Actions} from "./actions.js";
import {setAddress} from "./address.js";
import {BROKEN} from "./api.js";
import {fillChoices} from "./choice.js";
import {CodePanel} from "./code.js";
import {button, copy, h} from "./dom.js";
import {Draft} from "./draft.js";
import {close, inspectable} from "./guesses.js";
import {Notice} from "./notice.js";
import {fromQuery, present} from "./params.js";
import {Settings, describe} from "./settings.js";
import {offerText} from "./shared.js";
import {Status} from "./status.js";
import {TextView, legend} from "./text.js";
import {Writer} from "./writer.js";

export default class Write {
  text = new TextView("The text. Arrow keys move from character to character.");
  notice = new Notice();
  draft = new Draft();
  settings = new Settings({
    onModel: () => this.#describe(),
    onShade: (isOn) => {
      this.page.classList.toggle("plain", !isOn);
      this.#draw();
    },
    onSlow: (isSlow) => (this.text.isSlow = isSlow),
    onMono: (isMono) => {
      this.page.classList.toggle("mono", isMono);
      this.#grow();
    },
  });
  actions = new Actions({
    start: () => this.begin(), stop: () => this.halt(), proceed: () => this.proceed(), edit: () => this.edit(),
    renew: () => this.renew(), again: () => this.again(), back: () => this.back(),
    copy: (its) => copy(this.text.text, its), link: (its) => copy(this.#link(), its),
    code: () => this.#toggleCode(), settings: () => this.settings.toggle(),
  });
  status = new Status();
  code = new CodePanel();
  writer = new Writer(this, {
    onBegin: () => this.#begun(),
    onEnd: (sentence) => this.#ended(sentence),
    onError: (error, step, made) => this.notice.show(error, this.#waysOut(error, step, made)),
  });
  isEditing = true;

  constructor() {
    offerText(() => (this.isEditing ? this.prompt.value : this.text.text));
    this.cursor = inspectable(this.text, (index, guess) => this.branch(index, guess));
    this.text.element.addEventListener("dblclick", () => getSelection().isCollapsed && this.edit());
    this.text.onFrame = () => this.#follow();
    this.prompt = h("textarea", {
      class: "prompt", rows: 1, spellcheck: "false", "aria-label": "The beginning of the text",
      placeholder: "Write a beginning, or press Start.",
    });
    this.prompt.addEventListener("input", () => this.#grow());
    addEventListener("resize", () => this.#grow());
    this.about = h("p", {class: "note about"});
    this.legend = legend();
    this.page = h("div", {class: "page"}, this.prompt, this.text.element, this.notice.element, this.about,
      h("div", {class: "foot"}, this.actions.element, this.status.element), this.legend, this.code.element);
    this.#draw();
    this.parts = [this.page, this.settings.element];
  }

  /** Open the view; a link begins to make its text. */
  async show(query) {
    const link = query && fromQuery(query);
    if (query && !link) this.notice.show(new Error("This link is damaged."), [["Begin with an empty page", () => this.clear()]]);
    if (link) this.settings.write(link.steps[0]);
    if (!(await fillChoices(this, () => this.show(query), this.settings.models))) return;
    this.#describe();
    if (link) await this.replay(link);
    else if (this.isEditing && matchMedia("(pointer: fine)").matches) this.prompt.focus();
    this.#grow();
  }

  clear() {
    this.halt();
    setAddress("write", "#write");
    this.prompt.value = "";
    this.edit();
  }

  async begin() {
    const params = this.settings.read();
    if (!params) return;
    this.notice.hide();
    this.#showPrompt(this.prompt.value);
    await this.writer.perform({...params, at: 0, put: null});
  }

  async proceed() {
    const params = this.settings.read();
    if (params) await this.#send({...params, at: this.text.characters.length - this.draft.base, put: null});
  }

  /** The same prompt again; with another seed, if everything else is the same. */
  async again() {
    const params = this.settings.read();
    if (!params) return;
    if (this.draft.isMadeBy({...params, version: this.settings.models.current()?.version})) {
      this.settings.fields.seed.write();
      delete params.seed;
    }
    await this.#send({...params, at: 0, put: null});
  }

  /** Go on with a guess in place of the character `index`. */
  async branch(index, [character, logprob]) {
    const params = this.settings.read();
    if (!params) return;
    close();
    const {top} = this.text.characters[index];
    await this.#send({...params, at: index - this.draft.base, put: {text: character, logprob, top, chosen: true}});
  }

  /** Send a request for the text after `step.at`; `back` returns to the characters that it replaces. */
  async #send(step) {
    await this.halt();
    const {characters} = this.text;
    if (this.draft.base + step.at < characters.length) this.draft.remember(characters);
    await this.writer.perform(step);
  }

  /** Send a request that has failed again, with the settings of now. */
  async #repeat({at, put}) {
    if (this.isEditing) return this.begin();
    const params = this.settings.read();
    return params && this.#send({...params, at, put});
  }

  /** Return to the text before the last branch. */
  async back() {
    const earlier = this.draft.back(); // first, since a branch that is stopped before its first character removes it
    await this.halt();
    if (!earlier) return;
    this.isEditing = false;
    this.notice.hide();
    this.text.load(this.draft.restore(earlier));
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
    this.notice.hide();
    close();
    this.#draw();
    this.#grow();
    this.prompt.focus();
    this.prompt.setSelectionRange(this.prompt.value.length, this.prompt.value.length);
    this.status.end();
  }

  async renew() {
    await this.halt();
    const prompt = this.draft.prompt(this.text.characters);
    await this.edit();
    this.prompt.value = prompt;
    this.#grow();
  }

  async replay({prompt, steps}) {
    await this.halt();
    this.notice.hide();
    this.settings.write(steps.at(-1));
    this.prompt.value = prompt;
    this.#showPrompt(prompt);
    await this.writer.replay(steps);
  }

  #begun() {
    this.seen = document.scrollingElement.scrollHeight;
    this.notice.hide();
    this.#draw();
  }

  /** Show the end of a request; nothing was made if there is no sentence. */
  #ended(sentence) {
    this.isEditing = !sentence;
    if (sentence) {
      this.#finished(sentence);
    } else {
      this.status.end();
      this.#draw();
      this.#grow();
    }
  }

  #waysOut(error, step, made) {
    if (error.code === BROKEN && made) return [["Continue from here", () => this.proceed()]];
    if (error.status === 404) {
      const isKnown = this.settings.models.current() !== undefined;
      return [[isKnown ? "Use the newest version" : "Use the default model", () => this.#useNewest(step)]];
    }
    if (error.status === 422) return [];
    return [["Try again", () => (made ? this.proceed() : this.#repeat(step))]];
  }

  async #useNewest(step) {
    const {models} = this.settings;
    if (!models.current()) models.model.value = ""; // the default one
    models.version.value = "";
    if (await fillChoices(this, () => this.#useNewest(step), models)) await this.#repeat(step);
  }

  #finished(sentence) {
    const {seed} = this.draft.steps.at(-1) ?? {};
    const keep = button(`seed ${seed}`, () => this.settings.fields.seed.write(seed), "quiet seed");
    keep.title = "Keep this seed";
    this.status.end(sentence, ...(seed === undefined ? [] : [" · ", keep]));
    setAddress("write", this.draft.fragment(this.text.characters));
    this.#draw();
    this.#drawCode();
  }

  #link() {
    return new URL(this.draft.fragment(this.text.characters), location.href).href;
  }

  #showPrompt(prompt) {
    this.isEditing = false;
    this.cursor.forget();
    this.text.load([...prompt].map((text) => ({text})));
    this.draft.start(this.text.characters.length);
  }

  #draw() {
    const isRunning = this.running !== null;
    this.prompt.hidden = this.about.hidden = !this.isEditing;
    this.text.element.hidden = this.isEditing;
    this.text.element.setAttribute("aria-busy", isRunning);
    this.legend.hidden = this.isEditing || this.page.classList.contains("plain");
    this.actions.draw({isEditing: this.isEditing, isRunning, hasPast: this.draft.hasPast});
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
    this.about.textContent = await describe(this.settings.models);
  }

  #toggleCode() {
    const isOpen = this.code.toggle();
    this.#drawCode();
    return isOpen;
  }

  /** Show the last request as code, or the one that Start would send. */
  #drawCode() {
    if (!this.code.isOpen) return;
    const last = this.isEditing ? null : this.draft.request(this.text.characters);
    this.code.draw(present({prompt: this.prompt.value, length: 500, ...(last ?? this.settings.read())}));
  }

  get running() {
    return this.writer.running;
  }

  get canBegin() {
    return this.isEditing && !this.running;
  }

  halt() {
    return this.writer.halt();
  }

  /** Backspace outside of a field returns to the text before, unless a prompt is written; true if it has. */
  onKey(event) {
    const isTyping = this.isEditing || event.target.matches("input, textarea, select");
    if (event.key !== "Backspace" || isTyping || event.ctrlKey || event.metaKey || !this.draft.hasPast) return false;
    this.back();
    return true;
  }
}

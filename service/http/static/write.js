// Write: a prompt, the text that the model writes after it, and branches of that text.

import {Actions} from "./actions.js";
import {setAddress} from "./address.js";
import {BROKEN, models} from "./api.js";
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
    onMono: (isMono) => this.page.classList.toggle("mono", isMono),
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
    onError: (error) => this.notice.show(error, this.#waysOut(error)),
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
    if (params) await this.writer.perform({...params, at: this.text.characters.length - this.draft.base, put: null});
  }

  /** The same prompt again; with another seed, if everything else is the same. */
  async again() {
    const params = this.settings.read();
    if (!params) return;
    if (this.draft.isMadeBy(params)) {
      this.settings.fields.seed.write();
      delete params.seed;
    }
    this.draft.remember(this.text.characters);
    this.text.truncate(this.draft.base);
    this.draft.start(this.draft.base);
    await this.writer.perform({...params, at: 0, put: null});
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
    await this.writer.perform({...params, at, put: {text: character, logprob, top, chosen: true}});
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

  #waysOut(error) {
    if (error.code === BROKEN) return [["Continue from here", () => this.proceed()]];
    if (error.status === 404) {
      const isKnown = this.settings.models.current() !== undefined;
      return [[isKnown ? "Use the newest version" : "Use the default model", () => this.#useNewest()]];
    }
    if (error.status === 422) return [];
    return [["Try again", () => (this.isEditing ? this.begin() : this.proceed())]];
  }

  async #useNewest() {
    const response = await models();
    const fields = this.settings.models;
    fields.write({model: fields.current() ? fields.model.value : response.default});
    fields.fill(response);
    await this.begin();
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

  /** Backspace outside of a field returns to the text before; true if it has. */
  onKey(event) {
    const isTyping = event.target.matches("input, textarea, select");
    if (event.key !== "Backspace" || isTyping || event.ctrlKey || event.metaKey || !this.draft.hasPast) return false;
    this.back();
    return true;
  }
}

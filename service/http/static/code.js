// The request as code, under the text.

import {button, copy, h} from "./dom.js";
import {FORMS, snippet} from "./snippets.js";

export class CodePanel {
  #form = FORMS[0];
  #body = {};

  constructor() {
    this.code = h("code");
    this.tabs = FORMS.map((form) => button(form, () => this.#choose(form)));
    const copyButton = button("Copy code", () => copy(this.code.textContent, copyButton));
    this.element = h("section", {class: "code", hidden: true, "aria-label": "The request as code"},
      h("div", {class: "bar"}, this.tabs, copyButton, h("a", {href: "docs"}, "All fields")), h("pre", {}, this.code));
  }

  get isOpen() {
    return !this.element.hidden;
  }

  /** Open or close the panel; whether it is open now. */
  toggle() {
    this.element.hidden = !this.element.hidden;
    return this.isOpen;
  }

  draw(body) {
    this.#body = body;
    this.code.textContent = snippet(this.#form, body);
    for (const tab of this.tabs) tab.setAttribute("aria-pressed", tab.textContent === this.#form);
  }

  #choose(form) {
    this.#form = form;
    this.draw(this.#body);
  }
}

// Shows an error in words, with an action that may help.

import {h} from "./dom.js";

const HINTS = {
  unreachable: "Is it still running? The text stays here.",
  connection_broken: "The text up to here is safe.",
  draining: "Another one may take over at this address.",
  invalid_api_key: "Try again to enter a key.",
  unsupported_by_model: "Choose another version.",
  internal_error: "The log of the service has the details, under the id of the request.",
};

/** A place for one sentence about an error; `ways` are pairs of a label and a function. */
export class Notice {
  element = h("div", {class: "notice", role: "alert", hidden: true});

  show(error, ways = []) {
    const hint = HINTS[error.code];
    const buttons = ways.map(([label, act]) =>
      h("button", {
        type: "button", class: "quiet",
        onclick: () => {
          this.hide();
          act();
        },
      }, label),
    );
    this.element.replaceChildren(h("p", {}, sentence(error.message), hint ? ` ${hint}` : ""), ...buttons);
    this.element.hidden = false;
  }

  /** Hide it; the view's main button gets the focus that a button of the notice has. */
  hide() {
    const hadFocus = this.element.contains(document.activeElement);
    this.element.hidden = true;
    this.element.replaceChildren();
    if (hadFocus) (document.querySelector("main button.main:not([hidden])") ?? document.querySelector("main")).focus({preventScroll: true});
  }
}

const sentence = (text) => (/[.!?]$/.test(text) ? text : `${text}.`);

const REASONS = {queue_full: "The service is busy.", rate_limit_exceeded: "The rate limit is reached."};

/** The text of a countdown to another attempt after an error. */
export const waiting = (seconds, {code, message}) =>
  seconds > 0 ? `${REASONS[code] ?? sentence(message)} Trying again in ${seconds} s` : "Trying again";

// The buttons under the text of Write, and which of them are shown. Knows nothing of the text.

import {actionBar, button, stopButton} from "./dom.js";

/** `act` has a function for each button: `start`, `stop`, `proceed`, `edit`, `renew`, `again`, `back`, `code`, `settings`. */
export class Actions {
  constructor(act) {
    this.start = button("Start", act.start, "main");
    this.stop = stopButton(act.stop);
    this.proceed = button("Continue", act.proceed, "main");
    this.back = button("Back", act.back);
    const copyButton = button("Copy", () => act.copy(copyButton));
    const linkButton = button("Link", () => act.link(linkButton));
    this.reading = [button("Edit", act.edit), button("New", act.renew), button("Again", act.again), this.back, copyButton, linkButton];
    const toggle = (label, open, kind) => {
      const made = button(label, () => made.setAttribute("aria-expanded", open()), kind);
      made.setAttribute("aria-expanded", "false");
      return made;
    };
    this.element = actionBar(this.start, this.stop, this.proceed, this.reading,
      toggle("Code", act.code), toggle("Settings", act.settings, "quiet settings-button"));
  }

  draw({isEditing, isRunning, hasPast}) {
    const hadFocus = document.activeElement;
    const isReading = !isEditing && !isRunning;
    this.start.hidden = !isEditing || isRunning;
    this.stop.hidden = !isRunning;
    this.proceed.hidden = !isReading;
    for (const one of this.reading) one.hidden = !isReading;
    this.back.hidden = isRunning || !hasPast;
    // A hidden button loses the focus: the button that takes its place gets it.
    if (hadFocus?.hidden) (isRunning ? this.stop : isEditing ? this.start : this.proceed).focus({preventScroll: true});
  }
}

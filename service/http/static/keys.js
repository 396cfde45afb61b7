// The API key, in memory only, and the dialog that asks for it.

import {h} from "./dom.js";

let key = null;
let asking = null;

export const keyHeaders = () => (key === null ? {} : {Authorization: `Bearer ${key}`});

export const hasKey = () => key !== null;

/** Ask for a key, once for all requests that need one; true if the user has given it. */
export function askForKey() {
  asking ??= open().finally(() => (asking = null));
  return asking;
}

function open() {
  const problem = key === null ? "" : "That key is not valid.";
  const input = h("input", {
    id: "key", type: "password", autocomplete: "off", required: true, maxlength: 256, pattern: "[!-~]+",
    "aria-describedby": "key-note",
  });
  const dialog = h(
    "dialog",
    {"aria-labelledby": "key-title"},
    h(
      "form",
      {method: "dialog"},
      h("h2", {id: "key-title"}, "This service needs a key"),
      problem && h("p", {class: "problem", role: "alert"}, problem),
      h("label", {for: "key"}, "API key"),
      input,
      h("p", {id: "key-note", class: "note"}, "It stays in this page's memory and is gone when you close or reload the page."),
      h(
        "p",
        {class: "bar"},
        h("button", {class: "main", value: "use"}, "Use key"),
        h("button", {class: "quiet", value: "", formnovalidate: true}, "Not now"),
      ),
    ),
  );
  document.body.append(dialog);
  dialog.showModal();
  input.focus();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => {
      const given = dialog.returnValue === "use" && input.value;
      if (given) key = input.value;
      dialog.remove();
      resolve(Boolean(given));
    });
  });
}

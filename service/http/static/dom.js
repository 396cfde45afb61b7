// Elements, numbers and words for the page. Knows no view.

const SVG = "http://www.w3.org/2000/svg";

/** An element. Functions become listeners; true, false and null become attributes that are present or absent. */
export function h(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

export function svg(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

export const button = (label, onclick, kind = "quiet") => h("button", {type: "button", class: kind, onclick}, label);

export const actionBar = (...buttons) => h("div", {class: "bar", role: "group", "aria-label": "Actions"}, buttons);

/** The button that stops what runs; the views stop at the key, too. */
export const stopButton = (onclick) => button(["Stop", h("kbd", {}, "Esc")], onclick, "main");

const whole = new Intl.NumberFormat("en", {maximumFractionDigits: 0});

/** 1234.5 -> "1,235" */
export const count = (number) => whole.format(number);

/** What a model reads and writes, in the singular: the unit of the numbers in its manifest. */
export const symbolOf = (manifest) => (manifest?.unit === "byte" ? "byte" : "character");

/** A loss with two decimals; a dash where there is none. */
export const decimal = (number, digits = 2) => (Number.isFinite(number) ? number.toFixed(digits) : "–");

/** 0.1234 -> "12 %", and "1 in 5,000" for a probability that would be 0 %. */
export function chance(probability) {
  if (probability >= 0.995) return probability > 0.9995 ? "100 %" : `${(probability * 100).toFixed(1)} %`;
  if (probability >= 0.1) return `${(probability * 100).toFixed(0)} %`;
  if (probability >= 0.001) return `${Number((probability * 100).toFixed(1))} %`;
  return probability > 0 ? `1 in ${count(1 / probability)}` : "0 %";
}

const GLYPHS = new Map([[" ", "␣"], ["\n", "↵"], ["\t", "⇥"]]);
const NAMES = new Map([[" ", "space"], ["\n", "line break"], ["\t", "tab"], ["\ufffd", "replacement character"]]);

/** A character as a visible sign. */
export const glyph = (character) => GLYPHS.get(character) ?? character;

export const spoken = (character) => NAMES.get(character) ?? character;

/** The same of a guess, where U+FFFD stands for all characters that are not in the model's alphabet. */
export const guessGlyph = (guess) => (guess === "\ufffd" ? "…" : glyph(guess));

export const spokenGuess = (guess) => (guess === "\ufffd" ? "any other" : spoken(guess));

/** Say a sentence to screen readers. */
export function announce(sentence) {
  document.querySelector("#announcer").textContent = sentence;
}

/** Put a text on the clipboard, and say so on the button for a moment. */
export async function copy(text, button) {
  const label = (button.dataset.label ??= button.textContent); // it may say "Copied" still
  try {
    await toClipboard(text);
    button.textContent = "Copied";
    announce("Copied.");
  } catch {
    button.textContent = "Not allowed";
    announce("The browser does not allow copying.");
  }
  setTimeout(() => (button.textContent = label), 1500);
}

async function toClipboard(text) {
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  // Over plain HTTP, only a page from this machine has `navigator.clipboard`.
  const field = h("textarea", {class: "unseen"});
  field.value = text;
  const hadFocus = document.activeElement;
  document.body.append(field);
  field.focus({preventScroll: true});
  field.select();
  const isDone = document.execCommand("copy");
  field.remove();
  hadFocus.focus({preventScroll: true});
  if (!isDone) throw new Error("The browser does not allow copying.");
}

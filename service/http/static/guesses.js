// The card beside a character: its probability and the five best guesses. Opened by hover, focus, tap and arrow keys.

import {announce, chance, glyph, guessGlyph, h, spoken, spokenGuess} from "./dom.js";

const GAP = 4; // pixels between a character and its card
const CLOSE_MS = 250; // the pointer needs this time to reach the card

const mark = h("div", {class: "mark", hidden: true});
const card = h("div", {class: "card", role: "group", "aria-label": "Guesses", hidden: true});
let open = null; // {view, index, isPinned, onGuess}
let closing = 0;

card.addEventListener("pointerenter", () => clearTimeout(closing));
card.addEventListener("pointerleave", closeSoon);
document.addEventListener("keydown", (event) => {
  if (card.hidden || event.ctrlKey || event.metaKey || event.altKey) return;
  const isTyping = event.target.matches("input, textarea, select");
  if (event.key === "Escape") close(); // and the view stops what runs
  else if (!isTyping) card.querySelectorAll("li")[event.key - 1]?.querySelector("button")?.click();
});
document.addEventListener("pointerdown", (event) => {
  if (open && !card.contains(event.target) && !open.view.element.contains(event.target)) close();
});
addEventListener("scroll", () => open && place(), {passive: true, capture: true});
addEventListener("resize", close);

export function close() {
  clearTimeout(closing);
  if (card.contains(document.activeElement)) open.view.element.focus({preventScroll: true}); // before the card is hidden, since the focus opens it
  open = null;
  card.hidden = mark.hidden = true;
}

function closeSoon() {
  clearTimeout(closing);
  if (open && !open.isPinned) closing = setTimeout(close, CLOSE_MS);
}

/**
 * Let the characters of a view be inspected. `onGuess(index, guess)` goes on with another character; without it the
 * guesses are only shown.
 */
export function inspectable(view, onGuess = null) {
  const {element} = view;
  let pointed = 0;
  let cursor = -1;

  const show = (index, {isPinned = false, isSpoken = false} = {}) => {
    clearTimeout(closing);
    if (open?.view === view && open.index === index && open.isPinned === isPinned) return;
    open = {view, index, isPinned, onGuess};
    draw();
    if (isSpoken) announce(sentence(view.characters[index]));
  };

  element.addEventListener("pointermove", (event) => {
    if (event.pointerType !== "mouse" || event.buttons) return;
    cancelAnimationFrame(pointed);
    pointed = requestAnimationFrame(() => {
      const index = view.indexAt(event.clientX, event.clientY);
      if (open?.isPinned) return;
      if (index >= 0) show(index);
      else closeSoon();
    });
  });
  element.addEventListener("pointerleave", () => {
    cancelAnimationFrame(pointed);
    closeSoon();
  });
  element.addEventListener("click", (event) => {
    if (!getSelection().isCollapsed) return;
    const index = view.indexAt(event.clientX, event.clientY);
    if (index < 0) close();
    else show((cursor = index), {isPinned: true, isSpoken: true});
  });
  element.addEventListener("focus", () => {
    if (element.matches(":focus-visible") && view.characters.length) {
      if (cursor < 0 || cursor >= view.characters.length) cursor = firstGenerated(view);
      view.lineOf(cursor).scrollIntoView({block: "nearest"}); // or there is no card
      show(cursor, {isPinned: true, isSpoken: true});
    }
  });
  element.addEventListener("blur", (event) => {
    if (open?.view === view && !card.contains(event.relatedTarget)) close();
  });
  element.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !view.characters.length) return;
    const at = cursor < 0 ? firstGenerated(view) : Math.min(cursor, view.characters.length - 1);
    if (event.key === "Enter" && open?.view === view) {
      card.querySelector("button")?.focus();
    } else {
      const next = moved(view, at, event.key);
      if (next === null) return;
      cursor = Math.max(0, Math.min(next, view.characters.length - 1));
      view.lineOf(cursor).scrollIntoView({block: "nearest"});
      show(cursor, {isPinned: true, isSpoken: true});
    }
    event.preventDefault();
  });
  return {forget: () => (cursor = -1)};
}

const firstGenerated = (view) => Math.max(0, view.characters.findIndex((character) => character.logprob !== undefined));

/** The index to which a key moves the cursor, or null. */
function moved(view, at, key) {
  switch (key) {
    case "ArrowLeft":
      return at - 1;
    case "ArrowRight":
      return at + 1;
    case "Home":
      return 0;
    case "End":
      return view.characters.length - 1;
    case "ArrowUp":
      return lineAway(view, at, -1);
    case "ArrowDown":
      return lineAway(view, at, 1);
    default:
      return null;
  }
}

/** The character above or below another one: the nearest one on the next row. */
function lineAway(view, at, step) {
  const from = view.boxOf(at);
  let best = at;
  let row = null;
  for (let index = at + step; index >= 0 && index < view.characters.length; index += step) {
    const box = view.boxOf(index);
    if (Math.abs(box.top - from.top) < from.height / 2) continue;
    row ??= box.top;
    if (Math.abs(box.top - row) > from.height / 2) break;
    if (best === at || Math.abs(box.left - from.left) < Math.abs(view.boxOf(best).left - from.left)) best = index;
  }
  return best;
}

function sentence({text, logprob, top, note}) {
  if (logprob === undefined) return `${spoken(text)}, given`;
  const guesses = (top ?? []).map(([guess, its]) => `${spokenGuess(guess)} ${chance(Math.exp(its))}`);
  return `${spoken(text)}, ${chance(Math.exp(logprob))}${note ? `, ${note}` : ""}${guesses.length ? `. Guesses: ${guesses.join(", ")}` : ""}`;
}

function draw() {
  const {view, index, onGuess} = open;
  const {text, logprob, top, chosen, note = chosen && "your choice"} = view.characters[index];
  const said = logprob === undefined ? "given" : chance(Math.exp(logprob));
  card.replaceChildren(
    h("p", {class: "said"}, h("b", {}, glyph(text)), " ", said, note && h("span", {class: "note"}, ` ${note}`)),
  );
  if (logprob !== undefined && top) {
    card.append(h("ol", {}, top.map((guess, at) => h("li", {}, guessRow(guess, at, text, onGuess)))));
  }
  if (!card.isConnected) document.querySelector("main").append(mark, card);
  card.hidden = mark.hidden = false;
  place();
}

/** Whether a text can go on with a guess in place of the character `taken`. */
function canFollow(character, taken) {
  // U+FFFD stands for many characters, and "\xNN" for a part of one.
  return character !== taken && character !== "\ufffd" && [...character].length === 1;
}

function guessRow(guess, at, text, onGuess) {
  const [character, logprob] = guess;
  const bar = h("i", {});
  bar.style.width = `${Math.exp(logprob) * 100}%`;
  const cells = [
    h("b", {"aria-hidden": "true"}, guessGlyph(character)), h("span", {class: "unseen"}, `${spokenGuess(character)}, `),
    h("span", {class: "rail"}, bar), h("span", {}, chance(Math.exp(logprob))),
  ];
  if (!onGuess || !canFollow(character, text)) {
    return h("span", {class: character === text ? "guess taken" : "guess"}, cells);
  }
  const go = () => {
    const {index} = open;
    close();
    onGuess(index, guess);
  };
  return h("button", {type: "button", class: "guess", title: `Go on with it (key ${at + 1})`, onclick: go}, cells);
}

/** Put the card under its character, or above it at the end of the window. */
function place() {
  const {view, index} = open;
  if (index >= view.characters.length || !view.element.isConnected) return close();
  const box = view.boxOf(index);
  if (box.bottom < 0 || box.top > innerHeight) {
    card.hidden = mark.hidden = true;
    return undefined;
  }
  card.hidden = mark.hidden = false;
  Object.assign(mark.style, {
    left: `${box.left}px`, top: `${box.top}px`, width: `${Math.max(box.width, 6)}px`, height: `${box.height}px`,
  });
  const {offsetWidth: width, offsetHeight: height} = card;
  const left = Math.max(8, Math.min(box.left - 12, document.documentElement.clientWidth - width - 8));
  const isBelow = box.bottom + height + GAP < innerHeight || box.top < height + GAP;
  Object.assign(card.style, {left: `${left}px`, top: `${isBelow ? box.bottom + GAP : box.top - height - GAP}px`});
  return undefined;
}

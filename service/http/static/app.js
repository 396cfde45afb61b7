// The page: its views, the address that selects one, the keys, the theme.
//
// The default export of a view's module is a class: `parts` are its elements, `show(query)` is called when it opens, with the
// parameters of a link or null. Esc calls `halt()` if it has a `running` request, Ctrl+Enter `begin()` if it `canBegin`; its
// `onKey(event)` returns whether it has used another key.

import {addressOf, parts, setAddress} from "./address.js";
import {announce, h} from "./dom.js";
import {close} from "./guesses.js";
import {Notice} from "./notice.js";

const VIEWS = [
  {name: "write", title: "Write", load: () => import("./write.js")},
  {name: "compare", title: "Compare", load: () => import("./compare.js")},
  {name: "inside", title: "Look inside", load: () => import("./inside.js")},
  {name: "models", title: "Models", load: () => import("./models.js")},
  {name: "score", title: "Score", load: () => import("./score.js")},
];
const main = document.querySelector("main");
const mounted = new Map();
let shown = null;

for (const {name, title} of VIEWS) {
  document.querySelector("nav").append(h("a", {href: `#${name}`, "data-view": name}, title));
}

/** Show the view of the address; its module is loaded at its first use. */
async function route() {
  const [name, query] = parts(location.hash);
  const view = VIEWS.find((one) => one.name === (name || "write"));
  if (!view) {
    location.replace("#write"); // Write sets no address under another name
    return;
  }
  close();
  document.title = `${view.title} · Charloom`;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.dataset.view === view.name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (!mounted.has(view.name)) {
    const section = h("section", {id: view.name, "aria-label": view.title}, h("h1", {class: "unseen"}, view.title));
    const mount = ({default: View}) => {
      const made = new View();
      section.append(...made.parts);
      return {section, made};
    };
    mounted.set(view.name, view.load().then(mount));
  }
  const {section, made, error} = await mounted.get(view.name).catch((error) => ({error}));
  if (error) mounted.delete(view.name);
  if (parts(location.hash)[0] !== name) return; // the reader has gone on
  shown = made;
  if (error) {
    const notice = new Notice();
    main.replaceChildren(notice.element);
    notice.show(new Error(`${view.title} cannot be loaded: ${error.message}`), [["Try again", route]]);
    return;
  }
  main.replaceChildren(section);
  const before = addressOf(view.name);
  if (before && (query === undefined || location.hash === before)) {
    setAddress(view.name, before);
    made.show(null); // it shows already what the address says
  } else {
    made.show(query === undefined ? null : new URLSearchParams(query));
  }
}

addEventListener("keydown", (event) => {
  if (!shown || document.querySelector("dialog[open]")) return;
  if (event.key === "Escape" && shown.running) shown.halt();
  else if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && shown.canBegin) shown.begin();
  else if (!shown.onKey?.(event)) return;
  event.preventDefault();
});

const theme = document.querySelector("#theme");
const systemIsDark = matchMedia("(prefers-color-scheme: dark)");
const isDark = () => (document.documentElement.dataset.theme ?? (systemIsDark.matches ? "dark" : "light")) === "dark";
const drawTheme = () => theme.setAttribute("aria-pressed", isDark());

theme.addEventListener("click", () => {
  document.documentElement.dataset.theme = isDark() ? "light" : "dark";
  drawTheme();
  announce(isDark() ? "Dark." : "Light.");
  try {
    localStorage.setItem("theme", document.documentElement.dataset.theme);
  } catch {
    // Storage is disabled: the choice lasts as long as the page.
  }
});
systemIsDark.addEventListener("change", drawTheme);
drawTheme();

document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address stays
  main.focus();
});
addEventListener("hashchange", route);
route();

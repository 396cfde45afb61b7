// The page: its views, the address that selects one, the theme. A view is a module with `mount(section)`, which returns
// `show(query)`: called when the view opens, with the parameters of the link or null.

import {announce, h} from "./dom.js";
import {close} from "./guesses.js";

const VIEWS = [
  {name: "write", title: "Write", load: () => import("./write.js")},
  {name: "compare", title: "Compare", load: () => import("./compare.js")},
  {name: "inside", title: "Look inside", load: () => import("./inside.js")},
  {name: "models", title: "Models", load: () => import("./models.js")},
  {name: "score", title: "Score", load: () => import("./score.js")},
];
const main = document.querySelector("main");
const mounted = new Map();

for (const {name, title} of VIEWS) {
  document.querySelector("nav").append(h("a", {href: `#${name}`, "data-view": name}, title));
}

/** Show the view of the address; its module is loaded at its first use. */
async function route() {
  const [name, query] = location.hash.slice(1).split(/\?(.*)/s);
  const view = VIEWS.find((one) => one.name === name) ?? VIEWS[0];
  if (name === "main") return; // the link that skips the navigation
  close();
  document.title = `${view.title} · Charloom`;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.dataset.view === view.name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (!mounted.has(view.name)) {
    const section = h("section", {id: view.name, "aria-label": view.title});
    mounted.set(view.name, view.load().then((module) => ({section, show: module.mount(section)})));
  }
  const {section, show} = await mounted.get(view.name);
  main.replaceChildren(section);
  show(query === undefined ? null : new URLSearchParams(query));
}

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

addEventListener("hashchange", route);
route();

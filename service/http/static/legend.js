// Explains the shades of a text.

import {chance, h} from "./dom.js";
import {SHADES} from "./text.js";

/** The shades and the probabilities at which they begin. */
export function legend() {
  const names = ["likely", ...SHADES.map((limit) => `< ${chance(limit)}`)];
  return h("p", {class: "legend"}, names.map((name, shade) => h("span", {class: `s${shade}`}, name)));
}

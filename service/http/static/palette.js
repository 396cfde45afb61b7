// The colours of the style sheet for drawing on a canvas, in the theme of the moment.

import {h} from "./dom.js";

const NAMES = ["up", "down", "up-mark", "down-mark", "guessed", "paper", "ink", "muted", "line"];
const probe = h("i", {hidden: true});

/** The colours by name, as [red, green, blue]. A custom property is resolved only where an element uses it. */
export function palette() {
  if (!probe.isConnected) document.body.append(probe);
  const found = NAMES.map((name) => {
    probe.style.color = `var(--${name})`;
    return [name, getComputedStyle(probe).color.match(/[\d.]+/g).slice(0, 3).map(Number)];
  });
  return Object.fromEntries(found);
}

export const rgb = ([red, green, blue], alpha = 1) => `rgb(${red} ${green} ${blue} / ${alpha})`;

/** Call `draw` when the theme or the density of pixels changes. */
export function onLook(draw) {
  new MutationObserver(draw).observe(document.documentElement, {attributeFilter: ["data-theme"]});
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
  const watchDensity = () => {
    const changed = () => {
      draw();
      watchDensity();
    };
    matchMedia(`(resolution: ${devicePixelRatio}dppx)`).addEventListener("change", changed, {once: true});
  };
  watchDensity();
}

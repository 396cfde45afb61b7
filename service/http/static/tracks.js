// The units that track a feature of a text, as a list to choose from.

import {count, h} from "./dom.js";
import {field} from "./params.js";
import {featureName, strength} from "./reading.js";

const FAINT = 0.4; // a unit with less of a feature is not named after it

/**
 * The list of features and their best units. `onChoose(layer, unit)` is called when one is chosen, `onRank(isOwn)` when
 * the reader wants a ranking over the text itself, or over one that the model writes.
 */
export class TrackList {
  #list = h("div", {class: "tracks"});

  constructor(onChoose, onRank) {
    this.onChoose = onChoose;
    this.over = h("select", {name: "over", onchange: () => onRank(this.over.value === "own")},
      h("option", {value: "own"}, "this text"), h("option", {value: "sample"}, "a model's text"));
    this.element = h("div", {hidden: true}, h("h2", {}, "Find neurons"), field("Ranked over", this.over), this.#list);
  }

  show({features, constant, chars, isOwn}) {
    const ranked = features
      .map((feature) => ({...feature, best: feature.units[0] ? strength(feature, feature.units[0]).share : 0}))
      .toSorted((one, other) => other.best - one.best);
    const missing = constant.map((feature) => featureName(feature).toLowerCase());
    this.over.value = isOwn ? "own" : "sample";
    this.#list.replaceChildren(
      isOwn ? "" : h("p", {class: "note"}, `${count(chars)} characters that the model writes with seed 1.`),
      ...ranked.map((feature) => this.#feature(feature)),
      missing.length ? h("p", {class: "note"}, `These features have one value in the whole text, so no unit can track them: ${missing.join(", ")}.`) : "",
    );
    this.element.hidden = false;
  }

  mark(layer, unit) {
    for (const button of this.element.querySelectorAll("button")) {
      button.setAttribute("aria-pressed", button.dataset.unit === `${layer}.${unit}`);
    }
  }

  #feature(feature) {
    const rows = feature.units.map((one) => h("li", {}, this.#unit(feature, one)));
    return h("section", {}, h("h3", {}, featureName(feature.feature)), h("ol", {}, rows));
  }

  #unit(feature, one) {
    const {share, short, words} = strength(feature, one);
    const bar = h("i", {class: one.sign < 0 ? "low" : "high"});
    bar.style.width = `${Math.min(share, 1) * 100}%`;
    return h("button", {
      type: "button", class: "track", "data-unit": `${one.layer}.${one.unit}`, "aria-pressed": "false",
      title: words, onclick: () => this.onChoose(one.layer, one.unit),
    }, h("span", {class: "unseen"}, `Layer ${one.layer}, unit ${one.unit}: ${featureName(feature.feature)}, ${words}`),
    h("span", {"aria-hidden": "true"}, `${one.layer} · ${one.unit}`), h("span", {class: "rail"}, bar), h("span", {"aria-hidden": "true"}, short));
  }
}

/** The words for each unit that tracks something, by "layer.unit". */
export function trackedUnits({features}) {
  const words = new Map();
  for (const feature of features) {
    for (const one of feature.units) {
      const name = `${one.layer}.${one.unit}`;
      if (strength(feature, one).share < FAINT) continue;
      const said = `${featureName(feature.feature).toLowerCase()}: ${strength(feature, one).words}`;
      words.set(name, words.has(name) ? `${words.get(name)}; ${said}` : said);
    }
  }
  return words;
}

// The parameters of a generation: as fields of the page, as a link, as the body of a request.

import {h} from "./dom.js";

const NUMBERS = {
  temperature: {label: "Temperature", value: 1, min: 0, max: 5, step: 0.05},
  length: {label: "Length", value: 500, min: 1, max: 100000, step: 1},
  seed: {label: "Seed", min: 0, max: Number.MAX_SAFE_INTEGER, step: 1, placeholder: "random"},
  top_k: {label: "Top-k", min: 0, max: 2 ** 31 - 1, step: 1, placeholder: "off"},
  top_p: {label: "Top-p", min: 0, max: 1, step: 0.01, placeholder: "off"},
};
const NAMES = ["model", "version", ...Object.keys(NUMBERS), "stop"];
let made = 0; // ids of fields must differ between the views

export function field(label, control, ...more) {
  control.id ||= `field-${(made += 1)}`;
  return h("p", {class: "field"}, h("label", {for: control.id}, label), control, ...more);
}

/** A number field; its `read()` gives a number or undefined, and reports a value out of range. */
export function numberField(name, value = NUMBERS[name].value) {
  const {label, min, max, step, placeholder} = NUMBERS[name];
  const input = h("input", {type: "number", name, min, max, step: "any", placeholder, inputmode: step < 1 ? "decimal" : "numeric"});
  input.value = value ?? "";
  const read = () => {
    const number = input.value === "" ? undefined : Number(input.value);
    const isWhole = step < 1 || number === undefined || Number.isInteger(number);
    input.setCustomValidity(isWhole ? "" : `${label} must be a whole number.`);
    if (!input.reportValidity()) throw new InvalidField(input);
    return number;
  };
  return {input, read, write: (number) => (input.value = number ?? value ?? ""), element: field(label, input)};
}

/** A field has a value that cannot be sent; the browser shows why. */
export class InvalidField extends Error {
  constructor(input) {
    super(input.validationMessage);
    this.input = input;
  }
}

/** A slider beside the number of a temperature. */
export function temperatureField() {
  const number = numberField("temperature");
  const slider = h("input", {type: "range", min: 0, max: 2, step: 0.05, "aria-label": "Temperature, as a slider"});
  slider.value = number.input.value;
  slider.addEventListener("input", () => number.write(slider.value));
  number.input.addEventListener("input", () => (slider.value = number.input.value));
  number.element.append(slider);
  const write = (value) => {
    number.write(value);
    slider.value = value ?? 1;
  };
  return {...number, write};
}

/** The stop strings, one a line; \n is a line break. */
export function stopField() {
  const input = h("textarea", {name: "stop", rows: 1, placeholder: "\\n\\n", spellcheck: "false"});
  const element = field("Stop before", input);
  const read = () => {
    const strings = input.value.split("\n").filter(Boolean).map(unescaped);
    input.setCustomValidity(strings.length > 4 ? "There are at most four stop strings, one a line." : "");
    if (!input.reportValidity()) throw new InvalidField(input);
    return strings.length ? strings : undefined;
  };
  return {input, element, read, write: (strings) => (input.value = (strings ?? []).map(escaped).join("\n"))};
}

const unescaped = (text) => text.replace(/\\(n|t|\\)/g, (_, letter) => ({n: "\n", t: "\t", "\\": "\\"})[letter]);
const escaped = (text) => text.replace(/[\n\t\\]/g, (letter) => ({"\n": "\\n", "\t": "\\t", "\\": "\\\\"})[letter]);

/** The fields of a request, without those that have no value. */
export const present = (params) =>
  Object.fromEntries(Object.entries(params).filter(([, value]) => value !== undefined && value !== null));

/** Whether two requests have the same parameters. */
export function isSame(one, other) {
  const valueOf = (step, name) => JSON.stringify(step[name] ?? NUMBERS[name]?.value);
  return NAMES.every((name) => valueOf(one, name) === valueOf(other, name));
}

/**
 * A link that makes a text again. A text is made in steps, one for each request: the first begins after the prompt, each
 * later one after `at` characters of the text and the character `put`, if the reader chose one.
 */
export function toFragment(view, prompt, steps) {
  const query = new URLSearchParams();
  query.set("prompt", prompt);
  const [first, ...later] = steps;
  for (const [name, value] of Object.entries(pick(first))) {
    for (const one of [value].flat()) query.append(name, one);
  }
  let before = first;
  for (const step of later) {
    const params = pick(step);
    const changed = {at: step.at, ...(step.put ? {put: step.put.text} : {})};
    for (const name of NAMES) {
      if (JSON.stringify(params[name]) !== JSON.stringify(pick(before)[name])) changed[name] = params[name] ?? null;
    }
    query.append("then", JSON.stringify(changed));
    before = step;
  }
  return `#${view}?${query}`;
}

const pick = (step) => present(Object.fromEntries(NAMES.map((name) => [name, step[name]])));

/** The prompt and the steps of a link; null if it has none, or is damaged. */
export function fromQuery(query) {
  try {
    const first = {at: 0, put: null};
    for (const name of NAMES) {
      const values = query.getAll(name);
      if (!values.length) continue;
      const isText = name === "model" || name === "stop";
      first[name] = name === "stop" ? values : isText ? values[0] : Number(values[0]);
    }
    const steps = [first];
    for (const json of query.getAll("then")) {
      const {at, put, ...changed} = JSON.parse(json);
      steps.push({...pick({...steps.at(-1), ...changed}), at, put: put === undefined ? null : {text: put}});
    }
    return query.has("prompt") && steps.every(isValid) ? {prompt: query.get("prompt"), steps} : null;
  } catch {
    return null;
  }
}

/** Whether the fields would accept the values of a step, and `put` is one character. */
function isValid({at, put, model = "", version = 1, stop = [], ...numbers}) {
  const isText = Array.isArray(stop) && [model, ...stop].every((text) => typeof text === "string");
  const isOne = put === null || (typeof put.text === "string" && [...put.text].length === 1);
  const areIds = Number.isInteger(at) && at >= 0 && Number.isInteger(version) && version > 0;
  return isText && isOne && areIds && Object.entries(numbers).every(([name, value]) => {
    const {min, max, step} = NUMBERS[name];
    return (step < 1 ? Number.isFinite(value) : Number.isInteger(value)) && value >= min && value <= max;
  });
}

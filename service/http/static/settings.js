// The settings beside the text: the model, the parameters of a generation, and how the text looks.

import {versionOf} from "./api.js";
import {modelFields} from "./choice.js";
import {count, h, symbolOf} from "./dom.js";
import {InvalidField, numberField, present, stopField, temperatureField} from "./params.js";

export class Settings {
  models = modelFields();
  fields = {
    temperature: temperatureField(), length: numberField("length"), seed: numberField("seed"),
    top_k: numberField("top_k"), top_p: numberField("top_p"), stop: stopField(),
  };

  constructor({onModel, onShade, onSlow, onMono}) {
    const {temperature, length, seed, top_k: topK, top_p: topP, stop} = this.fields;
    const option = (label, isOn, change) =>
      h("label", {class: "check"}, h("input", {type: "checkbox", checked: isOn, onchange: (event) => change(event.target.checked)}), label);
    this.more = h("details", {}, h("summary", {}, "More"), topK.element, topP.element, stop.element);
    this.element = h("aside", {"aria-label": "Settings", class: "side"}, this.models.elements, temperature.element,
      length.element, seed.element, this.more, option("Shade by probability", true, onShade),
      option("Reading speed", false, onSlow), option("Fixed-width letters", false, onMono));
    this.models.model.addEventListener("change", onModel);
    this.models.version.addEventListener("change", onModel);
  }

  /** The parameters in the fields; null if the browser has shown the reader that one of them is wrong. */
  read() {
    try {
      const values = Object.entries(this.fields).map(([name, one]) => [name, one.read()]);
      return present({...this.models.read(), ...Object.fromEntries(values)});
    } catch (error) {
      if (!(error instanceof InvalidField)) throw error;
      this.element.classList.add("open");
      if (this.more.contains(error.input)) this.more.open = true;
      error.input.reportValidity();
      return null;
    }
  }

  /** Put the parameters of a request into the fields; those that it has not become empty. */
  write(params) {
    this.models.write(params);
    for (const [name, one] of Object.entries(this.fields)) one.write(params[name]);
  }

  /** Open or close the settings on a narrow screen; whether they are open now. */
  toggle() {
    const isOpen = this.element.classList.toggle("open");
    if (isOpen) this.models.model.focus();
    return isOpen;
  }
}

/** A sentence or two about the chosen version: its size and its corpus. */
export async function describe(models) {
  if (models.isEmpty()) return "The service has no model yet. Publish one, and it appears here.";
  const current = models.current();
  if (!current) return "";
  if (!current.version) return `No version of ${current.name} is valid.`;
  try {
    const {manifest} = await versionOf(current.name, current.version);
    const symbol = symbolOf(manifest);
    const {files = [], characters} = manifest.corpus ?? {};
    const source = files.length === 1 ? ` of ${files[0].path}` : "";
    const read = characters ? `has read ${count(characters)} ${symbol}s${source} and ` : "";
    return `${current.name} is a network of ${count(manifest.parameters)} numbers. It ${read}writes one ${symbol} at a time.`;
  } catch {
    return ""; // the sentence is not needed
  }
}

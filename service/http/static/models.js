// Models: every model and version, the curves of their training, and the samples as they evolved.

import {models, versionOf} from "./api.js";
import {curves} from "./chart.js";
import {count, decimal, h, symbolOf} from "./dom.js";
import {Notice, waiting} from "./notice.js";
import {field} from "./params.js";
import {Status} from "./status.js";

const MOST_VERSIONS = 20; // of one model in its table
const HEADS = ["Version", "Published", "Network", "Corpus", "Loss"];
const toBits = (nats) => nats / Math.LN2;

export default class Models {
  notice = new Notice();
  status = new Status();
  list = h("div", {class: "models"});
  at = 0; // the evaluation whose samples are shown
  temperature = null;

  constructor() {
    const change = (event) => this.#choose(event.target);
    this.first = h("select", {onchange: change});
    this.second = h("select", {onchange: change});
    this.chart = h("figure", {});
    this.legend = h("figcaption", {class: "note"});
    this.slider = h("input", {type: "range", min: 0, step: 1, "aria-label": "Evaluation", oninput: () => this.#move(Number(this.slider.value))});
    this.moment = h("p", {class: "moment"});
    this.tabs = h("div", {class: "bar", role: "group", "aria-label": "Temperature of the sample"});
    this.sample = h("p", {class: "sample"});
    this.training = h("section", {"aria-label": "Training", hidden: true}, h("h2", {}, "Training"),
      h("div", {class: "fields"}, field("Version", this.first), field("Beside", this.second)),
      this.chart, this.legend, h("h2", {}, "Samples while it learned"), this.slider, this.moment, this.tabs, this.sample);
    new ResizeObserver(() => this.#drawChart()).observe(this.chart);
    this.parts = [this.notice.element, this.list, this.training, this.status.element];
  }

  async show() {
    const onWait = (...wait) => this.status.wait(waiting(...wait));
    try {
      const response = await models(onWait);
      this.notice.hide();
      const shown = await Promise.all(response.models.map((model) => this.#model(model, response.default, onWait)));
      this.list.replaceChildren(...shown.map((one) => one.element));
      if (!response.models.length) this.list.append(h("p", {}, "The service has no model yet. Publish one, and it appears here."));
      this.#fill(shown.flatMap((one) => one.versions), response);
    } catch (error) {
      this.notice.show(error, [["Try again", () => this.show()]]);
    } finally {
      this.status.end();
    }
  }

  /** The part of one model: its name and a table of its versions. */
  async #model({name, served, versions}, standard, onWait) {
    const newest = versions.toReversed().slice(0, MOST_VERSIONS);
    const rows = await Promise.all(newest.map(async (one) => {
      const details = one.refused ? {} : await versionOf(name, one.version, onWait).catch(() => ({}));
      return {...one, name, ...details};
    }));
    const left = versions.length - newest.length;
    const element = h("section", {"aria-label": name}, h("h2", {}, name, name === standard && h("span", {class: "note"}, " the default model")),
      h("div", {class: "wide", tabindex: 0, role: "group", "aria-label": `Versions of ${name}`},
        h("table", {}, h("thead", {}, h("tr", {}, HEADS.map((head) => h("th", {scope: "col"}, head)))),
          h("tbody", {}, rows.map((row) => h("tr", {}, versionCells(row, served)))))),
      left > 0 && h("p", {class: "note"}, `and ${count(left)} older versions`));
    return {element, versions: rows.filter((row) => row.history?.length)};
  }

  #fill(rows, {default: standard, models: listed}) {
    this.rows = new Map(rows.map((row) => [`${row.name} ${row.version}`, row]));
    this.training.hidden = !this.rows.size;
    if (!this.rows.size) return;
    const served = listed.find(({name}) => name === standard)?.served;
    const before = [this.first.value, this.second.value];
    const options = () => [...this.rows.keys()].map((id) => h("option", {value: id}, id));
    this.first.replaceChildren(...options());
    this.second.replaceChildren(h("option", {value: ""}, "none"), ...options());
    const first = [before[0], `${standard} ${served}`].find((id) => this.rows.has(id));
    if (first) this.first.value = first;
    this.second.value = this.rows.has(before[1]) ? before[1] : "";
    this.#choose(this.first);
  }

  #choose(changed) {
    const {history} = this.rows.get(this.first.value);
    if (changed === this.first) {
      this.at = history.length - 1;
      this.slider.max = this.at;
      const temperatures = Object.keys(history.at(-1).samples ?? {});
      this.temperature = temperatures[temperatures.length >> 1] ?? null;
      this.tabs.replaceChildren(...temperatures.map((one) => this.#tab(one)));
    }
    this.#move(this.at);
  }

  #tab(temperature) {
    const choose = () => {
      this.temperature = temperature;
      this.#move(this.at);
    };
    return h("button", {type: "button", class: "quiet", "data-temperature": temperature, onclick: choose}, temperature);
  }

  #move(at) {
    this.at = at;
    const {history, manifest} = this.rows.get(this.first.value);
    const record = history[at];
    const symbol = symbolOf(manifest);
    this.slider.value = at;
    const moment = `After ${count(record.chars_seen)} ${symbol}s, epoch ${decimal(record.epoch, 0)}: ${decimal(toBits(record.validation_nats_per_char))} bits per ${symbol}.`;
    this.moment.textContent = moment;
    this.slider.setAttribute("aria-valuetext", moment);
    this.sample.textContent = record.samples?.[this.temperature] ?? "";
    for (const tab of this.tabs.children) tab.setAttribute("aria-pressed", tab.dataset.temperature === this.temperature);
    this.#drawChart();
  }

  #drawChart() {
    const width = this.chart.clientWidth;
    const first = this.rows?.get(this.first.value);
    if (!width || !first) return;
    const second = this.rows.get(this.second.value);
    const series = [...seriesOf(first, "one"), ...(second ? seriesOf(second, "two") : [])];
    const rows = [first, second].filter(Boolean);
    const label = `Losses of ${rows.map((row) => `${row.name} ${row.version}, at the end ${decimal(lastBits(row))} bits per ${symbolOf(row.manifest)}`).join("; ")}`;
    const symbols = [...new Set(rows.map((row) => symbolOf(row.manifest)))];
    const formatX = (chars) => (chars >= 1e6 ? `${chars / 1e6} M` : count(chars));
    this.chart.replaceChildren(curves(series, {width, label, xLabel: `${symbols.map((one) => `${one}s`).join(" or ")} read`, yLabel: `bits per ${symbols.join(" or ")}`, formatX, mark: first.history[this.at].chars_seen}));
    this.legend.replaceChildren(...series.map(({kind, label: name}) => h("span", {class: `key ${kind}`}, name)));
  }
}

const lastBits = (row) => toBits(row.history.at(-1).validation_nats_per_char);

function seriesOf({name, version, history}, kind) {
  const points = (loss) => history.filter((record) => Number.isFinite(record[loss])).map((record) => [record.chars_seen, toBits(record[loss])]);
  return [
    {points: points("training_nats_per_char"), kind: `${kind} thin`, label: `${name} ${version}, training`},
    {points: points("validation_nats_per_char"), kind, label: `${name} ${version}, held out`},
  ];
}

function versionCells({version, refused, manifest}, served) {
  const mark = version === served && h("span", {class: "serves"}, " served");
  if (!manifest) return [h("td", {}, version, mark), h("td", {colspan: 4}, refused ? `Refused: ${refused}` : "Its manifest cannot be read.")];
  const {corpus, layers, units, cell, parameters, metrics, created} = manifest;
  const files = corpus?.files?.map((file) => file.path) ?? [];
  const title = files.length > 1 ? `${files[0]} and ${count(files.length - 1)} more` : (files[0] ?? "–");
  const losses = Object.entries(metrics ?? {}).map(([part, loss]) => `${part} ${decimal(loss.bits_per_char)}`);
  const published = created ? new Date(created).toLocaleDateString("en", {dateStyle: "medium"}) : "–";
  const network = `${layers} × ${units} ${String(cell).toUpperCase()}, ${count(parameters)} parameters`;
  const read = `${title}, ${count(corpus?.characters ?? 0)} ${symbolOf(manifest)}s`;
  const loss = losses.length ? `${losses.join(", ")} bits per ${symbolOf(manifest)}` : "–";
  return [[version, mark], published, network, read, loss].map((cellText, column) =>
    h("td", {"data-head": HEADS[column]}, cellText));
}

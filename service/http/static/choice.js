// The choice of a model and a version, in every view.

import {models} from "./api.js";
import {h} from "./dom.js";
import {waiting} from "./notice.js";
import {field} from "./params.js";

export function modelFields(label = "Model") {
  const model = h("select", {name: "model"});
  const version = h("select", {name: "version"});
  let listed = [];
  const fillVersions = () => {
    const found = listed.find(({name}) => name === model.value);
    const valid = found ? found.versions.filter(({refused}) => !refused).map((one) => one.version) : [];
    const newest = h("option", {value: ""}, found?.served ? `newest (${found.served})` : "newest");
    version.replaceChildren(newest, ...valid.toReversed().map((one) => h("option", {value: one}, one)));
  };
  model.addEventListener("change", fillVersions);
  return {
    model,
    version,
    elements: [field(label, model), field("Version", version)],
    fill(response) {
      const before = {model: model.value || response.default, version: Number(version.value) || undefined};
      listed = response.models;
      model.replaceChildren(...listed.map(({name}) => h("option", {value: name}, name)));
      this.write(before);
    },
    isEmpty: () => listed.length === 0,
    read: () => ({model: model.value || undefined, version: Number(version.value) || undefined}),
    write(chosen) {
      if (chosen.model) choose(model, chosen.model);
      fillVersions();
      choose(version, chosen.version ?? "");
    },
    /** The version that a request would get now. */
    current() {
      const found = listed.find(({name}) => name === model.value);
      return found && {name: found.name, version: Number(version.value) || found.served};
    },
  };
}

/** Select a value, also one that is not on offer: the service reports it. */
function choose(select, value) {
  if (![...select.options].some((option) => option.value === String(value))) {
    select.append(h("option", {value}, value));
  }
  select.value = value;
}

/** Fill choices, with the status line and the notice of a view; whether it has worked. `again` is offered after an error. */
export async function fillChoices(view, again, ...choices) {
  let hasWaited = false;
  try {
    const response = await models((...wait) => {
      hasWaited = true;
      view.status.wait(waiting(...wait));
    });
    for (const one of choices) one.fill(response);
  } catch (error) {
    view.notice.show(error, [["Try again", again]]);
    return false;
  } finally {
    if (hasWaited) view.status.end();
  }
  return true;
}

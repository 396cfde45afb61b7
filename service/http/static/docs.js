// /docs of a service that requires a key: fetches the description with the key that the reader enters, and shows it.

import {send} from "./api.js";
import {h} from "./dom.js";
import {Notice} from "./notice.js";

const notice = new Notice();

async function show() {
  try {
    const response = await send("docs");
    const description = new DOMParser().parseFromString(await response.text(), "text/html");
    document.title = description.title;
    document.body.replaceChildren(...description.body.children);
    const link = document.querySelector('[href="openapi.json"]');
    link.addEventListener("click", (event) => {
      event.preventDefault(); // the link would send no key
      download(link);
    });
    if (location.hash) document.getElementById(location.hash.slice(1))?.scrollIntoView();
  } catch (error) {
    notice.show(error, [["Try again", show]]);
  }
}

/** Save the document of a link. */
async function download(link) {
  try {
    const response = await send("openapi.json");
    const href = URL.createObjectURL(await response.blob());
    h("a", {href, download: "openapi.json"}).click();
    URL.revokeObjectURL(href);
  } catch (error) {
    link.closest("p").after(notice.element);
    notice.show(error, [["Try again", () => download(link)]]);
  }
}

document.querySelector("main").append(notice.element);
show();

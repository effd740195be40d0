// What was made in this session: a row of results, each of which brings its operation back.

import { $, el } from "./dom.js";
import { show, summary } from "./stage.js";
import { load } from "./player.js";
import { restore } from "./store.js";

const KEPT = 24;
const results = [];

/** Keep a result and show it in the row, the newest first. */
export function keep(result) {
  results.unshift(result);
  for (const old of results.splice(KEPT)) old.urls.forEach((url) => URL.revokeObjectURL(url));
  refresh(result);
}

function refresh(current) {
  $("#past").hidden = !results.length;
  $("#past-row").replaceChildren(...results.map((result) => makeCard(result, result === current)));
}

function makeCard(result, isCurrent) {
  const image = el("img.pixels", { src: result.urls.at(-1), alt: "" });
  const words = summary(result.operation);
  const card = el("button.card", { type: "button", aria: { pressed: String(isCurrent) } }, image, el("span", {}, words));
  card.setAttribute("aria-label", `${result.operation.mode}, ${words}. Show again`);
  card.addEventListener("click", () => {
    restore(result.operation);
    show(result);
    load(result.operation.mode === "interpolate" ? result.urls : []);
    for (const each of $("#past-row").children) each.setAttribute("aria-pressed", String(each === card));
  });
  return card;
}

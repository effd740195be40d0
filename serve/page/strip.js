// The live strip: the attribute in hand at five strengths, made with few steps while people move its slider.

import { sendPatiently } from "./api.js";
import { announce, el, settle } from "./dom.js";
import { inHand } from "./editor.js";
import { fewSteps, formOf, requestOf } from "./request.js";
import { changed, known, missing, operation, snapshot, subscribe } from "./store.js";

const STRENGTHS = [0, 0.25, 0.5, 0.75, 1];
const CALM = 450; // milliseconds without a change before pictures are asked for
const KEPT = 8; // strips that are remembered
const past = new Map();
let node, title, frames, live, isArmed, isHeld;
let running = null;

/** Build the strip's section. */
export function openStrip() {
  title = el("h2", { id: "strip-title" });
  live = el("input", { type: "checkbox", checked: true });
  live.addEventListener("change", () => (live.checked ? later() : stop()));
  frames = STRENGTHS.map(makeFrame);
  const row = el("div.strip-row", {}, ...frames.map((frame) => frame.node));
  const head = el("div.strip-head", {}, title, el("label.live", {}, live, " live"));
  node = el("section.strip", { hidden: true, aria: { labelledby: "strip-title" } }, head, row);
  subscribe(refresh);
  document.addEventListener("input", (event) => event.target.closest?.(".strength") && arm());
  return node;
}

/** Begin to make strips: from the first touch of a slider, or once a first edit is done. */
export function arm() {
  isArmed = true;
  refresh();
  later();
}

/** Leave the model alone while something larger runs. */
export function hold(isHolding) {
  isHeld = isHolding;
  if (isHolding) stop();
  else later();
}

function makeFrame(strength) {
  const image = el("img.pixels", { alt: "", hidden: true });
  const button = el("button", { type: "button" }, el("span.frame", {}, image), el("span", {}, String(strength)));
  button.addEventListener("click", () => {
    operation.edit[inHand().name].strength = strength;
    changed();
    announce(`Strength ${strength}`);
  });
  return { strength, image, node: button };
}

function refresh() {
  const change = inHand();
  node.hidden = !isArmed || !change || Boolean(missing());
  if (node.hidden) return stop();
  title.replaceChildren("Strength of ", el("strong", {}, change.name));
  const nearest = STRENGTHS.reduce((a, b) => (Math.abs(b - change.strength) < Math.abs(a - change.strength) ? b : a));
  for (const frame of frames) {
    frame.node.setAttribute("aria-pressed", String(frame.strength === nearest));
    frame.node.setAttribute("aria-label", `${change.name} at strength ${frame.strength}`);
  }
  const key = keyOf(change);
  if (past.has(key)) show(past.get(key));
  else if (key !== running?.key) {
    stop();
    show([]);
    later();
  }
}

/** All that decides the strip's pictures; the strength in hand does not. */
function keyOf(change) {
  const of = snapshot();
  of.edit[change.name].strength = 1;
  return JSON.stringify([of.model, of.source, of.edit, of.options.sampler, of.options.noise, of.options.seed, change.name]);
}

const later = settle(() => make(), CALM);

async function make() {
  const change = inHand();
  if (!isArmed || isHeld || !live.checked || !change || missing() || !known.schema) return;
  const key = keyOf(change);
  if (past.has(key) || running?.key === key) return;
  stop();
  const mine = (running = { key, controller: new AbortController() });
  node.classList.add("is-busy");
  const urls = [];
  try {
    const made = STRENGTHS.map(async (strength, index) => {
      const of = snapshot();
      of.edit[change.name].strength = strength;
      urls[index] = await picture(of, mine.controller.signal);
      if (running === mine) show(urls);
    });
    await Promise.all(made);
    remember(key, urls);
  } catch {
    mine.controller.abort(); // the edit itself tells of problems; a preview that fails stays empty
  } finally {
    if (running === mine) stop();
  }
}

async function picture(of, signal) {
  const request = requestOf(of, { steps: fewSteps(), size: "", format: "png" });
  const body = await formOf(request);
  const options = { method: "POST", query: request.query, body, signal, headers: { Accept: "image/png" } };
  const response = await sendPatiently(request.path, options);
  return URL.createObjectURL(await response.blob());
}

function stop() {
  running?.controller.abort();
  running = null;
  node.classList.remove("is-busy");
}

function show(urls) {
  frames.forEach(({ image }, index) => {
    const url = urls[index] ?? "";
    if (url && image.getAttribute("src") !== url) image.src = url;
    image.hidden = !url;
  });
}

function remember(key, urls) {
  past.set(key, urls);
  if (past.size <= KEPT) return;
  const [oldest] = past.keys();
  past.get(oldest).forEach((url) => URL.revokeObjectURL(url));
  past.delete(oldest);
}

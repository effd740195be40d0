// The stage: source, result and true picture side by side, the progress while the picture is being made, and problems.

import { $, $$, calm, el } from "./dom.js";
import { describe, pictureOf } from "./pictures.js";
import { truthOf } from "./request.js";
import { changed, changes, isSame, known, operation, subscribe } from "./store.js";

const NAMES = { edit: "Edit", recombine: "Recombination", interpolate: "Interpolation" };
const LARGEST = 420; // CSS pixels of a tile
const parts = {};
let shown = null; // the result on stage
let isBusy = false;

/** Build the stage; `cancel` stops what runs, `actions` are the buttons beneath the result. */
export function openStage({ cancel, actions, below }) {
  parts.source = makeTile("Source");
  parts.result = makeTile("Edit");
  parts.target = makeTile("Target");
  parts.truth = makeTile("True render");
  parts.truth.node.hidden = true;
  parts.figures = el("div.figures", {}, ...[parts.source, parts.result, parts.target, parts.truth].map(({ node }) => node));
  parts.bar = el("progress", { max: 1, value: 0, aria: { label: "Network calls done" } });
  parts.count = el("p.count");
  const stop = el("button.quiet", { type: "button", id: "cancel", onclick: cancel }, "Cancel");
  parts.progress = el("div.progress", { hidden: true }, parts.bar, el("div.progress-line", {}, parts.count, stop));
  parts.problem = el("div.problem", { role: "alert", hidden: true });
  parts.note = el("p.note");
  parts.actions = el("div.actions", {}, ...actions);
  $("#stage").append(parts.figures, parts.progress, parts.problem, el("div.result-line", {}, parts.note, parts.actions), ...below);
  new ResizeObserver(sizeTiles).observe(parts.figures);
  subscribe(refresh);
}

/** The result that is shown, or null. */
export const onStage = () => shown;

/** Get ready for a picture that is about to be made. */
export function begin() {
  isBusy = true;
  shown = null;
  setPicture(parts.result, "", "is-waiting");
  parts.problem.hidden = true;
  parts.progress.hidden = false;
  parts.note.textContent = "";
  parts.bar.removeAttribute("value");
  parts.count.textContent = "Waiting for the model…";
  showTruth("");
}

/** Show how far the work is, and the picture as it is by now. */
export function progress({ step, steps, images }) {
  parts.bar.max = steps;
  parts.bar.value = step;
  parts.count.replaceChildren(el("strong", {}, String(step)), ` of ${steps} network calls`);
  const middle = images[Math.floor(images.length / 2)];
  if (middle) setPicture(parts.result, `data:image/png;base64,${middle}`, "is-forming");
}

/** Show what came out; null clears the stage. */
export function show(result) {
  isBusy = false;
  shown = result;
  parts.progress.hidden = true;
  if (result) parts.problem.hidden = true;
  setPicture(parts.result, result?.urls[0] ?? "", "is-done");
  setPicture(parts.truth, result?.truth ?? "", "is-done");
  parts.note.textContent = result ? `${result.model}, ${result.seconds.toFixed(1)} s` : "";
  changed();
}

/** Show the true picture of the operation, once it is known. */
export function showTruth(url) {
  setPicture(parts.truth, url ?? "", "is-done");
  refresh();
}

/** Show another frame in the result's tile. */
export const showFrame = (url) => setPicture(parts.result, url, "is-done");

/** Say what went wrong; `wait` is told in seconds, and `buttons` say what can be done. */
export function showProblem({ title, detail }, wait = "", ...buttons) {
  const words = el("div", {}, el("h3", {}, title), el("p", {}, detail));
  parts.countdown = el("p.countdown", { aria: { live: "off" } }, wait);
  parts.problem.replaceChildren(words, el("div.problem-line", {}, parts.countdown, ...buttons));
  parts.problem.hidden = false;
}

export const tellWait = (text) => (parts.countdown.textContent = text);
export const hideProblem = () => (parts.problem.hidden = true);

/** Scroll to the stage where it is not in view, on phones. */
export function bringIntoView() {
  const box = parts.figures.getBoundingClientRect();
  if (box.bottom > innerHeight - 120 || box.top < 0)
    parts.figures.scrollIntoView({ behavior: calm() ? "auto" : "smooth", block: "start" });
}

function refresh() {
  const { mode } = operation;
  showEnd(parts.source, "Source", mode === "recombine" ? "" : operation.source);
  showEnd(parts.target, "Target", mode === "interpolate" ? operation.target : "");
  const isStale = Boolean(shown) && !isSame(shown.operation, operation);
  parts.result.caption.textContent = NAMES[mode];
  parts.result.image.alt = shown ? `${NAMES[mode]}: ${summary(shown.operation)}` : "";
  parts.result.node.classList.toggle("is-stale", isStale);
  parts.result.hint.textContent = isBusy || (shown && !isStale) ? "" : `Press ${$("#run").textContent}`;
  showTruthTile(isStale);
  parts.truth.image.alt = "What the picture truly looks like, from the data set";
  const isPartial = mode === "edit" && changes().some(({ strength }) => strength > 0 && strength < 1);
  parts.truth.caption.replaceChildren("True render", ...(isPartial ? [el("small", {}, " at full strength")] : []));
  sizeTiles();
}

/** The true picture's tile stands there from the start where there may be one, so that nothing moves when it comes. */
function showTruthTile(isStale) {
  const { node, image, hint } = parts.truth;
  const isKnown = Boolean(image.getAttribute("src")) && !isStale;
  image.hidden = !isKnown;
  node.hidden = !isKnown && !truthOf();
  const none = shown && !isStale ? "Not in the data set" : "Comes with the edit";
  hint.textContent = isKnown || isBusy ? "" : none;
}

function showEnd(tile, title, id) {
  const picture = pictureOf(id);
  tile.node.hidden = !picture;
  setPicture(tile, picture?.url ?? "", "is-done");
  tile.image.alt = picture ? `${title}: ${describe(picture)}` : "";
}

/** Say what an operation does: each changed attribute with what it becomes. */
export function summary(of) {
  if (of.mode === "interpolate") return of.travel.join(", ");
  const giver = (change) => pictureOf(change.donor)?.labels[change.name] ?? "a picture";
  return changes(of)
    .map((change) => `${change.name}: ${change.take === "value" ? change.value : giver(change)}`)
    .join(", ");
}

function makeTile(title) {
  const image = el("img.pixels", { alt: "", hidden: true });
  const hint = el("p.tile-hint");
  const caption = el("figcaption", {}, title);
  const node = el("figure.tile", {}, el("div.frame", {}, image, hint), caption);
  return { node, image, hint, caption };
}

function setPicture(tile, url, state) {
  if (tile.image.getAttribute("src") !== url) url ? (tile.image.src = url) : tile.image.removeAttribute("src");
  tile.image.hidden = !url;
  tile.node.dataset.state = url || state === "is-waiting" ? state : "is-empty";
}

/** Enlarge by a whole number of screen pixels, so that every pixel of the model is equally large. */
function sizeTiles() {
  const tiles = $$(".tile", parts.figures).filter((tile) => !tile.hidden);
  const style = getComputedStyle(parts.figures);
  const gap = parseFloat(style.columnGap) || 0;
  const width = parts.figures.clientWidth;
  if (!width || !tiles.length) return;
  const columns = width < 480 && tiles.length === 3 ? 2 : tiles.length;
  const room = Math.min(LARGEST, (width - gap * (columns - 1)) / columns);
  const side = known.schema?.image_size ?? 64;
  const factor = Math.floor((room * devicePixelRatio) / side);
  const size = factor >= 1 ? (factor * side) / devicePixelRatio : room;
  parts.figures.style.setProperty("--tile", `${size}px`);
}

// The player: an interpolation's frames as a film to play, scrub and download.

import { sendPatiently } from "./api.js";
import { calm, el, toast } from "./dom.js";
import { formOf, requestOf } from "./request.js";
import { onStage, showFrame, showProblem } from "./stage.js";
import { operation } from "./store.js";

const ENDINGS = { apng: "png", gif: "gif" };
let node, play, scrub, place, film, speed;
let frames = [];
let at = 0;
let step = 1;
let timer = 0;

/** Build the player; it shows itself with the first film. */
export function openPlayer() {
  play = el("button.quiet", { type: "button", id: "play", onclick: toggle }, "Play");
  scrub = el("input", { type: "range", min: "0", step: "1", aria: { label: "Frame" } });
  scrub.addEventListener("input", () => {
    pause();
    go(Number(scrub.value));
  });
  place = el("output.place");
  speed = el("select", { aria: { label: "Seconds per frame" } });
  for (const seconds of ["0.05", "0.1", "0.2", "0.5"]) speed.append(el("option", { value: seconds }, `${seconds} s`));
  speed.value = operation.options.seconds;
  speed.addEventListener("change", () => {
    operation.options.seconds = speed.value;
    if (timer) start();
  });
  film = el("div.film-frames");
  const downloads = Object.keys(ENDINGS).map((format) =>
    el("button.quiet", { type: "button", onclick: (event) => download(format, event.currentTarget) }, format.toUpperCase()),
  );
  node = el(
    "section.player",
    { hidden: true, aria: { label: "Player" } },
    el("div.player-line", {}, play, scrub, place, speed),
    film,
    el("div.player-line", {}, el("span.hint", {}, "Download as"), ...downloads),
  );
  return node;
}

/** Load a film, or hide the player when there is none. */
export function load(urls) {
  pause();
  frames = urls;
  node.hidden = frames.length < 2;
  if (node.hidden) return;
  scrub.max = String(frames.length - 1);
  speed.value = operation.options.seconds;
  film.replaceChildren(...frames.map(makeThumb));
  go(0);
  if (!calm()) start();
}

/** Stop playing. */
export function pause() {
  clearInterval(timer);
  timer = 0;
  play.textContent = "Play";
}

function makeThumb(url, index) {
  const image = el("img.pixels", { src: url, alt: "" });
  const label = `Frame ${index + 1}`;
  const thumb = el("button", { type: "button", aria: { label } }, image);
  thumb.addEventListener("click", () => {
    pause();
    go(index);
  });
  return thumb;
}

function toggle() {
  if (timer) pause();
  else start();
}

function start() {
  clearInterval(timer);
  play.textContent = "Pause";
  timer = setInterval(() => {
    if (at + step < 0 || at + step >= frames.length) step = -step; // there and back again
    go(at + step);
  }, Number(speed.value) * 1000);
}

function go(index) {
  at = index;
  scrub.value = String(index);
  scrub.style.setProperty("--filled", `${(index / (frames.length - 1)) * 100}%`);
  scrub.setAttribute("aria-valuetext", `frame ${index + 1} of ${frames.length}`);
  place.textContent = `${index + 1} / ${frames.length}`;
  showFrame(frames[index]);
  [...film.children].forEach((thumb, each) => thumb.setAttribute("aria-pressed", String(each === index)));
}

/** The service makes the animation itself: the same request in another format. */
async function download(format, button) {
  const result = onStage();
  button.disabled = true;
  toast(`Making the ${format.toUpperCase()}…`);
  try {
    const request = requestOf(result.operation, { format, seconds: speed.value });
    const options = { method: "POST", query: request.query, body: await formOf(request), headers: { Accept: "image/*" } };
    const response = await sendPatiently(request.path, options);
    save(await response.blob(), `interpolation.${ENDINGS[format]}`);
  } catch (error) {
    showProblem(error);
  } finally {
    button.disabled = false;
  }
}

function save(blob, name) {
  const url = URL.createObjectURL(blob);
  saveUrl(url, name);
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/** Save what an address of this page holds as a file. */
export const saveUrl = (url, name) => el("a", { href: url, download: name }).click();

// The film strip at the foot of the page: the gallery and people's own pictures, for whichever slot is active.

import { $, $$, el, toast } from "./dom.js";
import { describe, galleryPictures, ownPictures } from "./pictures.js";
import { DRAGGED, choose, slotName, takeDrops, takeFiles, whenActivated } from "./slots.js";
import { readSlot, slots, subscribe, view } from "./store.js";

const KEYS = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 };
let strip, title;

/** Build the strip and listen for files that are dropped or pasted anywhere. */
export function openDock() {
  title = el("p.dock-title", { id: "dock-title" });
  const file = el("input", { type: "file", accept: "image/*", multiple: true, id: "file", hidden: true });
  file.addEventListener("change", async () => {
    await takeFiles(file.files, view.slot, toast);
    file.value = "";
  });
  const own = el("button.own", { type: "button", onclick: () => file.click() }, "Own picture");
  own.title = "Choose a file; dropping and pasting one works anywhere";
  strip = el("div.film", { role: "toolbar", aria: { labelledby: "dock-title" } });
  strip.addEventListener("keydown", onKey);
  $("#dock").append(el("div.dock-head", {}, title, own, file), strip);
  whenActivated(() => (current() ?? $$("button", strip)[0])?.focus());
  takeDrops(document.body, () => view.slot);
  document.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])].filter((each) => each.type.startsWith("image/"));
    if (files.length) takeFiles(files, view.slot, toast);
  });
  subscribe(refresh);
}

/** Show the pictures there are; own ones come first. */
export function fillDock() {
  const thumbs = [...ownPictures().reverse(), ...galleryPictures()].map((picture) => {
    const known = $(`[data-picture="${picture.id}"]`, strip);
    return known ?? makeThumb(picture);
  });
  strip.replaceChildren(...thumbs);
  refresh();
}

/** Show a picture that has arrived. */
export function showArrived(picture) {
  const image = $(`[data-picture="${picture.id}"] img`, strip);
  if (image) image.src = picture.url;
}

function makeThumb(picture) {
  const image = el("img", { alt: "", draggable: false });
  if (picture.url) image.src = picture.url;
  const thumb = el("button.thumb", { type: "button", draggable: true, data: { picture: picture.id } }, image);
  thumb.title = describe(picture);
  thumb.setAttribute("aria-label", describe(picture));
  thumb.addEventListener("click", (event) => {
    const slot = view.slot;
    choose(picture);
    if (event.detail === 0) $(`[data-slot="${CSS.escape(slot)}"]`)?.focus(); // back to where the keyboard came from
  });
  thumb.addEventListener("dragstart", (event) => event.dataTransfer.setData(DRAGGED, picture.id));
  return thumb;
}

const current = () => $('[aria-pressed="true"]', strip);

function refresh() {
  if (!slots().includes(view.slot)) view.slot = slots()[0] ?? view.slot;
  if (ownPictures().some((picture) => !$(`[data-picture="${picture.id}"]`, strip))) return fillDock();
  title.replaceChildren("Pick for ", el("strong", {}, slotName(view.slot)));
  const chosen = readSlot(view.slot);
  for (const thumb of $$("button", strip)) {
    thumb.setAttribute("aria-pressed", String(thumb.dataset.picture === chosen));
    thumb.tabIndex = -1;
  }
  const reachable = current() ?? $("button", strip);
  if (reachable) reachable.tabIndex = 0;
}

function onKey(event) {
  const thumbs = $$("button", strip);
  const place = thumbs.indexOf(document.activeElement);
  let next = place + (KEYS[event.key] ?? 0);
  if (event.key === "Home") next = 0;
  if (event.key === "End") next = thumbs.length - 1;
  if (event.key === "Escape") $(`[data-slot="${CSS.escape(view.slot)}"]`)?.focus();
  if (next === place || !thumbs[next]) return;
  event.preventDefault();
  thumbs[place].tabIndex = -1;
  thumbs[next].tabIndex = 0;
  thumbs[next].focus();
}

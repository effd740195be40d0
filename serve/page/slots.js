// Slots: the places that hold a picture. The active one takes the next picture that is chosen, dropped or pasted.

import { announce, el } from "./dom.js";
import { addOwn, describe, pictureOf } from "./pictures.js";
import { changed, fillSlot, readSlot, view } from "./store.js";

export const DRAGGED = "text/x-picture";
let focusDock = () => {};

/** Say where the keyboard goes when a slot has been activated. */
export const whenActivated = (action) => (focusDock = action);

/** Name a slot for people. */
export function slotName(slot) {
  return slot.startsWith("donor:") ? slot.slice("donor:".length) : slot;
}

/** Make the button of a slot; `refresh` it after a change. */
export function makeSlot(slot, size = "small") {
  const image = el("img", { alt: "", draggable: false });
  const empty = el("span.plus", { aria: { hidden: "true" } }, "+");
  const button = el(`button.slot.${size}`, { type: "button", data: { slot } }, image, empty);
  button.addEventListener("click", (event) => {
    activate(slot);
    if (event.detail === 0) focusDock(); // came by keyboard
  });
  takeDrops(button, () => slot);
  const refresh = () => {
    const picture = pictureOf(readSlot(slot));
    const url = picture?.url ?? "";
    if (image.getAttribute("src") !== url) url ? (image.src = url) : image.removeAttribute("src");
    image.hidden = !url;
    empty.hidden = Boolean(url);
    button.setAttribute("aria-pressed", String(view.slot === slot));
    button.setAttribute("aria-label", `Picture for ${slotName(slot)}: ${describe(picture)}. Choose`);
  };
  return { node: button, refresh };
}

/** Make a slot the active one. */
export function activate(slot) {
  view.slot = slot;
  changed();
}

/** Put a picture into the active slot. */
export function choose(picture, slot = view.slot) {
  fillSlot(slot, picture.id);
  announce(`${slotName(slot)}: ${describe(picture)}`);
}

/** Take files as own pictures; the last one goes to the slot. */
export async function takeFiles(files, slot = view.slot, failed = announce) {
  for (const file of files) {
    try {
      choose(await addOwn(file), slot);
    } catch (error) {
      failed(error.message);
    }
  }
}

/** Let an element take dragged pictures and files. */
export function takeDrops(node, slotOf) {
  node.addEventListener("dragover", (event) => {
    event.preventDefault();
    node.classList.add("over");
  });
  node.addEventListener("dragleave", () => node.classList.remove("over"));
  node.addEventListener("drop", (event) => {
    event.preventDefault();
    event.stopPropagation();
    node.classList.remove("over");
    const picture = pictureOf(event.dataTransfer.getData(DRAGGED));
    if (picture) choose(picture, slotOf());
    else takeFiles(event.dataTransfer.files, slotOf());
  });
}

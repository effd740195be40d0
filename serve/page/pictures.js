// The pictures to choose from: the gallery's by key, and people's own, which never leave the page but to the model.

import { getJson, getPicture } from "./api.js";
import { known } from "./store.js";

const LARGEST_SIDE = 512; // larger ones are scaled here: the model sees far fewer pixels
const KNOWN_TYPES = ["image/png", "image/jpeg", "image/webp"];
const AT_ONCE = 4;
const all = new Map();
let numOwn = 0;

/** Return a picture by id: a gallery key, or `own-1`. */
export const pictureOf = (id) => (id ? (all.get(id) ?? null) : null);
export const galleryPictures = () => [...all.values()].filter((picture) => !picture.own);
export const ownPictures = () => [...all.values()].filter((picture) => picture.own);

/** Say what a picture shows, as far as that is known. */
export function describe(picture) {
  if (!picture) return "none";
  return picture.own ? picture.name : Object.values(picture.labels).join(", ") || picture.id;
}

/** Load the list of the gallery; the pictures follow, `shown` is called for each that has come. */
export async function loadGallery(shown) {
  const { items } = await getJson("gallery");
  for (const { key, labels } of items) {
    const picture = { id: key, own: false, name: `${key}.png`, labels, blob: null, url: "" };
    picture.ready = new Promise((resolve) => (picture.arrive = resolve));
    all.set(key, picture);
  }
  const waiting = galleryPictures();
  const work = async () => {
    for (let picture = waiting.shift(); picture; picture = waiting.shift()) {
      try {
        picture.blob = await getPicture(`gallery/${encodeURIComponent(picture.id)}`);
        picture.url = URL.createObjectURL(picture.blob);
        shown(picture);
      } catch {
        picture.failed = true;
      }
      picture.arrive();
    }
  };
  for (let worker = 0; worker < AT_ONCE; worker++) work();
}

/** Return a picture's bytes, waiting for them. */
export async function bytesOf(picture) {
  await picture.ready;
  return picture.blob;
}

/** Take a file as an own picture; raises an Error that says why a file is none. */
export async function addOwn(file, name = file.name || "pasted.png") {
  let bitmap;
  try {
    bitmap = await createImageBitmap(file);
  } catch {
    throw new Error(`${name} is not a picture that this browser can read.`);
  }
  const largest = Math.min(LARGEST_SIDE, Math.floor(Math.sqrt(known.schema?.max_pixels ?? Infinity)));
  const isFine = KNOWN_TYPES.includes(file.type) && Math.max(bitmap.width, bitmap.height) <= largest;
  const blob = isFine ? file : await scaled(bitmap, largest);
  bitmap.close();
  const id = `own-${++numOwn}`;
  const picture = { id, own: true, name, labels: {}, blob, url: URL.createObjectURL(blob), ready: Promise.resolve() };
  all.set(id, picture);
  return picture;
}

/** Return the whole picture upright as PNG, of at most as many pixels as a square of `largest`; the service frames it. */
function scaled(bitmap, largest) {
  const scale = Math.min(1, largest / Math.sqrt(bitmap.width * bitmap.height));
  const [width, height] = [bitmap.width, bitmap.height].map((side) => Math.max(1, Math.floor(side * scale)));
  const canvas = new OffscreenCanvas(width, height);
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, width, height);
  return canvas.convertToBlob({ type: "image/png" });
}

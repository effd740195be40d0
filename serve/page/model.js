// What the page knows of the model: the versions that answer, the schema of the chosen one, and a first operation for it.

import { getJson } from "./api.js";
import { $, el } from "./dom.js";
import { limitFrames } from "./editor.js";
import { galleryPictures } from "./pictures.js";
import { changed, fit, known, names, operation, view } from "./store.js";

// How a picture that is no square is shown: as the model takes it.
const FITS = { crop: "cover", pad: "contain", stretch: "fill" };

/** Load the versions; `asked` is chosen if it is one of them. */
export async function loadModels(asked) {
  known.models = (await getJson("models")).models;
  await chooseModel(asked);
}

/** Choose a version by its alias, the first one if there is none of that name, and fit the operation to it. */
export async function chooseModel(alias) {
  operation.model = known.models.slice(1).some((each) => each.alias === alias) ? alias : "";
  await loadSchema();
}

async function loadSchema() {
  known.schema = await getJson("schema", operation.model ? { model: operation.model } : {});
  document.documentElement.style.setProperty("--side", String(known.schema.image_size));
  document.documentElement.style.setProperty("--fit", FITS[known.schema.resize]);
  document.documentElement.dataset.large = String(known.schema.image_size > 64);
  const select = $("#model");
  const options = known.models.map(({ alias, name, version }) =>
    el("option", { value: alias }, alias === name ? `${name} v${version}` : `${alias} (${name} v${version})`),
  );
  select.replaceChildren(...options);
  select.value = operation.model || known.models[0]?.alias;
  fit();
  changed();
  limitFrames(known.schema.max_frames);
}

/** Make a first operation that works at once: the first picture, with an attribute of the second. */
export function suggest() {
  const [first, second, ...others] = galleryPictures();
  if (!first) return;
  operation.source = first.id;
  operation.target = (second ?? first).id;
  const [name] = names().filter((each) => second && second.labels[each] !== first.labels[each]).slice(-2);
  if (name) Object.assign(operation.edit[name], { take: "picture", donor: second.id });
  view.inHand = name ?? "";
  const donors = [first, second ?? first, ...others];
  names().forEach((each, index) => (operation.recombine[each].donor = donors[index % donors.length].id));
}

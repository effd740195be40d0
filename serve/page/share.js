// Links: an operation as the address's fragment and back. Own pictures are not in a link, because they stay on this page.

import { pictureOf } from "./pictures.js";
import { MODES, changes, fit, names, operation, view } from "./store.js";

const OPTIONS = { steps: "", sampler: "", seed: "0", noise: "inferred", size: "", format: "png", seconds: "0.1" };
const OWN = "own";

/** Return the fragment of an operation. */
export function toFragment(of = operation) {
  const query = new URLSearchParams({ mode: of.mode });
  const picture = (name, id) => id && query.append(name, pictureOf(id)?.own ? OWN : id);
  if (of.model) query.append("model", of.model);
  if (of.mode !== "recombine") picture("source", of.source);
  if (of.mode === "interpolate") {
    picture("target", of.target);
    query.append("frames", String(of.frames));
    if (of.travel.length < names().length) for (const name of of.travel) query.append("attribute", name);
  } else
    for (const change of changes(of)) {
      if (change.take === "picture") picture(`donor.${change.name}`, change.donor);
      else query.append(`value.${change.name}`, change.value);
      if (of.mode === "edit" && change.strength !== 1) query.append(`strength.${change.name}`, String(change.strength));
    }
  for (const [name, usual] of Object.entries(OPTIONS)) if (of.options[name] !== usual) query.append(name, of.options[name]);
  return `#${query}`;
}

/** Whether an operation holds pictures that a link cannot. */
export function hasOwn(of = operation) {
  const used = [of.source, of.mode === "interpolate" ? of.target : "", ...changes(of).map((change) => change.donor)];
  return used.some((id) => pictureOf(id)?.own);
}

/** The model that a fragment names, "" when it names none. */
export const modelIn = (fragment) => new URLSearchParams(fragment.slice(1)).get("model") ?? "";

/** Fill the operation from a fragment; returns a sentence on what the link could not bring, "" if it brought all. */
export function fromFragment(fragment) {
  const query = new URLSearchParams(fragment.slice(1));
  if (!MODES.includes(query.get("mode"))) return "";
  operation.mode = query.get("mode");
  let lacking = "";
  const picture = (name) => {
    const id = query.get(name) ?? "";
    if (!id || pictureOf(id)) return id;
    lacking = id === OWN
      ? "The link was made with an own picture, which links do not hold; choose it again."
      : "The link names a picture that this gallery does not have; choose another.";
    return "";
  };
  if (query.has("source")) operation.source = picture("source");
  if (query.has("target")) operation.target = picture("target");
  if (query.has("frames")) operation.frames = Number(query.get("frames")) || operation.frames;
  if (query.has("attribute")) operation.travel = query.getAll("attribute");
  if (operation.mode !== "interpolate") for (const name of names()) readChange(name, query, picture);
  for (const [name, usual] of Object.entries(OPTIONS)) operation.options[name] = query.get(name) ?? usual;
  fit();
  view.inHand = operation.mode === "edit" ? (changes()[0]?.name ?? "") : "";
  return lacking;
}

function readChange(name, query, picture) {
  const change = operation[operation.mode][name];
  const strength = Number(query.get(`strength.${name}`) ?? 1);
  if (operation.mode === "edit") change.strength = strength >= 0 && strength <= 1 ? strength : 1;
  if (query.has(`value.${name}`)) Object.assign(change, { take: "value", value: query.get(`value.${name}`) });
  else if (query.has(`donor.${name}`)) Object.assign(change, { take: "picture", donor: picture(`donor.${name}`) });
  else if (operation.mode === "edit") change.take = "keep";
}

// The operation that people make on the page, what is known of the model, and who is told when either changes.

export const MODES = ["edit", "recombine", "interpolate"];
export const known = { schema: null, models: [], changed: new Set() };

export const operation = {
  mode: "edit",
  model: "",
  source: "",
  target: "",
  edit: {}, // attribute: {take: keep | picture | value, donor, value, strength}
  recombine: {}, // attribute: {take: picture | value, donor, value}
  travel: [], // attributes that an interpolation changes
  frames: 8,
  options: { steps: "", sampler: "", seed: "0", noise: "inferred", size: "", format: "png", seconds: "0.1" },
};

/** What is only of the page: the slot that the next picture goes to, and the attribute whose strengths are shown. */
export const view = { slot: "source", inHand: "" };

const listeners = new Set();

/** Call `listener` after every change. */
export const subscribe = (listener) => listeners.add(listener);

/** Tell everyone that the operation or the view has changed. */
export const changed = () => listeners.forEach((listener) => listener());

export const attributes = () => known.schema?.attributes ?? [];
export const names = () => attributes().map((attribute) => attribute.name);
export const attributeOf = (name) => attributes().find((attribute) => attribute.name === name);
export const valuesOf = (name) => attributeOf(name)?.centroid_values ?? [];

/** Fit the operation to a schema: attributes that it lacks are left, new ones are kept as they are. */
export function fit() {
  for (const name of names()) {
    operation.edit[name] ??= { take: "keep", donor: "", value: "", strength: 1 };
    operation.recombine[name] ??= { take: "picture", donor: "", value: "" };
    for (const change of [operation.edit[name], operation.recombine[name]])
      if (change.value && !valuesOf(name).includes(change.value)) change.value = "";
  }
  operation.travel = operation.travel.filter((name) => names().includes(name));
  if (!operation.travel.length) operation.travel = names();
  if (!names().includes(view.inHand)) view.inHand = "";
}

export const snapshot = () => structuredClone(operation);

/** Make the operation what it was in a snapshot. */
export function restore(past) {
  Object.assign(operation, structuredClone(past));
  fit();
  view.inHand = changes()[0]?.name ?? "";
  changed();
}

/** The attributes that an edit changes, or that a recombination takes, with where each comes from. */
export function changes(of = operation) {
  const table = of.mode === "recombine" ? of.recombine : of.edit;
  return names()
    .map((name) => ({ name, ...table[name] }))
    .filter((change) => change.take !== "keep");
}

/** Whether two operations ask for the same picture; what only the page shows of them does not count. */
export function isSame(a, b) {
  const asked = ({ mode, model, source, target, travel, frames, options, ...tables }) => {
    const { seconds, ...sampling } = options;
    return JSON.stringify([mode, model, sampling, mode === "recombine" || source, mode !== "interpolate" ? tables[mode] : [target, travel, frames]]);
  };
  return asked(a) === asked(b);
}

/** The picture of a slot: `source`, `target` or `donor:ATTRIBUTE`. */
export function readSlot(slot) {
  if (slot === "source" || slot === "target") return operation[slot];
  return operation[operation.mode]?.[slot.slice("donor:".length)]?.donor ?? "";
}

/** Put a picture into a slot. */
export function fillSlot(slot, id) {
  if (slot === "source" || slot === "target") operation[slot] = id;
  else {
    const name = slot.slice("donor:".length);
    Object.assign(operation[operation.mode][name], { donor: id, take: "picture" });
    if (operation.mode === "edit") view.inHand = name;
  }
  changed();
}

/** The slots of the mode, in the order in which they stand. */
export function slots() {
  if (operation.mode === "interpolate") return ["source", "target"];
  const donors = changes()
    .filter((change) => change.take === "picture")
    .map((change) => `donor:${change.name}`);
  return operation.mode === "edit" ? ["source", ...donors] : donors;
}

/** Say what is still missing before the operation can be done, "" when nothing is. */
export function missing() {
  if (!known.schema) return "The model is not there yet.";
  if (operation.mode !== "recombine" && !operation.source) return "Choose a source picture.";
  if (operation.mode === "interpolate") {
    if (!operation.target) return "Choose a target picture.";
    return operation.travel.length ? "" : "Choose at least one attribute that changes.";
  }
  if (operation.mode === "edit" && !changes().length) return "Change at least one attribute.";
  for (const change of changes()) {
    if (change.take === "picture" && !change.donor) return `Choose a picture for ${change.name}.`;
    if (change.take === "value" && !change.value) return `Choose a value for ${change.name}.`;
  }
  return "";
}

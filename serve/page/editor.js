// The operation: source and target, and one row per attribute that says where it comes from.

import { $, el } from "./dom.js";
import { pictureOf } from "./pictures.js";
import { activate, makeSlot } from "./slots.js";
import { attributes, changed, changes, missing, names, operation, subscribe, valuesOf, view } from "./store.js";

const LEADS = {
  edit: "Keep what you like, change the rest.",
  recombine: "A new picture: every attribute from another one.",
  interpolate: "The way from one picture to another.",
};
const VERBS = { edit: "Edit", recombine: "Recombine", interpolate: "Interpolate" };
const TAKES = { keep: "Keep", picture: "Picture", value: "Value" };
const FEW_VALUES = 10; // more are searched instead of listed
const TURN = 137.5; // degrees between the hues of neighbouring attributes: any number of them stays apart

let refreshers = [];
let built = "";

/** Keep the operation on the page equal to the store. */
export function openEditor() {
  subscribe(refresh);
}

/** The colour of an attribute's mark. */
export const hueOf = (name) => String((255 + names().indexOf(name) * TURN) % 360);

function refresh() {
  const wanted = `${operation.mode} ${JSON.stringify(attributes())}`;
  if (wanted !== built) {
    built = wanted;
    build();
  }
  for (const each of refreshers) each();
  const reason = missing();
  $("#hint").textContent = reason;
  $("#run").setAttribute("aria-disabled", String(Boolean(reason)));
}

function build() {
  refreshers = [];
  $("#lead").textContent = LEADS[operation.mode];
  $("#run").textContent = VERBS[operation.mode];
  const ends = { edit: ["source"], recombine: [], interpolate: ["source", "target"] }[operation.mode];
  $("#ends").replaceChildren(...ends.map(makeEnd));
  const rows = operation.mode === "interpolate" ? [makeTravel(), makeFrames()] : names().map(makeRow);
  $("#rows").replaceChildren(...rows);
}

/** A large slot with what its picture shows. */
function makeEnd(slot) {
  const { node, refresh: refreshSlot } = makeSlot(slot, "large");
  const labels = el("dl.labels");
  refreshers.push(refreshSlot, () => {
    const picture = pictureOf(operation[slot]);
    const known = Object.entries(picture?.labels ?? {});
    const lines = known.flatMap(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]);
    if (picture?.own) lines.push(el("dt", {}, "own picture"), el("dd", {}, picture.name));
    labels.replaceChildren(...lines);
  });
  return el("div.end", {}, node, el("div", {}, el("h2", {}, slot === "source" ? "Source" : "Target"), labels));
}

/** A row of an attribute: keep it, take it from a picture, or take a value by name. */
function makeRow(name) {
  const change = () => operation[operation.mode][name];
  const takes = Object.keys(TAKES).filter(
    (take) => (take !== "keep" || operation.mode === "edit") && (take !== "value" || valuesOf(name).length),
  );
  const kept = el("span.kept");
  const row = el("fieldset.row", { data: { attribute: name } }, el("legend", {}, el("span.dot"), el("span", {}, name, kept)));
  row.style.setProperty("--hue", hueOf(name));
  const now = el("p.now");
  const { node: slot, refresh: refreshSlot } = makeSlot(`donor:${name}`);
  const value = valuesOf(name).length ? makeValue(name, change) : null;
  const body = el("div.row-body", {}, slot, value?.node, now);
  row.append(makeTakes(name, takes, change), body);
  if (operation.mode === "edit") row.append(makeStrength(name, change));
  refreshers.push(refreshSlot, () => {
    const { take } = change();
    row.dataset.take = take;
    for (const radio of row.querySelectorAll("input[type=radio]")) radio.checked = radio.value === take;
    slot.hidden = take !== "picture";
    if (value) value.refresh(take === "value");
    body.hidden = take === "keep";
    kept.textContent = take === "keep" ? ` ${pictureOf(operation.source)?.labels[name] ?? ""}` : "";
    now.replaceChildren(...wording(name, change()));
  });
  return row;
}

function makeTakes(name, takes, change) {
  const group = el("div.segments");
  for (const take of takes) {
    const radio = el("input", { type: "radio", name: `take:${name}`, value: take });
    radio.addEventListener("click", () => { // not change: a second click on Picture means its slot again
      change().take = take;
      if (take !== "keep" && operation.mode === "edit") view.inHand = name;
      if (take === "picture") activate(`donor:${name}`);
      else changed();
    });
    group.append(el("label", {}, radio, el("span", {}, TAKES[take])));
  }
  return group;
}

/** What the row comes to, in words: `meadow → harbour`. */
function wording(name, { take, donor, value }) {
  const before = operation.mode === "edit" ? pictureOf(operation.source)?.labels[name] : "";
  const giver = pictureOf(donor);
  const after = take === "value" ? "" : giver ? (giver.labels[name] ?? (giver.own ? giver.name : "")) : "choose below";
  const arrow = before && (after || take === "value") ? [el("span.was", {}, before), " → "] : [];
  return [...arrow, el("strong", {}, after)];
}

function makeValue(name, change) {
  const known = valuesOf(name);
  const label = `Value of ${name}`;
  let field, list;
  if (known.length <= FEW_VALUES) {
    const options = known.map((value) => el("option", { value }, value));
    field = el("select", { aria: { label } }, el("option", { value: "" }, "choose…"), ...options);
  } else {
    const id = `values-${names().indexOf(name)}`;
    list = el("datalist", { id }, ...known.map((value) => el("option", { value })));
    field = el("input", { type: "text", list: id, placeholder: `search ${known.length} values`, aria: { label } });
    field.addEventListener("focus", () => field.select());
  }
  field.addEventListener("input", () => {
    change().value = known.includes(field.value) ? field.value : "";
    if (operation.mode === "edit") view.inHand = name;
    changed();
  });
  const node = el("span.value", {}, field, list);
  const refreshValue = (isShown) => {
    node.hidden = !isShown;
    if (document.activeElement !== field || known.includes(field.value)) field.value = change().value;
  };
  return { node, refresh: refreshValue };
}

function makeStrength(name, change) {
  const id = `strength-${names().indexOf(name)}`;
  const range = el("input", { type: "range", id, min: "0", max: "1", step: "0.05" });
  const output = el("output", { htmlFor: id });
  const take = () => {
    view.inHand = name;
    change().strength = Number(range.value);
    changed();
  };
  range.addEventListener("input", take);
  range.addEventListener("focus", () => {
    if (view.inHand !== name) {
      view.inHand = name;
      changed();
    }
  });
  const node = el("div.strength", {}, el("label", { htmlFor: id }, "Strength"), range, output);
  refreshers.push(() => {
    node.hidden = change().take === "keep";
    range.value = String(change().strength);
    range.style.setProperty("--filled", `${change().strength * 100}%`);
    range.setAttribute("aria-valuetext", `${Math.round(change().strength * 100)} %`);
    output.textContent = change().strength.toFixed(2);
  });
  return node;
}

/** Which attributes an interpolation changes. */
function makeTravel() {
  const row = el("fieldset.row", {}, el("legend", {}, "What changes"));
  const group = el("div.chips");
  for (const name of names()) {
    const box = el("input", { type: "checkbox", value: name });
    box.addEventListener("change", () => {
      operation.travel = names().filter((each) => (each === name ? box.checked : operation.travel.includes(each)));
      changed();
    });
    const chip = el("label", {}, box, el("span", {}, el("span.dot"), name));
    chip.style.setProperty("--hue", hueOf(name));
    group.append(chip);
    refreshers.push(() => (box.checked = operation.travel.includes(name)));
  }
  row.append(group);
  return row;
}

function makeFrames() {
  const range = el("input", { type: "range", id: "frames", min: "2", step: "1" });
  const output = el("output", { htmlFor: "frames" });
  range.addEventListener("input", () => {
    operation.frames = Number(range.value);
    changed();
  });
  refreshers.push(() => {
    output.textContent = String(operation.frames);
    range.value = String(operation.frames);
    range.style.setProperty("--filled", `${((operation.frames - 2) / Math.max(1, Number(range.max) - 2)) * 100}%`);
  });
  return el("div.strength.frames", {}, el("label", { htmlFor: "frames" }, "Frames"), range, output);
}

/** Say how many frames an interpolation may have. */
export function limitFrames(most) {
  operation.frames = Math.min(operation.frames, most);
  const range = $("#frames");
  if (range) range.max = String(most);
}

/** Whether there is anything to show strengths of. */
export const inHand = () => (operation.mode === "edit" ? changes().find(({ name }) => name === view.inHand) : undefined);

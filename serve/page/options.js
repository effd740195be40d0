// Advanced: how the model samples, with which noise, and what the answer looks like. Only what the mode can use.

import { $, el } from "./dom.js";
import { changed, known, operation, subscribe } from "./store.js";

const NOISES = { inferred: "Inferred", random: "Random" };
const STILLS = ["png", "jpeg", "webp"];
const SIZES = [64, 128, 256, 512, 1024];
const SEEDS = 2 ** 32;
let refreshers = [];
let built = "";

/** Keep the options equal to the store. */
export function openOptions() {
  subscribe(refresh);
}

/** Draw another seed. */
export function rollSeed() {
  operation.options.seed = String(Math.floor(Math.random() * SEEDS));
  changed();
}

function refresh() {
  if (!known.schema) return;
  const wanted = `${operation.mode} ${known.schema.model}`;
  if (wanted !== built) {
    built = wanted;
    refreshers = [];
    const seeded = operation.mode === "recombine" ? [] : operation.mode === "edit" ? [noise(), seed()] : [];
    $("#options").replaceChildren(steps(), sampler(), ...seeded, size(), format());
    $("#dice-place")?.remove();
    if (operation.mode === "recombine") $(".go").before(el("div", { id: "dice-place" }, seed()));
    else $("#dice-place")?.remove();
  }
  for (const each of refreshers) each();
}

function labelled(text, field, note = null) {
  return el("label.option", {}, el("span", {}, text), field, note);
}

function bind(field, name) {
  field.addEventListener("change", () => {
    operation.options[name] = field.value;
    changed();
  });
  refreshers.push(() => (field.value = operation.options[name]));
  return field;
}

function choice(name, pairs) {
  return bind(el("select", {}, ...pairs.map(([value, text]) => el("option", { value }, text))), name);
}

function steps() {
  const { step_counts: counts, default_steps: usual } = known.schema;
  const pairs = counts.filter((count) => count !== usual).map((count) => [String(count), String(count)]);
  return labelled("Steps", choice("steps", [["", `${usual} (the usual)`], ...pairs]));
}

function sampler() {
  const [usual, ...others] = known.schema.samplers;
  return labelled("Sampler", choice("sampler", [["", `${usual} (the usual)`], ...others.map((name) => [name, name])]));
}

function noise() {
  const note = el("small");
  refreshers.push(() => {
    const isInferred = operation.options.noise === "inferred";
    note.textContent = isInferred ? "Keeps the source’s details." : "Keeps only what the model encodes.";
  });
  return labelled("Noise x_T", choice("noise", Object.entries(NOISES)), note);
}

function seed() {
  const field = bind(el("input", { type: "text", inputMode: "numeric", pattern: "[0-9]{1,19}", id: "seed" }), "seed");
  field.addEventListener("change", () => {
    if (field.validity.valid && field.value) return;
    operation.options.seed = "0";
    changed();
  });
  const dice = el("button.dice", { type: "button", onclick: rollSeed, aria: { label: "Another seed" } }, "⚄");
  const node = el("div.option.seed", {}, el("label", { htmlFor: "seed" }, "Seed"), el("div.with-dice", {}, field, dice));
  refreshers.push(() => (node.hidden = operation.mode === "edit" && operation.options.noise !== "random"));
  return node;
}

function size() {
  const { image_size: usual, min_size: least, max_size: most } = known.schema;
  const fitting = SIZES.filter((side) => side !== usual && side >= least && side <= most);
  return labelled("Size", choice("size", [["", `${usual} px (the model’s)`], ...fitting.map((side) => [String(side), `${side} px`])]));
}

function format() {
  const field = choice("format", STILLS.map((name) => [name, name.toUpperCase()]));
  return labelled("Format", field);
}

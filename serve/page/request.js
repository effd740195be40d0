// From an operation to a request: the path and the parts of the form, which the page sends and the curl line spells.

import { address, token } from "./api.js";
import { bytesOf, pictureOf } from "./pictures.js";
import { changes, known, names, operation } from "./store.js";

/** Return `{path, query, parts}`; a part's content is a picture or text. */
export function requestOf(of = operation, overrides = {}) {
  const parts = [];
  const add = (name, content) => {
    if (content !== null && content !== undefined && content !== "") parts.push({ name, content });
  };
  const { steps, sampler, seed, noise, size, format, seconds } = { ...of.options, ...overrides };
  if (of.mode !== "recombine") add("source", pictureOf(of.source));
  if (of.mode === "interpolate") {
    add("target", pictureOf(of.target));
    if (of.travel.length < names().length) add("attributes", of.travel.join(","));
    add("frames", String(of.frames));
  } else {
    for (const change of changes(of)) {
      if (change.take === "picture") add(`donors.${change.name}`, pictureOf(change.donor));
      else add(`values.${change.name}`, change.value);
      if (of.mode === "edit" && change.strength !== 1) add(`strengths.${change.name}`, String(change.strength));
    }
    if (of.mode === "edit" && noise === "random") add("x_T", "random");
    if (of.mode === "recombine" || noise === "random") add("seed", seed);
  }
  add("steps", steps && String(steps));
  add("sampler", sampler);
  add("size", size && String(size));
  const isAnimated = format === "apng" || format === "gif";
  if (format !== "png") add("format", format);
  if (isAnimated) add("seconds", seconds && String(seconds));
  return { path: of.mode, query: of.model ? { model: of.model } : {}, parts };
}

/** Return the form that is posted. */
export async function formOf({ parts }) {
  const form = new FormData();
  for (const { name, content } of parts)
    if (typeof content === "string") form.append(name, content);
    else form.append(name, await bytesOf(content), content.name);
  return form;
}

/** Return commands that fetch the gallery pictures and make the same request. */
export function curlOf({ path, query, parts }, format = "png") {
  const key = token.value ? ' -H "Authorization: Bearer $TOKEN"' : "";
  const pictures = new Map(parts.filter((part) => part.content.id).map((part) => [part.content.id, part.content]));
  const lines = [...pictures.values()]
    .filter((picture) => !picture.own)
    .map((picture) => `curl -fsS${key} ${quote(address(`gallery/${picture.id}`).href)} -o ${quote(picture.name)}`);
  const fields = parts.map(({ name, content }) =>
    typeof content === "string"
      ? `--form-string ${quote(`${name}=${content}`)}`
      : `-F ${quote(`${name}=@"${content.name.replace(/["\\]/g, "\\$&")}"`)}`,
  );
  const ending = { jpeg: "jpg", apng: "png" }[format] ?? format;
  const last = [`curl -fsS${key} ${quote(address(path, query).href)}`, ...fields, `-o ${path}.${ending}`];
  lines.push(last.join(" \\\n  "));
  return lines.join(" &&\n");
}

/** The query of GET gallery/{source}/truth for an operation, null where the gallery cannot know the true picture. */
export function truthOf(of = operation) {
  const wanted = changes(of);
  const first = of.mode === "edit" ? of.source : wanted.find((change) => change.take === "picture")?.donor;
  const start = pictureOf(first);
  if (of.mode === "interpolate" || !start || start.own) return null;
  const query = {};
  for (const change of wanted) {
    if (of.mode === "edit" && change.strength === 0) continue;
    if (change.take === "value") query[`values.${change.name}`] = change.value;
    else if (pictureOf(change.donor)?.own) return null;
    else query[change.name] = change.donor;
  }
  return { path: `gallery/${encodeURIComponent(start.id)}/truth`, query };
}

/** The few steps of a preview. */
export function fewSteps() {
  const { step_counts: counts, default_steps: usual } = known.schema;
  return counts.filter((count) => count <= Math.min(10, usual)).at(-1) ?? counts[0];
}

const quote = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);

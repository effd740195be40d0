// What the page asks of the service, as commands to copy: every action is a call of the API.

import { copy, el } from "./dom.js";
import { curlOf, requestOf } from "./request.js";
import { hasOwn } from "./share.js";
import { missing, operation, subscribe } from "./store.js";

const FILMS = { png: "Frames side by side", apng: "Film as APNG", gif: "Film as GIF" };
let list, own;

/** Build the section. */
export function openCalls() {
  list = el("div.calls-list");
  own = el("p.hint", {}, "Your own pictures stay on this page: links do not hold them, and a command reads them from where it runs.");
  subscribe(refresh);
  const summary = el("summary", {}, "API call");
  return el("div.below", {}, own, el("details.calls", {}, summary, list));
}

function refresh() {
  own.hidden = !hasOwn();
  const isReady = !missing();
  list.parentElement.hidden = !isReady;
  if (!isReady) return;
  const films = Object.entries(FILMS).map(([format, title]) => ({ title, format }));
  const calls = operation.mode === "interpolate" ? films : [{ title: "", format: operation.options.format }];
  list.replaceChildren(...calls.map(makeCall));
}

function makeCall({ title, format }) {
  const text = curlOf(requestOf(operation, { format }), format);
  const button = el("button.quiet", { type: "button", onclick: () => copy(text, "Command copied") }, "Copy");
  button.setAttribute("aria-label", `Copy the command${title && `: ${title}`}`);
  const code = el("pre", { tabIndex: 0, role: "region", aria: { label: title || "Command" } }, text);
  return el("div.call", {}, el("div.call-head", {}, el("span.hint", {}, title || "curl"), button), code);
}

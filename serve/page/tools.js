// What stands around the bench: tabs, theme, pixels, the actions on a result, and the question for a token.

import { Problem, token } from "./api.js";
import { $, $$, copy, el } from "./dom.js";
import { limitFrames } from "./editor.js";
import { chooseModel } from "./model.js";
import { load, saveUrl } from "./player.js";
import { cancel, isRunning, run } from "./run.js";
import { hasOwn, toFragment } from "./share.js";
import { hideProblem, onStage, show, showProblem } from "./stage.js";
import { MODES, changed, known, operation, subscribe } from "./store.js";

/** Change the mode; what runs is cancelled. */
function setMode(mode) {
  cancel();
  operation.mode = mode;
  changed();
  limitFrames(known.schema?.max_frames ?? 2);
  load([]);
  hideProblem();
  show(null);
}

function refresh() {
  for (const tab of $$("[role=tab]")) {
    const isChosen = tab.dataset.mode === operation.mode;
    tab.setAttribute("aria-selected", String(isChosen));
    tab.tabIndex = isChosen ? 0 : -1;
  }
  $("#panel").setAttribute("aria-labelledby", `tab-${operation.mode}`);
  document.body.dataset.mode = operation.mode;
}

/** Bring the tools to life. */
export function openTools() {
  for (const tab of $$("[role=tab]")) tab.addEventListener("click", () => setMode(tab.dataset.mode));
  $(".tabs").addEventListener("keydown", (event) => {
    const turn = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!turn) return;
    const mode = MODES[(MODES.indexOf(operation.mode) + turn + MODES.length) % MODES.length];
    setMode(mode);
    $(`#tab-${mode}`).focus();
  });
  $("#model").addEventListener("change", (event) => chooseModel(event.target.value).catch(showProblem));
  $("#smooth").addEventListener("click", (event) => {
    const isSmooth = document.body.classList.toggle("smooth");
    event.currentTarget.setAttribute("aria-pressed", String(isSmooth));
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) run();
    if (event.key === "Escape" && isRunning()) cancel();
  });
  openTheme();
  subscribe(refresh);
}

function openTheme() {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const root = document.documentElement;
  const isDark = () => (root.dataset.theme ?? (dark.matches ? "dark" : "light")) === "dark";
  const name = () => ($("#theme").textContent = isDark() ? "Light" : "Dark");
  dark.addEventListener("change", name);
  $("#theme").addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    try {
      localStorage.setItem("theme", root.dataset.theme);
    } catch {
      // holds until the page is left
    }
    name();
  });
  name();
}

/** Make the buttons beneath a result. */
export function makeActions() {
  const download = el("button.quiet", { type: "button" }, "Download");
  download.addEventListener("click", () => {
    const { urls, format, operation: of } = onStage();
    saveUrl(urls[0], `${of.mode}.${format === "jpeg" ? "jpg" : format}`);
  });
  const link = el("button.quiet", { type: "button", id: "copy-link" }, "Copy link");
  link.addEventListener("click", () => {
    history.replaceState(null, "", toFragment());
    copy(location.href, hasOwn() ? "Link copied, without your own pictures: they stay on this page" : "Link copied");
  });
  subscribe(() => (download.hidden = !onStage() || operation.mode === "interpolate"));
  return [download, link];
}

/** Ask for the token; rejects when people close the question. */
export function askForToken(detail) {
  const dialog = $("#token-dialog");
  $("#token-detail").textContent = detail;
  return new Promise((resolve, reject) => {
    dialog.oncancel = () => reject(new Problem({ title: "Token missing", detail, status: 401 }));
    $("#token-form").onsubmit = (event) => {
      event.preventDefault();
      token.value = $("#token-field").value.trim();
      $("#token-field").value = "";
      dialog.close();
      resolve();
    };
    dialog.showModal();
  });
}


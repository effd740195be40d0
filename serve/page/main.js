// The page: builds its parts, loads what is known of the model, and reads the link it was opened with.

import { token } from "./api.js";
import { openCalls } from "./calls.js";
import { fillDock, openDock, showArrived } from "./dock.js";
import { $, el, toast } from "./dom.js";
import { openEditor } from "./editor.js";
import { chooseModel, loadModels, suggest } from "./model.js";
import { openOptions } from "./options.js";
import { loadGallery } from "./pictures.js";
import { openPlayer } from "./player.js";
import { cancel, run } from "./run.js";
import { fromFragment, modelIn } from "./share.js";
import { openStage, showProblem } from "./stage.js";
import { changed } from "./store.js";
import { openStrip } from "./strip.js";
import { askForToken, makeActions, openTools } from "./tools.js";

async function open() {
  token.ask = askForToken;
  openDock();
  openEditor();
  openOptions();
  openStage({ cancel, actions: makeActions(), below: [openPlayer(), openStrip(), openCalls()] });
  openTools();
  $("#operation").addEventListener("submit", (event) => {
    event.preventDefault();
    run();
  });
  try {
    await load();
  } catch (error) {
    showProblem(error, "", el("button.quiet", { type: "button", onclick: () => location.reload() }, "Try again"));
  }
  document.documentElement.dataset.ready = "yes";
}

async function load() {
  await loadModels(modelIn(location.hash));
  await loadGallery((picture) => {
    showArrived(picture);
    changed();
  });
  fillDock();
  suggest();
  readLink();
  addEventListener("hashchange", async () => {
    await chooseModel(modelIn(location.hash));
    readLink();
  });
}

function readLink() {
  const lacking = fromFragment(location.hash);
  if (lacking) toast(lacking);
  changed();
}

open();

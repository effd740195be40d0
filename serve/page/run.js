// Running an operation: progress as it comes, the result, and trying again when the service says when to come back.

import { Problem, getPicture, pause as wait, stream } from "./api.js";
import { announce, el } from "./dom.js";
import { keep } from "./past.js";
import * as player from "./player.js";
import { formOf, requestOf, truthOf } from "./request.js";
import { toFragment } from "./share.js";
import * as stage from "./stage.js";
import { missing, snapshot } from "./store.js";
import * as strip from "./strip.js";

const RETRIES = 5;
let running = null;

/** Stop what runs; the service stops with it. */
export const cancel = () => running?.abort();
export const isRunning = () => running !== null;

/** Do the operation: progress as it comes, and again by itself when the service says when to come back. */
export async function run() {
  const reason = missing();
  if (reason) return announce(reason);
  cancel();
  const mine = (running = new AbortController());
  const of = snapshot();
  strip.hold(true);
  player.load([]);
  document.body.classList.add("is-running");
  stage.bringIntoView();
  announce(`${of.mode} started`);
  try {
    for (let attempt = 0; ; attempt++) {
      try {
        return finish(await make(of, mine.signal));
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        stage.show(null);
        if (error.retryAfter === null || attempt === RETRIES) return stage.showProblem(error);
        await countDown(error, mine.signal);
      }
    }
  } catch (error) {
    if (running !== mine) return;
    stage.show(null);
    if (error.name === "AbortError") {
      stage.hideProblem();
      announce("Cancelled");
    } else {
      stage.showProblem({ title: "The page failed", detail: `${error.message}. Reload it and try again.` });
      throw error;
    }
  } finally {
    if (running === mine) {
      running = null;
      document.body.classList.remove("is-running");
      strip.hold(false);
    }
  }
}

async function make(of, signal) {
  const started = performance.now();
  const request = requestOf(of);
  stage.begin();
  let truth = "";
  const asked = findTruth(of, signal).then((url) => {
    truth = url;
    if (url && !signal.aborted) stage.showTruth(url);
  });
  for await (const { event, data } of stream(request.path, { query: request.query, body: await formOf(request), signal })) {
    if (event === "progress") stage.progress(data);
    if (event === "done") {
      await asked;
      const urls = data.images.map((image) => toUrl(image, data.format));
      return { operation: of, urls, truth, format: data.format, model: data.model, seconds: (performance.now() - started) / 1000 };
    }
  }
}

function finish(result) {
  stage.show(result);
  player.load(result.operation.mode === "interpolate" ? result.urls : []);
  keep(result);
  history.replaceState(null, "", toFragment(result.operation));
  announce(`${result.operation.mode} done in ${result.seconds.toFixed(1)} seconds`);
  if (result.operation.mode === "edit") strip.arm();
}

/** Return a URL of what the edit should show, "" where nobody knows. */
async function findTruth(of, signal) {
  const asked = truthOf(of);
  if (!asked) return "";
  try {
    return URL.createObjectURL(await getPicture(asked.path, { query: asked.query, signal }));
  } catch {
    return "";
  }
}

function toUrl(image, format) {
  const bytes = Uint8Array.from(atob(image), (letter) => letter.charCodeAt(0));
  return URL.createObjectURL(new Blob([bytes], { type: `image/${format}` }));
}

async function countDown(problem, signal) {
  const stop = el("button.quiet", { type: "button", onclick: cancel }, "Stop");
  let now;
  const skip = new Promise((resolve) => (now = resolve));
  const go = el("button.quiet", { type: "button", onclick: () => now("now") }, "Try now");
  const tell = (seconds) => `Trying again in ${seconds} s`;
  stage.showProblem(problem, tell(problem.retryAfter), go, stop);
  for (let left = problem.retryAfter; left > 0; left--) {
    stage.tellWait(tell(left));
    if ((await Promise.race([wait(1000, signal), skip])) === "now") return;
  }
}


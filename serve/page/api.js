// The service as the page sees it: requests with the token, problems as errors, server-sent events over fetch.

const BASE = new URL("v1/", document.baseURI);
const TOKEN = "token";
const RETRIES = 5;
const BUSY = [429, 503];
const BUSY_SECONDS = 5; // an event has no Retry-After

/** What the service says is wrong (RFC 9457); `retryAfter` in seconds where it says when to come back. */
export class Problem extends Error {
  constructor({ title, detail, status = 0, type = "" }, retryAfter = null) {
    super(detail || title);
    Object.assign(this, { title, detail, status, type, retryAfter });
  }
}

/** The bearer token: kept for this tab only, asked for when the service wants one. */
export const token = {
  ask: null, // async (detail) => string, set by the page
  get value() {
    try {
      return sessionStorage.getItem(TOKEN) ?? this.memory;
    } catch {
      return this.memory;
    }
  },
  set value(text) {
    this.memory = text;
    try {
      sessionStorage.setItem(TOKEN, text);
    } catch {
      // kept in memory alone
    }
  },
  memory: "",
};

let asking = null;

/** Ask once for all requests that are waiting. */
function askForToken(detail) {
  asking ??= token.ask(detail).finally(() => (asking = null));
  return asking;
}

/** Return the address of a path below /v1. */
export function address(path, query = {}) {
  const url = new URL(path, BASE);
  for (const [name, value] of Object.entries(query)) if (value) url.searchParams.append(name, value);
  return url;
}

/** Send a request; raises Problem for everything that is no success, and waits for a token where one is needed. */
export async function send(path, { query, headers = {}, ...options } = {}) {
  for (;;) {
    const used = token.value;
    const sent = { ...headers, ...(used ? { Authorization: `Bearer ${used}` } : {}) };
    let response;
    try {
      response = await fetch(address(path, query), { ...options, headers: sent });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Problem({ title: "No connection", detail: "The service does not answer. Is it running?" });
    }
    if (response.ok) return response;
    const problem = await readProblem(response);
    if (response.status !== 401 || !token.ask) throw problem;
    if (used === token.value) await askForToken(problem.detail);
  }
}

/** Send a request that nobody waits for by name: it comes back later when the service says so. */
export async function sendPatiently(path, options) {
  for (let attempt = 0; ; attempt++) {
    try {
      return await send(path, options);
    } catch (error) {
      if (!(error instanceof Problem) || error.retryAfter === null || attempt >= RETRIES) throw error;
      await pause(error.retryAfter * 1000, options?.signal);
    }
  }
}

/** Wait; rejects as fetch does when the signal aborts. */
export function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(new DOMException("stopped", "AbortError"));
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, milliseconds);
    if (signal?.aborted) stop();
    signal?.addEventListener("abort", stop, { once: true });
  });
}

export const getJson = async (path, query) => (await sendPatiently(path, { query })).json();
export const getPicture = async (path, options) => (await sendPatiently(path, options)).blob();

/** Post a form and yield `{event, data}` as the service sends them; leaving the loop or aborting cancels the request. */
export async function* stream(path, { query, body, signal }) {
  const headers = { Accept: "text/event-stream" };
  const response = await send(path, { method: "POST", query, body, signal, headers });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let buffer = "";
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      buffer += value;
      const blocks = buffer.split(/\r?\n\r?\n/);
      buffer = blocks.pop();
      for (const block of blocks) {
        const event = parseEvent(block);
        if (event?.event === "problem") throw new Problem(event.data, BUSY.includes(event.data.status) ? BUSY_SECONDS : null);
        if (event) yield event;
        if (event?.event === "done") return;
      }
    }
  } catch (error) {
    if (error instanceof Problem || error.name === "AbortError") throw error;
    throw new Problem({ title: "Connection lost", detail: "The answer broke off; try again." });
  } finally {
    reader.cancel().catch(() => {});
  }
  throw new Problem({ title: "Connection lost", detail: "The answer broke off before the picture was done; try again." });
}

/** Return an event's name and its JSON, null for a comment that only keeps the connection open. */
export function parseEvent(block) {
  let event = "message";
  const data = [];
  for (const line of block.split(/\r?\n/)) {
    const [, field, text] = /^([^:]*):? ?(.*)$/.exec(line);
    if (field === "event") event = text;
    if (field === "data") data.push(text);
  }
  return data.length ? { event, data: JSON.parse(data.join("\n")) } : null;
}

async function readProblem(response) {
  const wait = response.headers.get("Retry-After");
  const seconds = wait === null ? null : /^\d+$/.test(wait) ? Number(wait) : (Date.parse(wait) - Date.now()) / 1000;
  const known = { title: response.statusText || `Error ${response.status}`, detail: "", status: response.status };
  try {
    Object.assign(known, await response.json());
  } catch {
    // not from the service itself, a proxy for example; the status has to do
  }
  return new Problem(known, seconds === null || Number.isNaN(seconds) ? null : Math.max(1, Math.ceil(seconds)));
}

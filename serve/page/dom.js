// Making elements, and telling screen readers what happened.

export const $ = (selector, root = document) => root.querySelector(selector);
export const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

/** Make an element: properties by name, `on…` as listeners, `data`/`aria` as objects; children as nodes or text. */
export function el(tag, properties = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  const node = document.createElement(name || "div");
  if (classes.length) node.className = classes.join(" ");
  for (const [key, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (key === "data") Object.assign(node.dataset, value);
    else if (key === "aria") for (const [each, text] of Object.entries(value)) node.setAttribute(`aria-${each}`, text);
    else if (key in node && key !== "list" && key !== "role") node[key] = value;
    else node.setAttribute(key, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

/** Say something politely; the same words twice in a row are said twice. */
export function announce(text) {
  const region = $("#status");
  region.textContent = region.textContent === text ? `${text}\u00a0` : text;
}

export const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

/** Return a function that runs `action` once calls have ceased for `delay` milliseconds. */
export function settle(action, delay) {
  let timer = 0;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(action, delay);
  };
}

/** Copy text and say so; where the clipboard is forbidden, the text is shown selected instead. */
export async function copy(text, said) {
  try {
    await navigator.clipboard.writeText(text);
    toast(said);
  } catch {
    window.prompt("Copy this:", text);
  }
}

let toastTimer = 0;

/** Show a short note that goes by itself. */
export function toast(text) {
  const note = $("#toast");
  note.textContent = text;
  note.hidden = false;
  announce(text);
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => (note.hidden = true), 4000);
}

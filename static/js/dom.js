// Small helpers. Text reaches the page through textContent only.

const shown = new WeakMap();

export const $ = (id) => document.getElementById(id);

/** Set an element's text, and touch the page only if it differs from what was set last. */
export function setText(element, text) {
  if (shown.get(element) === text) return;
  shown.set(element, text);
  element.textContent = text;
}

/** A value followed by a smaller remark: <dd>22<small> / 22</small></dd>. */
export function setTextWithNote(element, text, note) {
  const whole = `${text}\u0000${note}`;
  if (shown.get(element) === whole) return;
  shown.set(element, whole);
  element.replaceChildren(text, make("small", note));
}

export function make(tag, text = "", className = "") {
  const element = document.createElement(tag);
  if (text) element.textContent = text;
  if (className) element.className = className;
  return element;
}

/** An element with children. */
export function build(tag, className, ...children) {
  const element = make(tag, "", className);
  element.append(...children);
  return element;
}

export function makeButton(text, onClick, className = "") {
  const button = make("button", text, className);
  button.type = "button";
  button.addEventListener("click", onClick);
  return button;
}

const SVG = "http://www.w3.org/2000/svg";

export function makeSvg(tag, className = "") {
  const element = document.createElementNS(SVG, tag);
  if (className) element.setAttribute("class", className);
  return element;
}

export function makeShape(name) {
  const shape = makeSvg("svg", "shape");
  shape.setAttribute("aria-hidden", "true");
  shape.append(makeSvg("use"));
  setShape(shape, name);
  return shape;
}

export function setShape(shape, name) {
  const use = shape.querySelector("use");
  const href = `#shape-${name}`;
  if (use.getAttribute("href") !== href) use.setAttribute("href", href);
}

export function setData(element, key, value) {
  if (element.dataset[key] !== value) element.dataset[key] = value;
}

export function setHidden(element, hidden) {
  if (element.hidden !== hidden) element.hidden = hidden;
}

let toastTimer = 0;

/** Say something for a few seconds, where a screen reader hears it too. */
export function toast(text, tone = "ok") {
  const element = $("toast");
  setData(element, "tone", tone);
  element.textContent = text;
  element.hidden = false;
  clearTimeout(toastTimer);
  toastTimer = setTimeout(() => { element.hidden = true; }, 6000);
}

/** Copy text; where the browser forbids it (plain http), offer it for copying by hand. */
export async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
    toast(`Copied ${what}: ${text}`);
  } catch {
    globalThis.prompt(`Copy ${what}:`, text);
  }
}

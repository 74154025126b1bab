// Small helpers. Text reaches the page through textContent only.

const shown = new WeakMap();

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

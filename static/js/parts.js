// What the panels and the drawer are put together from: lists that keep their elements, facts, raw frames.

import { build, copy, make, makeButton, setData, setHidden, setText } from "./dom.js";
import { syncRows } from "./entries.js";

const kept = new WeakMap(); // parent → key → element

/** Make the children of `parent` those of `items`, and keep the elements of those that were there before. */
export function keep(parent, items, key, makeItem, update = () => {}) {
  if (!kept.has(parent)) kept.set(parent, new Map());
  syncRows(parent, kept.get(parent), items, key, makeItem, update);
}

/** A part of the drawer with a heading. */
export function section(title, ...children) {
  return build("section", "part", make("h3", title), ...children);
}

/** A list that scrolls by itself where it is long: the keyboard reaches it. */
export function makeList() {
  const list = make("ol", "", "list");
  list.tabIndex = 0;
  return list;
}

/** A list of name and value: `set(name, text, tone)` paints one. `names` are in the order of reading. */
export function makeFacts(...names) {
  const element = make("dl", "", "facts");
  const values = new Map();
  for (const name of names) {
    const value = make("dd");
    values.set(name, value);
    element.append(build("div", "", make("dt", name), value));
  }
  return {
    element,
    set(name, text, tone = "", title = "") {
      const value = values.get(name);
      setText(value, text);
      setData(value, "tone", tone);
      if (value.title !== title) value.title = title;
    },
  };
}

/** 15:53:04.368 of an ISO time: UTC, as in the log. */
export const clockOf = (time) => String(time).slice(11, 23).replace("Z", "");

/** The last raw frames. They stand still while somebody reads, selects or copies them. */
export class Frames {
  constructor() {
    this.note = make("span", "", "held");
    this.pre = make("pre", "", "frames");
    this.pre.tabIndex = 0;
    this.pre.setAttribute("role", "region");
    this.pre.setAttribute("aria-label", "Last raw frames, newest first");
    this.element = section("Last raw frames (UTC)", this.pre);
    this.element.firstChild.append(" ", this.note,
      makeButton("Copy", () => copy(this.pre.textContent, "the last frames"), "button small"));
  }

  paint(frames) {
    const newestFirst = [...frames].sort((a, b) => (a.time < b.time ? 1 : -1));
    const text = newestFirst.map(({ time, frame }) => `${clockOf(time)} ${frame}`).join("\n") || "none yet";
    const selection = getSelection();
    const read = this.pre.scrollTop > 0 || this.pre.matches(":hover, :focus")
      || (!selection.isCollapsed && selection.containsNode(this.pre, true));
    const first = !this.pre.textContent;
    setText(this.note, read && !first ? "held while you read" : "");
    if (!read || first) setText(this.pre, text);
  }
}

/** A paragraph that is there only while it has something to say. */
export function setNote(element, text, tone = "") {
  setText(element, text);
  setHidden(element, !text);
  setData(element, "tone", tone);
}

// What the lists and marks of events share: a mark by kind, times, buttons that open the drawer, rows kept in place.

import { make, makeButton, makeSvg } from "./dom.js";
import { isObject, table, textOf } from "./format.js";
import { view } from "./view.js";

// kind → [word, a path in a square of 16]: told apart by shape, the colour says how bad it is
const KINDS = table({
  gap: ["gap", "M1 8h4M11 8h4M5 4.5v7M11 4.5v7"],
  connected: ["connected", "M3 8.5l3.2 3.2L13 4.8"],
  lost: ["lost", "M4 4l8 8M12 4l-8 8"],
  rotated: ["rotated", "M13 8a5 5 0 1 1-1.6-3.7M13 1.8v3.1H9.9"],
  rotation_failed: ["rotation failed", "M13 8a5 5 0 1 1-1.6-3.7M13 1.8v3.1H9.9M6.5 6.5l3 3m0-3l-3 3"],
  moved: ["moved", "M2 5h10M9 2l3 3-3 3M14 11H4m3-3-3 3 3 3"],
  move_failed: ["move failed", "M2 8h6M5 5l3 3-3 3M10.5 5.5l4 5m0-5l-4 5"],
  resubscribed: ["subscribed again", "M8 3v10M3 8h10"],
  listed: ["listed", "M8 3v10M3 8h10"],
  delisted: ["delisted", "M3 8h10"],
  left: ["left", "M3 8h10"],
  status: ["status", "M4 14V2.5h8.5L10 5.5l2.5 3H4"],
  path: ["path", "M3 13c0-6 10-4 10-10M10 5l3-3 2.5 3"],
  pause: ["pause", "M5.5 3v10M10.5 3v10"],
  alert: ["alert", "M9 1.5 4 9h4l-1 5.5L12 7H8z"],
  action: ["action", "M5 2.5l7.5 5.5L5 13.5z"],
  priority: ["priority pairs", "M8 2l1.8 4 4.2.4-3.2 2.8 1 4.3L8 11.3l-3.8 2.2 1-4.3L2 6.4 6.2 6z"],
});
const OTHER = ["", "M8 6.5v3M6.5 8h3"];

export const kindWord = (kind) => (KINDS[kind] ?? [kind.replaceAll("_", " ")])[0];

export function makeMark(kind) {
  const mark = makeSvg("svg", "mark");
  mark.setAttribute("viewBox", "0 0 16 16");
  mark.setAttribute("aria-hidden", "true");
  mark.append(makeSvg("path"));
  setMark(mark, kind);
  return mark;
}

export function setMark(mark, kind) {
  const path = (KINDS[kind] ?? OTHER)[1];
  if (mark.firstChild.getAttribute("d") !== path) mark.firstChild.setAttribute("d", path);
}

const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const DAY = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });

const MAX_ID = 64;

/** Entries of the journal as the page knows them: each part is a text, a list of texts or null, whatever was kept. */
export function entriesOf(given) {
  return given.filter(isObject).map(({ id, time, kind, tone, connection_id: connection, product, text, data }) => ({
    id,
    time: textOf(time, MAX_ID),
    kind: textOf(kind, MAX_ID),
    tone: textOf(tone, MAX_ID),
    connection_id: textOf(connection, MAX_ID) || null,
    product: textOf(product, MAX_ID) || null,
    text: textOf(text),
    products: (Array.isArray(data?.products) ? data.products : []).map((one) => textOf(one, MAX_ID)).filter(Boolean),
  }));
}

/** A moment (milliseconds since 1970) in the reader's own time; with its day if that is not today. */
export function localTime(at) {
  const moment = new Date(at);
  if (Number.isNaN(moment.getTime())) return "–";
  const clock = CLOCK.format(moment);
  return moment.toDateString() === new Date().toDateString() ? clock : `${DAY.format(moment)} ${clock}`;
}

/** An element <time> that shows local time, and has the full time in UTC as its title. */
export function makeTime(iso) {
  const element = make("time", localTime(Date.parse(iso)));
  element.dateTime = iso;
  element.title = iso;
  return element;
}

/** A button that opens the drawer of a connection or a product. */
export function makeSubject(id) {
  const button = makeButton(id, () => view.set({ open: id }), "as-link subject");
  button.title = `Open ${id}`;
  return button;
}

/** A text in which the ids are buttons; those that it does not name come after it. */
export function withSubjects(text, ids) {
  const parts = [text];
  for (const id of ids) {
    const i = parts.findIndex((part) => typeof part === "string" && part.includes(id));
    if (i < 0) {
      parts.push(" ", makeSubject(id));
      continue;
    }
    const at = parts[i].indexOf(id);
    parts.splice(i, 1, parts[i].slice(0, at), makeSubject(id), parts[i].slice(at + id.length));
  }
  return parts;
}

const broken = new WeakSet(); // rows that stand for what can't be shown

function makeBroken(parent) {
  const inTable = parent.tagName === "TBODY";
  const row = make(inTable ? "tr" : ["OL", "UL"].includes(parent.tagName) ? "li" : "span", "", "entry broken");
  const words = make(inTable ? "td" : "span", "This row can’t be shown.", "text");
  if (inTable) words.colSpan = 99;
  row.append(words);
  broken.add(row);
  return row;
}

/** The row after `step()`, or one that stands for it: what is wrong with one row is wrong with no other. */
function tryRow(parent, before, step) {
  try {
    return step();
  } catch (error) {
    if (before && broken.has(before)) return before;
    console.warn("a row can't be shown:", error);
    return makeBroken(parent);
  }
}

function keyOf(item, i, key) {
  try {
    return key(item);
  } catch {
    return `broken ${i}`;
  }
}

/**
 * Make the rows under `parent` those of `items`, in their order: rows are kept by `key(item)`, made by `make(item)` and
 * told of each change by `update(row, item)`. Only what moved is moved, so that focus and selection stay. A row that throws
 * says that it can't be shown, and the others stand.
 */
export function syncRows(parent, rows, items, key, makeRow, update) {
  const keys = items.map((item, i) => keyOf(item, i, key));
  const wanted = new Set(keys);
  for (const [id, row] of rows) {
    if (wanted.has(id)) continue;
    row.remove();
    rows.delete(id);
  }
  let next = parent.firstElementChild;
  for (const [i, item] of items.entries()) {
    const id = keys[i];
    const before = rows.get(id);
    const row = tryRow(parent, before, () => {
      const found = before && !broken.has(before) ? before : makeRow(item);
      update(found, item);
      return found;
    });
    if (row !== before) {
      if (before?.parentElement === parent) before.replaceWith(row);
      if (before && next === before) next = row;
      rows.set(id, row);
    }
    if (next && row === next.nextElementSibling) { // one left its place: move that one, not all that follow it
      parent.append(next);
      next = row;
    }
    if (row === next) next = next.nextElementSibling;
    else parent.insertBefore(row, next);
  }
}

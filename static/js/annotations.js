// Markers above the plots for what happened: by kind, folded where many are at one place, in words on hover and focus.

import { build, make, makeButton, setData, setHidden, setText } from "./dom.js";
import { kindWord, localTime, makeMark, setMark, syncRows } from "./entries.js";
import { view } from "./view.js";

const PITCH = 24; // pixels: what is nearer than that is folded into one
const EDGE = 8; // a marker this far from the right end is still whole
const TOLD = 6; // entries that a tip names
const WORST_FIRST = ["bad", "warn", "info", "ok"];

export class Annotations {
  constructor(plots) {
    this.plots = plots;
    this.rows = new Map();
    this.folds = new Map();
    this.current = null;
    this.lane = make("div", "", "marks");
    this.lane.setAttribute("role", "group");
    this.lane.setAttribute("aria-label", "What happened; arrow keys move");
    this.tip = make("div", "", "tip");
    this.tip.setAttribute("role", "tooltip");
    this.tip.hidden = true;
    plots.host.before(this.lane);
    this.lane.after(this.tip);
    this.lane.addEventListener("keydown", (event) => this.key(event));
    this.lane.addEventListener("focusout", () => this.point(null));
    this.lane.addEventListener("pointerleave", () => this.point(null));
  }

  paint(history) {
    const area = this.plots.area();
    if (!area) return;
    const [left, width] = area;
    const folds = fold(history, width);
    for (const item of folds) item.x = Math.min(left + width - EDGE, left + ((item.at - history.begin) / history.seconds) * width);
    this.folds = new Map(folds.map((item) => [item.key, item]));
    syncRows(this.lane, this.rows, folds, (item) => item.key, (item) => this.make(item), (row, item) => this.update(row, item));
    const rows = [...this.rows.values()];
    if (!rows.some((row) => row.tabIndex === 0) && this.lane.lastElementChild) this.lane.lastElementChild.tabIndex = 0;
    if (this.current !== null && !this.folds.has(this.current)) this.point(null);
    else if (this.current !== null) this.tell();
  }

  make(item) {
    const mark = makeMark(item.entries[0].kind);
    const row = makeButton("", () => this.open(item.key), "annotation");
    row.append(mark, make("span"));
    row.tabIndex = -1;
    row.dataset.key = item.key;
    row.addEventListener("pointerenter", () => this.point(item.key));
    row.addEventListener("focus", () => this.point(item.key));
    return row;
  }

  update(row, { entries, x }) {
    const worst = worstOf(entries);
    setMark(row.firstElementChild, worst.kind);
    setData(row, "tone", worst.tone);
    setData(row, "kind", worst.kind);
    setText(row.lastElementChild, entries.length > 1 ? String(Math.min(99, entries.length)) : "");
    const transform = `translateX(${Math.round(x)}px) translateX(-50%)`;
    if (row.style.transform !== transform) row.style.transform = transform;
    const label = entries.length > 1 ? `${entries.length} entries, ${say(worst)} among them` : say(worst);
    if (row.getAttribute("aria-label") !== label) row.setAttribute("aria-label", label);
  }

  point(key) {
    this.current = key;
    setHidden(this.tip, key === null);
    if (key !== null) this.tell();
  }

  tell() {
    const { entries, x } = this.folds.get(this.current);
    const told = [...entries].reverse().slice(0, TOLD);
    const said = `${told.map((entry) => entry.id)} ${entries.length}`;
    if (this.said !== said) {
      this.said = said;
      const lines = told.map((entry) => {
        const line = build("p", "", makeMark(entry.kind), " ", make("b", localTime(entry.at * 1000)), ` ${entry.text}`);
        line.dataset.tone = entry.tone;
        return line;
      });
      if (entries.length > TOLD) lines.push(make("p", `and ${entries.length - TOLD} more`));
      this.tip.replaceChildren(...lines);
    }
    const room = this.lane.clientWidth - this.tip.offsetWidth;
    this.tip.style.left = `${Math.max(4, Math.min(room - 4, x - this.tip.offsetWidth / 2))}px`;
    this.tip.style.top = `${this.lane.offsetTop + this.lane.offsetHeight + 2}px`;
  }

  open(key) {
    const { connection_id: connection, product } = worstOf(this.folds.get(key)?.entries ?? [{}]);
    if (connection || product) view.set({ open: connection ?? product });
  }

  key(event) {
    if (event.key === "Escape") this.point(null);
    const steps = { ArrowLeft: "previousElementSibling", ArrowRight: "nextElementSibling" };
    const next = event.target[steps[event.key]];
    if (!next) return;
    event.preventDefault();
    event.stopPropagation();
    event.target.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  }
}

const say = (entry) => `${kindWord(entry.kind)}, ${localTime(entry.at * 1000)}: ${entry.text}`;

function worstOf(entries) {
  return entries.reduce((worst, entry) => (
    WORST_FIRST.indexOf(entry.tone) < WORST_FIRST.indexOf(worst.tone) ? entry : worst));
}

/** Whether the filter lets a journal entry through. */
export const passes = (entry) => (
  view.matches(entry.product, entry.connection_id, kindWord(entry.kind), entry.text, ...entry.products));

/** The history's entries that are marked: `end` is where its newest step begins, what happened in that step counts. */
export const marked = (history) => history.annotations.filter((entry) => entry.at <= history.end + history.step && passes(entry));

/** Entries in places of PITCH pixels, [{key, at, entries}]: by time and not by what is left of it, so that none hops. */
function fold(history, width) {
  const seconds = (PITCH * history.seconds) / Math.max(1, width);
  const found = [];
  for (const entry of marked(history)) {
    const place = Math.floor(entry.at / seconds);
    const last = found.at(-1);
    const near = last && (last.place === place || entry.at - last.at < seconds * 0.9);
    if (!near) found.push({ key: `${entry.id}`, place, sum: 0, entries: [] });
    const item = found.at(-1);
    item.entries.push(entry);
    item.sum += entry.at;
    item.at = item.sum / item.entries.length;
  }
  return found;
}

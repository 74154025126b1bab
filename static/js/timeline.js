// Gaps and incidents: what was missed, how it healed, and what happened; the newest first, what is open before all.

import { passes } from "./annotations.js";
import { Source } from "./api.js";
import { secondsSince } from "./clock.js";
import { $, build, make, setData, setHidden, setText } from "./dom.js";
import { entriesOf, kindWord, localTime, makeMark, makeSubject, makeTime, syncRows, withSubjects } from "./entries.js";
import { count, milliseconds } from "./format.js";
import { foldGaps, gapText, gapTone } from "./gaps.js";
import { Lane } from "./lane.js";
import { panel } from "./painter.js";
import { view } from "./view.js";

const EVERY_MS = 2000;
const MAX_ROWS = 200;
const MAX_KEPT = 1000; // journal entries
// all of the journal but alerts, which have a panel of their own and would crowd these out
const KINDS = "connected,lost,rotated,rotation_failed,moved,move_failed,resubscribed,"
  + "listed,delisted,left,status,path,pause,action,priority";
const MAX_GAPS = 500;
const NAMED_IN_TITLE = 40;
const NAMED = 3; // products of one entry that get a button

class Timeline {
  constructor() {
    this.events = []; // journal, newest first
    this.lastId = 0;
    this.gaps = [];
    this.openGaps = 0;
    this.rows = new Map();
    this.list = $("timeline-list");
    this.empty = make("p", "", "empty");
    this.list.after(this.empty);
    this.lane = new Lane(this.list.parentElement);
    this.panel = panel($("timeline"), () => this.paint());
    const awake = { wanted: () => this.panel.awake() };
    this.journal = new Source(
      () => `/journal?kind=${KINDS}&limit=${MAX_KEPT}${this.lastId ? `&after=${this.lastId}` : ""}`, EVERY_MS,
      (body) => this.takeJournal(body), awake,
    );
    new Source(`/gaps?limit=${MAX_GAPS}`, EVERY_MS, (body) => this.takeGaps(body), awake);
    view.on((changed) => { if (changed.includes("q")) this.panel.request(); });
    setInterval(() => { if (this.openGaps && this.panel.awake()) this.panel.request(); }, 1000);
  }

  takeJournal(body) {
    if (body.last_id < this.lastId) { // another hub, or one that lost its store: ours is not its story
      this.events = [];
      this.lastId = 0;
      this.journal.poke();
      return;
    }
    const known = new Set(this.events.map((entry) => entry.id));
    this.events = [...entriesOf(body.events).filter((entry) => !known.has(entry.id)), ...this.events].slice(0, MAX_KEPT);
    this.lastId = body.last_id;
    this.panel.request();
  }

  takeGaps(body) {
    this.gaps = body.gaps;
    this.openGaps = body.open;
    this.panel.request();
  }

  /** What is shown: [key, time, entry or gap], open gaps first, then by time. */
  items(events, gaps) {
    const seen = foldGaps(gaps).map((gap) => ({ key: gap.key, at: gap.opened_at, open: gap.open, gap }));
    for (const entry of events) seen.push({ key: `e${entry.id}`, at: entry.time, open: false, entry });
    seen.sort((a, b) => Number(b.open) - Number(a.open) || (a.at < b.at ? 1 : -1));
    return seen.slice(0, MAX_ROWS);
  }

  paint() {
    const gaps = this.gaps.filter((gap) => (
      view.matches(gap.product, gap.connection_id, "gap", gap.cause, gap.healed, gap.open ? "open" : "")));
    const events = this.events.filter(passes);
    const items = this.items(events, gaps);
    syncRows(this.list, this.rows, items, (item) => item.key, (item) => this.makeRow(item), updateRow);
    const calm = this.nothingMissed();
    setText($("timeline-hint"), this.openGaps ? `${count(this.openGaps)} open` : calm);
    setData($("timeline-hint"), "tone", this.openGaps ? "warn" : "");
    setHidden(this.empty, items.length > 0);
    setText(this.empty, view.filtering() ? "Nothing that the filter lets through." : `${calm}.`);
    this.lane.paint(events, gaps, this.events.at(-1)?.time);
  }

  nothingMissed() {
    const last = this.gaps.reduce((latest, gap) => (gap.closed_at > latest ? gap.closed_at : latest), "");
    const first = this.events.at(-1)?.time;
    const since = last || first;
    return since ? `Nothing missed since ${localTime(Date.parse(since))}` : "Nothing missed yet";
  }

  makeRow({ gap, entry }) {
    const parts = gap ? gapParts(gap) : withSubjects(entry.text, subjectsOf(entry));
    const kind = gap ? "gap" : entry.kind;
    const time = makeTime(gap ? gap.opened_at : entry.time);
    const row = build("li", "entry", makeMark(kind), time, build("p", "what", ...parts), make("span", "", "length"));
    row.dataset.tone = gap ? gapTone(gap) : entry.tone;
    row.dataset.kind = kind;
    if (entry) row.title = `${kindWord(kind)}: ${entry.text}`;
    return row;
  }
}

function subjectsOf(entry) {
  const named = [entry.connection_id, entry.product, ...entry.products];
  return [...new Set(named)].filter(Boolean).slice(0, NAMED);
}

/** [subject, text, where]: the text in the middle changes while the gap heals. */
function gapParts(gap) {
  const [subject, where] = [gap.product, gap.connection_id].filter(Boolean);
  const parts = [make("span", "", "text")];
  if (subject) parts.unshift(makeSubject(subject), " ");
  if (where) parts.push(" on ", makeSubject(where));
  return parts;
}

function updateRow(row, { gap }) {
  if (!gap) return;
  setData(row, "tone", gapTone(gap));
  setData(row, "open", String(gap.open));
  const text = gapText(gap);
  setText(row.querySelector(".text"), text);
  const title = gap.products ? `${text}: ${gap.products.slice(0, NAMED_IN_TITLE).join(", ")}` : text;
  if (row.title !== title) row.title = title;
  const long = gap.open ? (secondsSince(gap.opened_at) ?? 0) * 1000 : gap.duration_ms;
  setText(row.querySelector(".length"), gap.open ? `open ${milliseconds(long)}` : milliseconds(long));
}

export function startTimeline() {
  new Timeline();
}

// What GET /history said, kept in columns and continued by what is new since.

import { entriesOf } from "./entries.js";
import { table } from "./format.js";

export const RANGES = table({ "5m": 300, "1h": 3600, "24h": 86_400 }); // seconds
const OVERLAP_STEPS = 2; // asked for again: the newest points may have been under way
const MAX_ANNOTATIONS = 500; // as in one answer: a day of alerts must not pile up

export class History {
  constructor(range) {
    this.range = range;
    this.seconds = RANGES[range];
    this.step = 1;
    this.times = []; // epoch seconds, ascending
    this.columns = {}; // series → numbers and nulls
    this.running = false; // whether the last point is of a step that is not over
    this.annotations = []; // journal entries, oldest first, with `at` in epoch seconds
  }

  path() {
    const since = this.times.length > OVERLAP_STEPS + 1 ? `&since=${this.end - (OVERLAP_STEPS + 1) * this.step}` : "";
    return `/history?range=${this.range}${since}`;
  }

  /** The newest point's time, which is where its step begins; the plots end here. */
  get end() {
    return this.times.at(-1) ?? Date.now() / 1000;
  }

  get begin() {
    return this.end - this.seconds;
  }

  column(name) {
    return this.columns[name] ?? new Array(this.times.length).fill(null);
  }

  /** Take an answer in; what it says of a time that is known already replaces it. */
  take(body) {
    this.step = body.step_seconds;
    for (const name of Object.keys(body.series)) this.columns[name] ??= new Array(this.times.length).fill(null);
    if (this.running) this.cut();
    const [first] = body.times;
    while (this.times.length && this.times.at(-1) >= first) this.cut();
    body.times.forEach((time, i) => {
      // a step that nobody speaks of is a hole, too: the line must not bridge it
      if (this.times.length && time - this.times.at(-1) > this.step * 1.5) this.push(this.times.at(-1) + this.step, () => null);
      this.push(time, (name) => body.series[name]?.[i]);
    });
    const { running } = body;
    this.running = Number.isFinite(running?.time) && running.time > (this.times.at(-1) ?? 0);
    if (this.running) this.push(running.time, (name) => running.values[name]);
    const keep = this.times.findIndex((time) => time >= this.begin);
    if (keep > 0) {
      this.times.splice(0, keep);
      for (const column of Object.values(this.columns)) column.splice(0, keep);
    }
    this.annotate(body.annotations);
  }

  push(time, value) {
    this.times.push(time);
    for (const [name, column] of Object.entries(this.columns)) {
      const given = value(name);
      column.push(Number.isFinite(given) ? given : null);
    }
  }

  cut() {
    this.times.pop();
    for (const column of Object.values(this.columns)) column.pop();
  }

  annotate(entries) {
    const known = new Set(this.annotations.map((entry) => entry.id));
    for (const entry of entriesOf(entries)) {
      if (!known.has(entry.id)) this.annotations.push({ ...entry, at: Date.parse(entry.time) / 1000 });
    }
    const recent = this.annotations.filter((entry) => entry.at >= this.begin).sort((a, b) => a.at - b.at);
    this.annotations = recent.slice(-MAX_ANNOTATIONS);
  }
}

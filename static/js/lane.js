// The last hour as a strip, a bar a minute: how bad its worst moment was, by height and colour.

import { hubNow } from "./clock.js";
import { build, make, setData } from "./dom.js";
import { kindWord, localTime } from "./entries.js";
import { table } from "./format.js";

const MINUTES = 60;
const MINUTE_MS = 60_000;
const TONES = ["unknown", "calm", "info", "warn", "bad"];
const LEVELS = table({ ok: 2, info: 2, warn: 3, bad: 4 });

export class Lane {
  constructor(before) {
    this.bars = Array.from({ length: MINUTES }, () => make("i"));
    this.element = build("div", "lane", ...this.bars);
    this.element.setAttribute("role", "img");
    this.said = "The last hour, minute by minute";
    this.element.setAttribute("aria-label", this.said);
    before.before(this.element);
  }

  /** `since`: the time of the oldest journal entry that there is; nobody knows what was before it. */
  paint(events, gaps, since) {
    const end = (Math.floor(hubNow() / MINUTE_MS) + 1) * MINUTE_MS;
    const begin = end - MINUTES * MINUTE_MS;
    const levels = new Array(MINUTES).fill(1);
    const texts = Array.from({ length: MINUTES }, () => new Map());
    const oldest = Date.parse(since ?? "");
    const known = Number.isNaN(oldest) ? end : oldest;
    for (let i = 0; begin + (i + 1) * MINUTE_MS <= known && i < MINUTES; i += 1) levels[i] = 0;
    const note = (i, level, word) => {
      if (!(i >= 0 && i < MINUTES)) return; // of a time that is none, too
      levels[i] = Math.max(levels[i], level);
      texts[i].set(word, (texts[i].get(word) ?? 0) + 1);
    };
    const minute = (iso) => Math.floor((Date.parse(iso) - begin) / MINUTE_MS);
    for (const entry of events) {
      const i = minute(entry.time);
      if (i < 0) break;
      note(i, LEVELS[entry.tone] ?? 2, kindWord(entry.kind));
    }
    for (const gap of gaps) {
      const last = gap.open ? MINUTES - 1 : Math.min(MINUTES - 1, minute(gap.closed_at));
      const level = !gap.open && gap.missing ? 4 : 3;
      for (let i = Math.max(0, minute(gap.opened_at)); i <= last; i += 1) note(i, level, "in a gap");
    }
    let troubled = 0;
    levels.forEach((level, i) => {
      const words = [...texts[i]].map(([word, times]) => `${times} ${word}`).join(", ");
      const calm = level ? "calm" : "not known";
      if (level >= 3) troubled += 1;
      setData(this.bars[i], "tone", TONES[level]);
      const title = `${localTime(begin + i * MINUTE_MS).replace(/:00$/, "")}: ${words || calm}`;
      if (this.bars[i].title !== title) this.bars[i].title = title;
    });
    const unknown = levels.filter((level) => level === 0).length;
    const said = `The last hour, minute by minute: ${troubled ? `trouble in ${troubled} of 60 minutes` : "no trouble"}`
      + (unknown ? `, ${unknown} not known` : "");
    if (said !== this.said) this.element.setAttribute("aria-label", said);
    this.said = said;
  }
}

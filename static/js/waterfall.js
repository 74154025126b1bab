// Where a tick's time goes, from the exchange to this page: one bar of medians, GET /latency and this page's own part.

import { build, make, setData, setText } from "./dom.js";
import { milliseconds } from "./format.js";

const KEPT = 30; // of this page's own measurements, one each two seconds
const STAGES = [
  ["exchange_to_hub", "exchange → hub", "two clocks", "From the exchange's time of a trade to the hub's reading of it. Two clocks are compared: an error of either one moves it, even below zero."],
  ["hub_to_written", "hub → written", "one clock", "From the publishing of a tick to the moment when every client that keeps up has been written to."],
  ["browser", "written → page", "½ round trip", "Half of this page's own round trips to the hub, measured by this browser's clock alone: an estimate, for both ways need not take as long."],
];

export class Waterfall {
  constructor(host, stream) {
    this.stream = stream;
    this.own = [];
    this.parts = STAGES.map(([key, label, clock, title]) => {
      const segment = make("i");
      segment.dataset.stage = key;
      const [p50, p99] = [make("b", "–"), make("span", "")];
      const item = build("li", "", build("p", "", make("i"), label, " ", make("small", clock)), build("p", "", p50, " ", p99));
      item.dataset.stage = key;
      item.title = title;
      return { key, segment, item, p50, p99 };
    });
    this.bar = build("div", "bar", ...this.parts.map((part) => part.segment));
    this.bar.setAttribute("aria-hidden", "true");
    this.total = make("b", "–");
    const total = build("p", "total", "About ", this.total, " from the exchange to this page");
    total.title = "The sum of the medians: half of the ticks of each stage are faster";
    host.append(total, this.bar, build("ul", "", ...this.parts.map((part) => part.item)));
    this.latency = null;
  }

  take(latency) {
    this.latency = latency;
    const mine = this.stream?.roundTripMs ?? null;
    if (mine === null) {
      if (!this.stream?.connected) this.own = [];
    } else if (mine !== this.own.at(-1)) {
      this.own = [...this.own, mine].slice(-KEPT);
    }
  }

  /** {p50_ms, p99_ms} of this page's part: its own measurement, else what all clients that sample say. */
  browser() {
    if (!this.own.length) {
      const { p50_ms, p99_ms } = this.latency.stages.round_trip ?? {};
      return { p50_ms: halved(p50_ms), p99_ms: halved(p99_ms) };
    }
    const sorted = [...this.own].sort((a, b) => a - b);
    return { p50_ms: halved(sorted[Math.floor((sorted.length - 1) / 2)]), p99_ms: halved(sorted.at(-1)) };
  }

  paint() {
    if (!this.latency) return;
    let sum = 0;
    let known = 0;
    for (const { key, segment, item, p50, p99 } of this.parts) {
      const stage = key === "browser" ? this.browser() : this.latency.stages[key] ?? {};
      const middle = stage.p50_ms ?? null;
      const grow = String(Math.max(0, middle ?? 0));
      if (segment.style.flexGrow !== grow) segment.style.flexGrow = grow;
      setText(p50, milliseconds(middle ?? NaN));
      setText(p99, stage.p99_ms == null ? "" : `${key === "browser" && this.own.length ? "worst" : "p99"} ${milliseconds(stage.p99_ms)}`);
      setData(item, "odd", middle < 0 ? "clocks" : "");
      if (middle !== null) known += 1;
      sum += middle ?? 0;
    }
    setText(this.total, known ? milliseconds(sum) : "–");
  }
}

const halved = (value) => (Number.isFinite(value) ? value / 2 : null);

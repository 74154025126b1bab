// Latency and throughput: where a tick's time goes, and how it went over the last minutes, hour and day.

import { Annotations } from "./annotations.js";
import { Source } from "./api.js";
import { $, make, setData, setText } from "./dom.js";
import { localTime } from "./entries.js";
import { count, milliseconds } from "./format.js";
import { History, RANGES } from "./history.js";
import { panel } from "./painter.js";
import { Plots } from "./plots.js";
import { view } from "./view.js";
import { Waterfall } from "./waterfall.js";

const EVERY_MS = { "5m": 1000, "1h": 5000, "24h": 10_000 };
const LATENCY_EVERY_MS = 2000;
const SUMMARY_EVERY_MS = 10_000;
const NAMES = { "5m": "5 minutes", "1h": "hour", "24h": "24 hours" };

class Charts {
  constructor(stream) {
    this.host = $("plots");
    this.failed = "";
    this.summarised = -SUMMARY_EVERY_MS;
    this.waterfall = new Waterfall($("waterfall"), stream);
    this.plots = new Plots(this.host);
    this.annotations = new Annotations(this.plots);
    this.plots.onLayout = () => this.annotations.paint(this.plots.history);
    this.plots.onCursor = () => this.hint();
    this.summary = make("p", "", "sr");
    this.summary.id = "plots-summary";
    this.said = make("p", "", "sr");
    this.said.setAttribute("aria-live", "polite");
    this.host.after(this.summary, this.said);
    this.describe();
    this.panel = panel($("charts"), () => this.paint());
    this.begin();
    this.source = new Source(() => this.ask(), EVERY_MS[this.history.range], (body) => this.take(body), {
      // a range that is chosen while the page is paused is loaded once
      wanted: () => this.panel.awake() || (this.panel.inSight() && !this.history.times.length),
      onFailure: (error) => this.fail(error),
    });
    new Source("/latency", LATENCY_EVERY_MS, (body) => {
      this.waterfall.take(body);
      this.panel.request();
    }, { wanted: () => this.panel.awake() });
    $("range").addEventListener("click", (event) => {
      const { range } = event.target.closest("button")?.dataset ?? {};
      if (range) view.set({ range });
    });
    view.on((changed) => {
      if (changed.includes("range")) this.change();
      if (changed.includes("q")) this.panel.request(); // the markers follow the filter
    });
  }

  /** The plots as one thing with a name and a text; the arrow keys move its crosshair. */
  describe() {
    this.host.tabIndex = 0;
    this.host.setAttribute("role", "group");
    this.host.setAttribute("aria-label", "Plots over time; left and right arrow move the crosshair");
    this.host.setAttribute("aria-describedby", this.summary.id);
    this.host.addEventListener("keydown", (event) => {
      const steps = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10, Home: -1e9, End: 1e9, Escape: null };
      if (!(event.key in steps) || !this.plots.history?.times.length) return;
      event.preventDefault();
      this.plots.move(steps[event.key]);
      if (steps[event.key] !== null) setText(this.said, `${localTime(this.plots.history.times[this.plots.at()] * 1000)}: ${this.plots.words()}`);
    });
    this.host.addEventListener("blur", () => this.plots.move(null));
  }

  begin() {
    const range = view.get("range");
    this.history = new History(range in RANGES ? range : "5m");
    for (const button of $("range").querySelectorAll("button")) {
      button.setAttribute("aria-pressed", String(button.dataset.range === this.history.range));
    }
  }

  change() {
    this.begin();
    this.source.everyMs = EVERY_MS[this.history.range];
    this.source.poke();
  }

  /** Whose points are asked for: an answer may come when another history has begun. */
  ask() {
    this.asked = this.history;
    return this.history.path();
  }

  take(body) {
    if (this.asked !== this.history) return;
    this.failed = "";
    this.history.take(body);
    this.panel.request();
  }

  fail(error) {
    this.failed = `no history: ${error.message}`;
    this.panel.request();
  }

  paint() {
    this.waterfall.paint();
    if (this.history.times.length) {
      this.plots.show(this.history);
      this.summarise();
    }
    this.hint();
  }

  hint() {
    const { history, index } = this.plots;
    const at = index === null || !history ? "" : `at ${localTime(history.times[this.plots.at()] * 1000)}`;
    setText($("charts-hint"), this.failed || at);
    setData($("charts-hint"), "tone", this.failed ? "warn" : "");
  }

  summarise() {
    if (performance.now() - this.summarised < SUMMARY_EVERY_MS && this.summaryOf === this.history.range) return;
    this.summarised = performance.now();
    this.summaryOf = this.history.range;
    const about = (name, format) => {
      const known = this.history.column(name).filter((value) => value !== null);
      if (!known.length) return "not known";
      const least = known.reduce((a, b) => Math.min(a, b));
      const most = known.reduce((a, b) => Math.max(a, b));
      return `${format(known.at(-1))} now, between ${format(least)} and ${format(most)}`;
    };
    const happened = this.history.annotations.length;
    setText(this.summary, [
      `The last ${NAMES[this.history.range]}.`,
      `Exchange to hub, median: ${about("exchange_to_hub_p50_ms", milliseconds)}; 99 percent within: ${about("exchange_to_hub_p99_ms", milliseconds)}.`,
      `Messages a second: ${about("messages_per_second", count)}. Products in trouble: ${about("trouble", count)}.`,
      happened ? `${count(happened)} things happened.` : "Nothing happened.",
    ].join(" "));
  }
}

export function startCharts(stream) {
  new Charts(stream);
}

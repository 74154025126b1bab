// What the detectors and the spike bots said, and when the hub called for somebody, the newest first.

import { Source } from "./api.js";
import { $, build, make, setHidden, setText } from "./dom.js";
import { makeMark, makeSubject, makeTime, syncRows } from "./entries.js";
import { compact, count, exact, isObject, numberOf, table, textOf } from "./format.js";
import { panel } from "./painter.js";
import { view } from "./view.js";

const EVERY_MS = 3000;
const LIMIT = 100;
const MAX_WORD = 40;
const MUCH = 1e6;
const NAMES = table({ volume_alert: "volume", spike_alert: "spike", trade_update: "trade update", price_alert: "price", hub_alert: "hub" });
const SPIKES = ["spike_alert", "price_alert"];
const TONES = table({ critical: "bad", warning: "warn" });

class Alerts {
  constructor() {
    this.signals = null;
    this.rows = new Map();
    this.list = $("alerts-list");
    this.empty = make("p", "", "empty");
    this.list.after(this.empty);
    this.panel = panel($("alerts"), () => this.paint());
    new Source(`/signals?limit=${LIMIT}`, EVERY_MS, (body) => {
      this.signals = body.signals.filter(isObject).map(signalOf);
      this.panel.request();
    }, { wanted: () => this.panel.awake() });
    view.on((changed) => { if (changed.includes("q")) this.panel.request(); });
  }

  paint() {
    if (!this.signals) return;
    const seen = this.signals.filter((signal) => view.matches(signal.symbol, NAMES[signal.event] ?? signal.event, signal.text));
    syncRows(this.list, this.rows, seen, (signal) => signal.id, makeRow, () => {});
    const total = this.signals.length;
    setText($("alerts-hint"), seen.length === total ? `${count(total)} kept` : `${count(seen.length)} of ${count(total)}`);
    setHidden(this.empty, seen.length > 0);
    setText(this.empty, total ? "None that the filter lets through." : "No alert yet: nothing trades out of the ordinary.");
  }
}

/** A signal as the page knows it: its payload is relayed from whoever sent it, so any of it may be missing or anything. */
function signalOf({ id, time, event, symbol, text, payload }) {
  return {
    id,
    time: textOf(time, MAX_WORD),
    event: textOf(event, MAX_WORD),
    symbol: textOf(symbol, MAX_WORD),
    text: textOf(text),
    said: isObject(payload) ? payload : null,
  };
}

/** [how much, what] of a signal. */
function measure({ event, text, said }) {
  if (!said) return ["", text];
  if (event === "hub_alert") return [said.state === "resolved" ? "over" : "", text];
  if (SPIKES.includes(event)) {
    const change = numberOf(said.pct_change);
    const size = Number.isFinite(change) ? `${change > 0 ? "+" : "−"}${fixed(Math.abs(change))}%` : "–";
    const prices = [said.old_price, said.new_price].map(price);
    const over = said.event_type === "momentum_end" ? " is over" : "";
    return [size, `${(textOf(said.spike_type, MAX_WORD) || "spike").replaceAll("_", " ")}${over}, ${prices.join(" → ")}`];
  }
  const [now, usual] = [numberOf(said.current_vol), numberOf(said.avg_vol)];
  const given = numberOf(said.ratio);
  const ratio = Number.isFinite(given) ? given : now / usual;
  const size = Number.isFinite(ratio) ? `${fixed(ratio)}×` : "";
  if (!Number.isFinite(now) && !Number.isFinite(usual)) return [size, text];
  const at = said.ticker?.price === undefined ? "" : `at ${price(said.ticker.price)}, `;
  return [size, `${at}volume ${compact(now)}, usually ${compact(usual)}`];
}

const price = (value) => exact(Number.isFinite(numberOf(value)) ? textOf(value) : "");
const fixed = (value) => (value < MUCH ? value.toFixed(value < 9.95 ? 1 : 0) : value.toExponential(1));

function toneOf({ event, said }) {
  if (event !== "hub_alert" || !said) return "info";
  return said.state === "resolved" ? "ok" : (TONES[textOf(said.severity)] ?? "info");
}

function makeRow(signal) {
  const [size, what] = measure(signal);
  const subject = signal.symbol ? makeSubject(signal.symbol) : make("span", "–");
  const row = build("li", "entry", makeMark("alert"), makeTime(signal.time),
    build("p", "what", subject, " ", make("span", what, "text")), make("strong", size, "length"));
  row.title = signal.text;
  row.dataset.tone = toneOf(signal);
  row.dataset.kind = signal.event;
  return row;
}

export function startAlerts() {
  new Alerts();
}

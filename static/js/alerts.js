// What the detectors and the spike bots said, and when the hub called for somebody, the newest first.

import { Source } from "./api.js";
import { $, build, make, setHidden, setText } from "./dom.js";
import { makeMark, makeSubject, makeTime, syncRows } from "./entries.js";
import { compact, count, exact } from "./format.js";
import { panel } from "./painter.js";
import { view } from "./view.js";

const EVERY_MS = 3000;
const LIMIT = 100;
const NAMES = { volume_alert: "volume", spike_alert: "spike", trade_update: "trade update", price_alert: "price", hub_alert: "hub" };
const SPIKES = ["spike_alert", "price_alert"];
const TONES = { critical: "bad", warning: "warn" };

class Alerts {
  constructor() {
    this.signals = null;
    this.rows = new Map();
    this.list = $("alerts-list");
    this.empty = make("p", "", "empty");
    this.list.after(this.empty);
    this.panel = panel($("alerts"), () => this.paint());
    new Source(`/signals?limit=${LIMIT}`, EVERY_MS, (body) => {
      this.signals = body.signals;
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

/** [how much, what] of a signal: its payload is relayed from whoever sent it, so any of it may be missing. */
function measure(signal) {
  if (!signal.payload) return ["", String(signal.text ?? "")];
  const said = signal.payload;
  if (signal.event === "hub_alert") return [said.state === "resolved" ? "over" : "", String(signal.text ?? "")];
  if (SPIKES.includes(signal.event)) {
    const change = Number(said.pct_change);
    const size = Number.isFinite(change) ? `${change > 0 ? "+" : "−"}${Math.abs(change).toFixed(1)}%` : "–";
    const prices = [said.old_price, said.new_price].map((price) => exact(String(price ?? "")));
    const over = said.event_type === "momentum_end" ? " is over" : "";
    return [size, `${String(said.spike_type ?? "spike").replaceAll("_", " ")}${over}, ${prices.join(" → ")}`];
  }
  const ratio = Number(said.ratio ?? said.current_vol / said.avg_vol);
  const size = Number.isFinite(ratio) ? `${ratio.toFixed(ratio < 9.95 ? 1 : 0)}×` : "";
  if (!Number.isFinite(Number(said.current_vol)) && !Number.isFinite(Number(said.avg_vol))) return [size, String(signal.text ?? "")];
  const price = said.ticker?.price === undefined ? "" : `at ${exact(String(said.ticker.price))}, `;
  const usual = `volume ${compact(Number(said.current_vol))}, usually ${compact(Number(said.avg_vol))}`;
  return [size, price + usual];
}

function toneOf(signal) {
  if (signal.event !== "hub_alert" || !signal.payload) return "info";
  return signal.payload.state === "resolved" ? "ok" : (TONES[signal.payload.severity] ?? "info");
}

function makeRow(signal) {
  const [size, what] = measure(signal);
  const subject = signal.symbol ? makeSubject(String(signal.symbol)) : make("span", "–");
  const row = build("li", "entry", makeMark("alert"), makeTime(signal.time),
    build("p", "what", subject, " ", make("span", what, "text")), make("strong", size, "length"));
  row.title = String(signal.text ?? "");
  row.dataset.tone = toneOf(signal);
  row.dataset.kind = String(signal.event);
  return row;
}

export function startAlerts() {
  new Alerts();
}

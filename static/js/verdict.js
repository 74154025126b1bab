// The verdict strip, the numbers, the banners, and what this page knows of its own link to the hub.

import { make, setData, setShape, setText, setTextWithNote } from "./dom.js";
import { count, duration, percent } from "./format.js";
import { Sparkline } from "./sparkline.js";

const WORDS = { healthy: "Healthy", warning: "Warning", critical: "Critical", starting: "Starting" };
const SHAPES = { healthy: "ok", warning: "warn", critical: "bad", starting: "busy", unknown: "off" };
const DATA_IS_OLD_AFTER_MS = 4000;
const TICKS_MISSED_AFTER_MS = 5000;
const ERROR_WINDOW_MS = 60_000;

const $ = (id) => document.getElementById(id);

export class Verdict {
  constructor() {
    this.health = null;
    this.healthAt = 0;
    this.simulated = !$("simulated").hidden;
    this.status = $("verdict").dataset.status;
    this.spark = new Sparkline($("spark"));
    this.errors = [];
    this.total = null;
  }

  /** Paint an answer of /health. */
  paint(health, connections) {
    const now = performance.now();
    const rate = this.messageRate(health, now);
    this.health = health;
    this.healthAt = now;
    this.setStatus(health.status in WORDS ? health.status : "unknown");
    const off = ["halted", "delisted"].filter((trust) => health.trust?.[trust] > 0)
      .map((trust) => `${count(health.trust[trust])} ${trust} · `).join("");
    setText($("sentence"), `${count(health.active_products)} of ${count(health.total_products)} products covered · ${off}`
      + `${count(health.connected_connections)} of ${count(health.total_connections)} connections up · `
      + `${count(rate)} messages/s`);
    this.setReasons(Array.isArray(health.reasons) ? health.reasons : []);
    if (typeof health.version === "string") setText($("version"), health.version);
    setTextWithNote($("n-connections"), count(health.connected_connections), ` / ${count(health.total_connections)}`);
    setText($("n-coverage"), percent(health.coverage_percentage));
    setTextWithNote($("n-ticking"), count(health.ticking_products), ` / ${count(health.total_products)}`);
    setText($("n-rate"), count(rate));
    setText($("spark-note"), `last 2 min, peak ${count(this.spark.add(rate))}`);
    setText($("n-errors"), count(health.total_errors));
    setText($("n-errors-note"), this.recentErrors(health.total_errors, now));
    setText($("n-clients"), count(health.clients));
    setText($("connections-hint"), `${count(connections.connected)} of ${count(connections.total_connections)} up`);
  }

  /** The banner stays as long as the hub says so, or any price on the page bears the mark. */
  paintSimulated(anyPriceSimulated) {
    if (typeof this.health?.simulated === "boolean") this.simulated = this.health.simulated;
    const simulated = this.simulated || anyPriceSimulated;
    if ($("simulated").hidden === simulated) $("simulated").hidden = !simulated;
    const title = `${simulated ? "SIMULATED · " : ""}${WORDS[this.status] ?? "Unknown"} · Price Hub`;
    if (document.title !== title) document.title = title;
  }

  /** Once a second: the link in words, and no verdict that is older than its data. */
  paintLink(stream, polling) {
    const now = performance.now();
    const dataAt = polling.lastGood ?? 0;
    const stale = now - dataAt > DATA_IS_OLD_AFTER_MS;
    const tickAge = stream.lastTick === null ? null : (now - stream.lastTick) / 1000;
    const ago = duration((now - Math.max(dataAt, stream.lastTick ?? 0)) / 1000);
    let tone = "ok";
    let text = "live";
    let lost = "";
    if (stream.connected && stale && now > DATA_IS_OLD_AFTER_MS) {
      tone = "warn";
      text = "prices live, health unknown";
      lost = `The hub sends prices, but /health has not answered for ${duration((now - dataAt) / 1000)}.`;
    } else if (stream.connected && tickAge !== null && now - stream.lastTick > TICKS_MISSED_AFTER_MS) {
      text = `live, no tick for ${duration(tickAge)}`;
    } else if (!stream.connected && !stream.everConnected && now < DATA_IS_OLD_AFTER_MS) {
      tone = "busy";
      text = "connecting";
    } else if (!stream.connected && !stale && !polling.failing) {
      tone = "warn";
      text = "reconnecting, prices polled";
    } else if (!stream.connected) {
      tone = "bad";
      text = `reconnecting, data of ${ago} ago`;
      lost = `No link to the hub: showing data of ${ago} ago. Reconnecting…`;
    }
    setData($("link"), "tone", tone);
    setShape($("link").querySelector("svg"), tone);
    setText($("link-text"), text);
    setText($("lost"), lost);
    if ($("lost").hidden !== !lost) $("lost").hidden = !lost;
    setData(document.documentElement, "link", tone === "bad" ? "lost" : "up");
    if (this.health && !stale) {
      setText($("uptime"), duration(this.health.uptime_seconds + (now - this.healthAt) / 1000));
    } else if (stale && now > DATA_IS_OLD_AFTER_MS) {
      if (this.status !== "unknown") this.setReasons([`Last known: ${WORDS[this.status].toLowerCase()}`]);
      this.setStatus("unknown");
    }
  }

  setStatus(status) {
    if (status === this.status && $("verdict").dataset.status === status) return;
    this.status = status;
    setData($("verdict"), "status", status);
    setText($("verdict-word"), WORDS[status] ?? "Unknown");
    $("verdict-shape").setAttribute("href", `#shape-${SHAPES[status]}`);
    setText($("announce"), `Health: ${WORDS[status] ?? "unknown"}`);
  }

  setReasons(reasons) {
    const key = JSON.stringify(reasons);
    if (key === this.reasonsKey) return;
    this.reasonsKey = key;
    $("reasons").replaceChildren(...reasons.map((reason) => make("li", String(reason))));
  }

  messageRate(health, now) {
    if (Number.isFinite(health.messages_per_second)) return health.messages_per_second;
    const total = health.total_messages_received;
    const rate = this.total === null ? 0 : ((total - this.total) * 1000) / (now - this.healthAt);
    this.total = total;
    return Math.max(0, rate);
  }

  recentErrors(total, now) {
    if (this.errors.length && this.errors.at(-1)[1] > total) this.errors = []; // the hub was restarted
    this.errors.push([now, total]);
    while (this.errors[0][0] < now - ERROR_WINDOW_MS) this.errors.shift();
    const recent = total - this.errors[0][1];
    return recent > 0 ? ` +${count(recent)} / min` : "";
  }
}

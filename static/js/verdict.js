// The verdict strip: can every price be trusted, and if not, which and why; and what this page knows of its own link.

import { $, build, make, makeButton, makeShape, setData, setHidden, setShape, setText, setTextWithNote } from "./dom.js";
import { isFrozen } from "./clock.js";
import { count, duration, milliseconds } from "./format.js";
import { view } from "./view.js";

const TONES = { healthy: "ok", warning: "warn", critical: "bad", starting: "busy" };
const DATA_IS_OLD_AFTER_MS = 4000;
const NAMED_PRODUCTS = 6;
const MAX_REASONS = 3;
const UNKNOWN = "Unknown: the hub does not answer";

export class Verdict {
  constructor(products) {
    this.products = products;
    this.health = null;
    this.healthAt = 0;
    this.simulated = !$("simulated").hidden;
    this.tone = $("verdict").dataset.tone;
    this.word = $("verdict-word").textContent;
    this.named = null;
    this.latency = null;
    this.text = $("link-text");
  }

  /** Take an answer of GET /health in. */
  take(health) {
    this.health = health;
    this.healthAt = performance.now();
    const tone = health.status === "healthy" && health.untrusted_products ? "warn" : TONES[health.status] ?? "off";
    this.say(tone, String(health.headline), health.status);
    setText($("sentence"), String(health.summary));
    setTextWithNote($("n-connections"), count(health.connected_connections), ` / ${count(health.total_connections)}`);
    setData($("n-connections"), "tone", health.connected_connections < health.total_connections ? "warn" : "");
    setText($("n-rate"), count(health.messages_per_second));
    setText($("n-gaps"), count(health.open_gaps));
    setData($("n-gaps"), "tone", health.open_gaps ? "warn" : "");
    setText($("n-clients"), count(health.clients));
    this.paintReasons();
  }

  /** Take an answer of GET /latency in. */
  takeLatency(latency) {
    setText($("n-latency"), milliseconds(latency.stages.exchange_to_hub.p99_ms));
  }

  say(tone, word, status = "unknown") {
    setData($("verdict"), "status", status);
    if (tone === this.tone && word === this.word) return;
    setData($("verdict"), "tone", tone);
    setText($("verdict-word"), word);
    setShape($("verdict").querySelector("svg"), tone);
    if (tone !== this.tone) {
      $("icon").href = $("icon").href.replace(/[a-z]+\.svg$/, `${tone}.svg`);
      setText($("announce"), word);
    }
    this.tone = tone;
    this.word = word;
  }

  /** What is wrong, in words: the hub's own reasons, then the products that can't be trusted, each with its reason. */
  paintReasons() {
    const reasons = [...this.health.reasons].map(String);
    const byReason = new Map();
    for (const { product, trust, reason } of this.health.untrusted) {
      const key = `${trust}\u0000${reason}`;
      byReason.set(key, [...(byReason.get(key) ?? []), String(product)]);
    }
    const groups = [...byReason].slice(0, MAX_REASONS);
    const unnamed = this.health.untrusted_products - groups.flatMap(([, ids]) => ids.slice(0, NAMED_PRODUCTS)).length;
    const key = JSON.stringify([reasons, groups, unnamed]);
    if (key === this.named) return;
    this.named = key;
    const items = reasons.map((reason) => make("li", reason));
    for (const [what, ids] of groups) {
      const [trust, reason] = what.split("\u0000");
      const item = build("li", "", makeShape(trust), " ");
      item.dataset.trust = trust;
      ids.slice(0, NAMED_PRODUCTS).forEach((id, i) => {
        item.append(i ? ", " : "", makeButton(id, () => view.set({ open: id }), "as-link"));
      });
      item.append(`: ${trust}${reason ? `, ${reason}` : ""}`);
      items.push(item);
    }
    if (unnamed > 0) items.push(make("li", `and ${count(unnamed)} more`));
    $("reasons").replaceChildren(...items);
  }

  /** The banner stays as long as the hub says so, or any price on the page bears the mark. */
  paintSimulated() {
    if (typeof this.health?.simulated === "boolean") this.simulated = this.health.simulated;
    const simulated = this.simulated || this.products.simulated === true;
    setHidden($("simulated"), !simulated);
    const title = `${simulated ? "SIMULATED · " : ""}${this.word} · Price Hub`;
    if (document.title !== title) document.title = title;
  }

  /** Once a second: the link in words, and no verdict that is older than its data. */
  paintLink(stream, health, board) {
    const now = performance.now();
    const stale = health.silentMs() > DATA_IS_OLD_AFTER_MS;
    const boardOld = !document.hidden && !isFrozen() && board.silentMs() > DATA_IS_OLD_AFTER_MS;
    let tone = "ok";
    let text = stream.roundTripMs === null ? "live" : `live · ${milliseconds(stream.roundTripMs)}`;
    let lost = "";
    if (stale) {
      tone = "bad";
      text = "no answer, reconnecting";
      const dataAt = Math.max(health.lastGood ?? 0, board.lastGood ?? 0);
      lost = `No link to the hub: showing data of ${duration((now - dataAt) / 1000)} ago. Reconnecting…`;
    } else if (boardOld) {
      tone = "warn";
      text = "prices late";
      lost = `The hub answers, but its prices have not come for ${duration((now - (board.lastGood ?? 0)) / 1000)}.`;
    } else if (!stream.connected) {
      tone = stream.everConnected || now > DATA_IS_OLD_AFTER_MS ? "warn" : "busy";
      text = tone === "warn" ? `stream ${stream.refusal ? `refused: ${stream.refusal}` : "lost"}, prices once a second` : "connecting";
    }
    setData($("link"), "tone", tone);
    setShape($("link").querySelector("svg"), tone);
    setText(this.text, text);
    if (Boolean(lost) === $("lost").hidden) setText($("announce"), lost ? "The link to the hub is lost." : "The link to the hub is back.");
    setText($("lost"), lost);
    setHidden($("lost"), !lost);
    setData(document.documentElement, "link", tone === "bad" ? "lost" : "up");
    if (this.health && !stale) {
      setText($("uptime"), duration(this.health.uptime_seconds + (now - this.healthAt) / 1000));
    } else if (stale && this.tone !== "off") {
      const last = this.word;
      this.say("off", UNKNOWN);
      $("reasons").replaceChildren(make("li", `Last known: ${last}`));
      this.named = null;
    }
    this.paintSimulated();
  }
}

// The drawer of a product: why its price can be trusted, or why not.

import { makeAction } from "./actions.js";
import { secondsSince } from "./clock.js";
import { inWords } from "./connections.js";
import { build, make, makeButton, makeShape, setData, setHidden, setShape, setText } from "./dom.js";
import { age, change, count, exact, milliseconds } from "./format.js";
import { clockOf, Frames, keep, makeFacts, makeList, section, setNote } from "./parts.js";
import { view } from "./view.js";

const VERDICTS = {
  live: "This is the latest trade.",
  quiet: "Nothing has traded since, and the exchange’s heartbeats prove it: this is still the latest trade.",
  behind: "There may be a later trade that the hub does not have yet. It is being repaired.",
  stale: "Nothing proves this price any more. Do not act on it.",
  starting: "There is no price yet.",
  halted: "The exchange has halted it: nobody can trade at this price.",
  delisted: "The exchange does not trade it any more.",
};
const BY_REST = "No socket delivers; REST says that this is the last price.";

export class ProductView {
  constructor(id, products) {
    this.id = id;
    this.products = products;
    this.verdict = make("p", "", "verdict-words");
    this.why = make("ul", "", "whys");
    this.price = make("span", "", "price");
    this.change = make("span", "", "change");
    this.quote = make("p", "", "muted");
    this.traded = make("p", "", "muted");
    this.ages = makeFacts("Last trade", "Proved", "Heartbeat", "Usual rhythm");
    this.ids = makeFacts("Trade id", "Heartbeat names", "By socket", "Missing");
    this.slot = makeButton("", () => view.set({ open: this.slot.textContent }), "as-link");
    this.slotSaid = make("span");
    this.slotWhy = make("p", "", "muted");
    this.slotPart = section("Slot", build("p", "", makeShape("off"), " ", this.slot, this.slotSaid), this.slotWhy);
    this.history = makeList();
    this.gaps = makeList();
    this.noGaps = make("p", "None.", "muted");
    this.frames = new Frames();
    this.element = build("div", "view",
      build("div", "lead", this.verdict, this.why, build("p", "", this.price, " ", this.change), this.quote, this.traded),
      build("div", "actions",
        makeAction({ label: "Resubscribe", what: `resubscribe ${id}`, path: `/price/${encodeURIComponent(id)}/resubscribe`, title: "Unsubscribe and subscribe it on its slot" }),
        makeAction({ label: "Move to another slot", what: `move ${id}`, path: `/price/${encodeURIComponent(id)}/move`, title: "Hand it over to another slot, without a break" })),
      section("Proof", this.ages.element, this.ids.element), this.slotPart,
      section("Trust, newest first", this.history), section("Gaps", this.gaps, this.noGaps), this.frames.element);
  }

  paint(body) {
    const trust = String(body.trust);
    const byRest = body.price?.source === "rest" && (trust === "live" || trust === "quiet");
    setText(this.verdict, byRest ? BY_REST : VERDICTS[trust] ?? "");
    this.paintWhy(body);
    this.paintPrice(body.price);
    this.paintProof(body);
    this.paintSlot(body.slot);
    const history = [...body.history].reverse();
    keep(this.history, history, (entry) => `${entry.time} ${entry.trust}`, makeEntry, (item, entry) => {
      setData(item, "trust", String(entry.trust));
      setShape(item.firstChild, String(entry.trust));
      paintEntry(item, entry.time, `${entry.trust}: ${entry.reason}`);
    });
    keep(this.gaps, body.gaps, (gap) => gap.id, makeEntry, paintGap);
    setHidden(this.noGaps, body.gaps.length > 0);
    this.frames.paint(body.last_frames);
    return { shape: trust, word: trust, trust };
  }

  /** The hub's reason, and what else counts against the price. */
  paintWhy(body) {
    const { ages } = body;
    const told = [String(body.reason)];
    if (body.doubted) told.push("its connection was lost, and nothing was proved since");
    if (ages.ahead_ms !== null) told.push(`heartbeats have named a later trade for ${milliseconds(ages.ahead_ms)}`);
    if (ages.undelivered_ms !== null) told.push(`its socket has owed a trade for ${milliseconds(ages.undelivered_ms)}`);
    if (body.repair_tries !== null) told.push(`what is missing is being fetched by REST: ${body.repair_tries === 1 ? "once" : `${count(body.repair_tries)} times`} so far`);
    if (body.slot?.set_aside) told.push(`set aside on its slot: ${body.slot.set_aside}`);
    keep(this.why, told.map((text, i) => ({ text, i })), ({ i }) => i, () => make("li"), (item, { text }) => setText(item, text));
  }

  paintPrice(price) {
    setText(this.price, exact(price?.price));
    const [text, direction] = change(price && Number(price.price_24h) ? Number(price.price_change_percent_24h) : null);
    setText(this.change, text === "–" ? "" : `${text} in 24 h`);
    setData(this.change, "direction", direction);
    setText(this.quote, price ? `bid ${exact(price.bid)} · ask ${exact(price.ask)}` : "");
    setText(this.traded, price ? `traded at ${clockOf(price.time)} UTC · source: ${price.source}` : "");
  }

  paintProof({ ages, ids, stale_after_ms: limit }) {
    const p = this.products.byId.get(this.id);
    this.ages.set("Last trade", ago(ages.last_trade_ms));
    this.ages.set("Proved", ago(ages.verified_ms), ages.verified_ms === null || ages.verified_ms > limit ? "bad" : "", `stale after ${milliseconds(limit)}`);
    this.ages.set("Heartbeat", ago(ages.heartbeat_ms));
    this.ages.set("Usual rhythm", p?.rhythm ? `every ${age(p.rhythm / 1000)}` : "not known");
    const named = ids.last_named_by_heartbeat;
    this.ids.set("Trade id", idText(ids.last));
    this.ids.set("Heartbeat names", idText(named), named !== null && named > ids.last ? "warn" : "");
    this.ids.set("By socket", idText(ids.last_delivered));
    const missing = ids.missing_ranges.reduce((sum, [first, last]) => sum + last - first + 1, 0);
    this.ids.set("Missing", count(missing), missing ? "warn" : "", ids.missing_ranges.map(([a, b]) => `${a}–${b}`).join(", "));
  }

  paintSlot(slot) {
    const line = this.slot.parentElement;
    const tone = !slot ? "off" : slot.status === "connected" ? "ok" : "warn";
    setData(line, "tone", tone);
    setShape(line.firstChild, tone);
    setText(this.slot, slot ? String(slot.connection_id) : "");
    const lost = slot?.reconnects ? ` · ${count(slot.reconnects)} ${slot.reconnects === 1 ? "reconnect" : "reconnects"}, the last for: ${inWords(slot.last_cause)}` : "";
    setText(this.slotSaid, slot ? ` ${slot.status} for ${age(slot.uptime_seconds)}${lost}` : "It is on no slot.");
    setNote(this.slotWhy, slot ? String(slot.why) : "");
  }
}

const ago = (ms) => (ms === null ? "never" : `${milliseconds(ms)} ago`);
const idText = (id) => (id === null || id < 0 ? "–" : String(id));

/** A line of a list: shape, time, text. */
export function makeEntry() {
  return build("li", "", makeShape("off"), make("time"), make("span"));
}

export function paintEntry(item, time, text) {
  const [, when, said] = item.children;
  const seconds = secondsSince(time);
  setText(when, seconds === null ? "–" : `${age(seconds)} ago`);
  if (when.dateTime !== time) {
    when.dateTime = time;
    when.title = time;
  }
  setText(said, text);
}

function paintGap(item, gap) {
  const tone = gap.open ? "warn" : gap.missing ? "off" : "ok";
  setData(item, "tone", tone);
  setShape(item.firstChild, tone);
  const ids = gap.first_id === null ? "" : `, ids ${gap.first_id}–${gap.last_id}`;
  const end = gap.open ? `open, ${count(gap.missing)} missing` : `${gap.healed} after ${milliseconds(gap.duration_ms)}${gap.missing ? `, ${count(gap.missing)} never came` : ""}`;
  paintEntry(item, gap.opened_at, `${gap.cause}${ids}: ${end}`);
}

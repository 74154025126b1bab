// The drawer of a connection slot: its last minute, what it carries, what befell it.

import { makeAction } from "./actions.js";
import { makeBeats, makeLegend, paintBeats } from "./beats.js";
import { inWords, standing } from "./connections.js";
import { build, make, makeButton, makeShape, setData, setHidden, setShape, setText } from "./dom.js";
import { entriesOf } from "./entries.js";
import { makeEntry, paintEntry } from "./explain.js";
import { age, count, duration, milliseconds } from "./format.js";
import { Frames, keep, makeFacts, makeList, section } from "./parts.js";
import { view } from "./view.js";

const VERDICTS = {
  connected: "The socket is open and brings data.",
  silent: "The socket is open, but nothing comes.",
  connecting: "The socket is being opened.",
  reconnecting: "The socket was lost and is being opened again.",
  disconnected: "There is no socket.",
  failed: "It was tried in vain, and will be tried again.",
};

export class SlotView {
  constructor(id) {
    const path = `/connections/${encodeURIComponent(id)}`;
    this.verdict = make("p", "", "verdict-words");
    this.beats = makeBeats();
    this.facts = makeFacts("Socket’s age", "Rotation", "Messages/s", "Last frame", "Reconnects", "Gaps", "Errors", "Path");
    this.cause = make("p", "", "muted");
    this.products = make("ul", "", "chips");
    this.productsPart = section("Products", this.products);
    this.events = makeList();
    this.noEvents = make("p", "None since the hub’s start.", "muted");
    this.frames = new Frames();
    this.element = build("div", "view",
      build("div", "lead", this.verdict, this.beats, build("p", "scale", make("span", "a minute ago"), make("span", "now")), makeLegend()),
      build("div", "actions",
        makeAction({ label: "Reconnect", what: `reconnect ${id}`, path: `${path}/reconnect`, title: "Close the socket and open another: a short gap, repaired by REST" }),
        makeAction({ label: "Rotate", what: `rotate ${id}`, path: `${path}/rotate`, title: "Open another socket first, then hand over: no gap" })),
      section("Now", this.facts.element, this.cause), this.productsPart,
      section("Events, newest first", this.events, this.noEvents), this.frames.element);
  }

  paint(slot) {
    const [word, tone] = standing(slot);
    setText(this.verdict, VERDICTS[word] ?? "");
    paintBeats(this.beats, String(slot.beats ?? ""));
    this.paintFacts(slot, word);
    this.paintProducts(slot.products);
    keep(this.events, entriesOf(slot.events), (event) => event.id, makeEntry, (item, event) => {
      const of = event.tone === "info" ? "off" : event.tone;
      setData(item, "tone", of);
      setShape(item.firstChild, of);
      paintEntry(item, event.time, event.text);
    });
    setHidden(this.noEvents, slot.events.length > 0);
    this.frames.paint(slot.last_frames);
    return { shape: tone, word, tone };
  }

  paintFacts(slot, word) {
    const { facts } = this;
    facts.set("Socket’s age", Number.isFinite(slot.age_seconds) ? duration(slot.age_seconds) : "–");
    facts.set("Rotation", Number.isFinite(slot.rotate_in_seconds) ? `in ${duration(slot.rotate_in_seconds)}` : "not by age");
    facts.set("Messages/s", count(slot.messages_per_second));
    const frame = slot.last_frame_age_ms;
    facts.set("Last frame", Number.isFinite(frame) ? `${milliseconds(frame)} ago` : "never", word === "silent" ? "warn" : "");
    facts.set("Reconnects", count(slot.reconnects));
    facts.set("Gaps", count(slot.gaps));
    facts.set("Errors", count(slot.error_count));
    facts.set("Path", String(slot.path ?? "–"));
    setText(this.cause, slot.last_cause ? `Last reconnect for: ${inWords(slot.last_cause)}` : "");
    setHidden(this.cause, !slot.last_cause);
  }

  paintProducts(products) {
    setText(this.productsPart.firstChild, `Products (${count(products.length)})`);
    keep(this.products, products, (item) => item.product, ({ product }) => {
      const open = makeButton("", () => view.set({ open: product }), "chip");
      open.append(makeShape("live"), " ", make("span", product), make("small"));
      return build("li", "", open);
    }, (item, { product, trust, age_ms: ms, ticks_per_second: rate, set_aside: aside }) => {
      const chip = item.firstChild;
      const of = String(trust ?? "starting");
      setData(chip, "trust", of);
      setShape(chip.firstChild, of);
      setText(chip.lastChild, aside ? " set aside" : of === "live" || of === "quiet" ? "" : ` ${of}`);
      const last = Number.isFinite(ms) ? `last trade ${age(ms / 1000)} ago` : "no trade yet";
      const title = `${product}: ${of}, ${last}${Number.isFinite(rate) ? `, ${rate} ticks/s` : ""}${aside ? `, set aside: ${aside}` : ""}`;
      if (chip.title !== title) chip.title = title;
    });
  }
}

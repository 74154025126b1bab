// The table of slots: what each connection to the exchange did in the last minute, second by second.

import { makeBeats, makeLegend, paintBeats } from "./beats.js";
import { Source } from "./api.js";
import { $, build, make, makeButton, makeShape, setData, setHidden, setShape, setText } from "./dom.js";
import { age, count, milliseconds } from "./format.js";
import { panel } from "./painter.js";
import { keep } from "./parts.js";
import { view } from "./view.js";

const EVERY_MS = 1000;
const NAMED = 3; // troubled slots in the panel's head
const SILENT = /ss$/; // for two seconds, though open
const TONES = { connected: "ok", connecting: "busy", reconnecting: "warn", disconnected: "bad", failed: "bad" };

/** [word, tone] of a slot: a socket that is open and brings nothing is not well. */
export function standing(slot) {
  const status = String(slot.status);
  if (status === "connected" && SILENT.test(slot.beats ?? "")) return ["silent", "warn"];
  return [status, TONES[status] ?? "off"];
}

/** A cause as the hub names it ("no_data"), to be read. */
export const inWords = (cause) => String(cause ?? "–").replaceAll("_", " ");

export function startConnections(products) {
  return new Connections(products);
}

class Connections {
  constructor(products) {
    this.products = products;
    this.slots = [];
    this.rows = new WeakMap(); // tr → its parts
    this.body = $("connections-table").tBodies[0];
    this.said = make("span");
    this.troubled = make("span", "", "troubled");
    this.empty = make("p", "", "empty");
    this.empty.hidden = true;
    $("connections-hint").append(this.said, this.troubled);
    const scroll = this.body.closest(".scroll");
    scroll.append(this.empty);
    $("connections").querySelector(".tools").prepend(makeLegend());
    this.panel = panel($("connections"), () => this.paint());
    // of hundreds of slots, what changes every second is painted only in the rows in sight
    this.inSight = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) this.rows.get(target).inSight = isIntersecting;
      this.panel.request();
    }, { root: scroll, rootMargin: "60px" });
    this.body.addEventListener("click", (event) => {
      const row = event.target.closest("tr");
      if (!row) return;
      const selection = getSelection();
      // a drag over the row selects; a key (detail 0) opens whatever is selected
      const selecting = event.detail > 0 && !selection.isCollapsed && selection.containsNode(row, true);
      if (!selecting) view.set({ open: row.dataset.connection });
    });
    view.on((changed) => {
      if (changed.includes("q") || changed.includes("open")) this.panel.request();
    });
    this.source = new Source("/connections", EVERY_MS, (body) => {
      this.slots = body.connections;
      this.panel.request();
    }, { wanted: () => this.panel.awake() });
  }

  paint() {
    const shown = this.filtered();
    keep(this.body, shown, (slot) => slot.connection_id, (slot) => this.makeRow(slot), (tr, slot) => this.paintRow(tr, slot));
    const all = this.slots.length;
    const bad = this.slots.filter((slot) => standing(slot)[1] !== "ok");
    const how = bad.length ? `${count(all - bad.length)} connected` : all ? "all connected" : "";
    setText(this.said, [
      shown.length === all ? `${count(all)} ${all === 1 ? "slot" : "slots"}` : `${count(shown.length)} of ${count(all)} slots`, how,
    ].filter(Boolean).join(" · "));
    // a slot in trouble may be far down the table
    keep(this.troubled, bad.slice(0, NAMED), (slot) => slot.connection_id, (slot) => {
      const button = makeButton("", () => view.set({ open: slot.connection_id }), "as-link");
      return build("span", "", " · ", makeShape("warn"), " ", button);
    }, (item, slot) => {
      const [word, tone] = standing(slot);
      setData(item, "tone", tone);
      setShape(item.querySelector("svg"), tone);
      setText(item.lastChild, `${slot.connection_id} ${word}`);
    });
    setHidden(this.empty, shown.length > 0);
    setText(this.empty, all ? `No slot matches “${view.get("q")}”.` : "No connection yet.");
  }

  filtered() {
    if (!view.filtering()) return this.slots;
    const carried = Map.groupBy(this.products.list, (p) => p.connection);
    return this.slots.filter((slot) => view.matches(slot.connection_id, standing(slot)[0], slot.last_cause, slot.path,
      ...(carried.get(slot.connection_id) ?? []).map((p) => p.id)));
  }

  makeRow(slot) {
    const tr = make("tr");
    tr.dataset.connection = slot.connection_id;
    const head = make("th", "", "c-id");
    head.scope = "row";
    head.append(makeButton(slot.connection_id, () => {}, "as-link")); // the row's click opens it
    const word = make("span");
    const beats = makeBeats();
    tr.append(head, build("td", "c-status", makeShape("off"), " ", word), build("td", "c-bar", beats),
      ...Array.from({ length: 4 }, () => make("td", "", "c-num")), make("td", "", "c-cause wide"), make("td", "", "c-num wide"));
    this.rows.set(tr, { cells: [...tr.cells], word, beats, inSight: false });
    this.inSight.observe(tr);
    return tr;
  }

  paintRow(tr, slot) {
    const { cells, word, beats, inSight } = this.rows.get(tr);
    const [status, tone] = standing(slot);
    setData(tr, "tone", tone);
    setData(tr, "open", view.get("open") === slot.connection_id ? "yes" : "");
    setData(cells[1], "tone", tone);
    setShape(cells[1].firstChild, tone);
    setText(word, status);
    setText(cells[3], count(slot.products_count));
    const cause = slot.reconnects ? `${count(slot.reconnects)} · ${inWords(slot.last_cause)}` : "0";
    setText(cells[7], cause);
    if (cells[7].title !== cause) cells[7].title = cause;
    if (!inSight) return; // what follows is another every second
    paintBeats(beats, slot.beats ?? "");
    setText(cells[4], count(slot.messages_per_second));
    setText(cells[5], milliseconds(slot.last_frame_age_ms ?? Number.NaN));
    setData(cells[5], "tone", status === "silent" ? "warn" : "");
    setText(cells[6], count(slot.gaps));
    setText(cells[8], Number.isFinite(slot.rotate_in_seconds) ? age(slot.rotate_in_seconds) : "–");
  }
}

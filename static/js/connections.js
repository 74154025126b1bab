// The connection table: one row a slot, with the last minute of its life as a bar.

import { secondsSince } from "./clock.js";
import { make, makeShape, makeSvg, setData, setShape, setText } from "./dom.js";
import { age, count } from "./format.js";

const SILENT_AFTER_SECONDS = 5; // the exchange sends heartbeats every second
const BAR_SAMPLES = 60;
const LOOKS = { connected: "ok", connecting: "busy", reconnecting: "warn", failed: "bad", disconnected: "off" };
const BAR = { ok: 5, warn: 9, bad: 14 }; // heights: the state shows in the shape, not only in the colour

export class ConnectionTable {
  constructor(table) {
    this.body = table.tBodies[0];
    this.rows = new Map();
    for (const tr of this.body.rows) this.register(tr);
  }

  register(tr) {
    const cells = [...tr.cells];
    const bar = makeSvg("svg", "bar");
    bar.setAttribute("viewBox", `0 0 ${BAR_SAMPLES} 14`);
    bar.setAttribute("preserveAspectRatio", "none");
    bar.setAttribute("aria-hidden", "true");
    const paths = {};
    for (const kind of Object.keys(BAR)) bar.append(paths[kind] = makeSvg("path", kind));
    cells[6].append(bar);
    const row = { tr, cells, paths, history: [], lastMessage: null, total: null, at: 0 };
    this.rows.set(tr.dataset.connection, row);
    return row;
  }

  create(id) {
    const tr = make("tr");
    tr.dataset.connection = id;
    const head = make("th", id, "c-id");
    head.scope = "row";
    const status = make("td", "", "c-status");
    status.append(makeShape("off"), " ", make("span"));
    tr.append(head, status, make("td", "", "c-products"), make("td", "", "c-num"), make("td", "", "c-age"),
      make("td", "", "c-cause"), make("td", "", "c-bar wide"));
    this.body.append(tr);
    return this.register(tr);
  }

  paint(connections) {
    const listed = new Set();
    for (const connection of connections) {
      const id = String(connection.connection_id);
      listed.add(id);
      this.paintRow(this.rows.get(id) ?? this.create(id), connection);
    }
    for (const [id, { tr }] of this.rows) {
      if (listed.has(id)) continue;
      tr.remove();
      this.rows.delete(id);
    }
  }

  paintRow(row, connection) {
    const [, status, products, rate, last, cause] = row.cells;
    const silence = secondsSince(connection.last_message);
    const silent = connection.status === "connected" && silence !== null && silence > SILENT_AFTER_SECONDS;
    const look = silent ? "warn" : LOOKS[connection.status] ?? "off";
    setData(status, "tone", look);
    setShape(status.firstElementChild, look);
    setText(status.lastElementChild, silent ? "silent" : String(connection.status));
    setText(products, count(connection.products_count));
    setText(rate, count(messageRate(row, connection)));
    row.lastMessage = connection.last_message;
    setText(last, silenceText(silence));
    setData(last, "tone", silent ? "warn" : "");
    const reconnects = connection.reconnects ? count(connection.reconnects) : "–";
    cause.toggleAttribute("data-empty", !connection.reconnects && !connection.last_cause);
    setText(cause, connection.last_cause ? `${reconnects} · ${connection.last_cause}` : reconnects);
    if (cause.title !== (connection.last_cause ?? "")) cause.title = connection.last_cause ?? "";
    this.addSample(row, { ok: "ok", busy: "warn", warn: "warn" }[look] ?? "bad");
  }

  /** A second without an answer of the hub: nothing is known, the bars show a hole, and the ages grow. */
  skip() {
    for (const row of this.rows.values()) {
      this.addSample(row, null);
      if (row.lastMessage) setText(row.cells[4], silenceText(secondsSince(row.lastMessage)));
    }
  }

  addSample(row, kind) {
    row.history.push(kind);
    if (row.history.length > BAR_SAMPLES) row.history.shift();
    const start = BAR_SAMPLES - row.history.length;
    for (const [name, height] of Object.entries(BAR)) {
      let path = "";
      for (let i = 0; i < row.history.length; i += 1) {
        if (row.history[i] === name) path += `M${start + i} 14v-${height}h.7v${height}z`;
      }
      row.paths[name].setAttribute("d", path);
    }
  }
}

function silenceText(seconds) {
  if (seconds === null) return "never";
  return seconds < 1 ? "< 1 s" : age(seconds);
}

function messageRate(row, connection) {
  if (Number.isFinite(connection.messages_per_second)) return connection.messages_per_second;
  const now = performance.now();
  const rate = row.total === null ? 0 : ((connection.total_messages - row.total) * 1000) / (now - row.at);
  row.total = connection.total_messages;
  row.at = now;
  return Math.max(0, rate);
}

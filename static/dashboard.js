// The dashboard: the page comes with data from the server; this keeps it live.

import { secondsSince } from "./js/clock.js";
import { ConnectionTable } from "./js/connections.js";
import { setText } from "./js/dom.js";
import { count } from "./js/format.js";
import { startPolling } from "./js/poll.js";
import { PriceTable } from "./js/prices.js";
import { openStream } from "./js/stream.js";
import { Verdict } from "./js/verdict.js";

const PAINT_EVERY_MS = 100;
const TIDY_EVERY_MS = 2000;
const SNAPSHOT_MS = 3000; // after the stream comes up, the hub sends every product's current ticker within this time

const prices = new PriceTable(document.getElementById("prices"));
const connections = new ConnectionTable(document.getElementById("connections"));
const verdict = new Verdict();
const search = document.getElementById("search");
const empty = document.getElementById("prices-empty");

let aliveAt = performance.now(); // when the stream was last known to be up: a snapshot's trades may be as old as that
let snapshotUntil = 0;
let confirmedSince = null;
let countedRows = -1;

/** When a trade in a snapshot reached the hub: by its own time, within what is possible. */
function heardAt(payload) {
  const now = performance.now();
  const age = secondsSince(payload.time) ?? 0;
  return Math.min(now, Math.max(aliveAt, now - age * 1000));
}

const stream = openStream({
  onTicker: (payload) => {
    const now = performance.now();
    prices.update(payload, now < snapshotUntil ? heardAt(payload) : now);
    schedule();
    polling.nudge();
  },
  onTrust: (payload) => prices.setTrust(payload.crypto, payload.trust, payload.reason),
  onLeft: (payload) => prices.remove(payload.crypto),
  onChange: () => {
    const now = performance.now();
    if (stream.connected) {
      snapshotUntil = now + SNAPSHOT_MS;
      confirmedSince = now;
    } else {
      aliveAt = now;
      confirmedSince = null;
    }
    everySecond();
  },
});

const polling = startPolling({
  needTickers: () => !stream.connected && performance.now() - stream.since > SNAPSHOT_MS,
  onData: ({ health, connections: answer, tickers }) => {
    verdict.paint(health, answer);
    connections.paint(answer.connections);
    for (const payload of Object.values(tickers ?? {})) prices.update(payload, heardAt(payload));
    if (tickers) schedule();
    everySecond();
  },
  onFailure: () => {
    connections.skip();
    everySecond();
  },
});

let paintTimer = 0;
function schedule() {
  if (paintTimer) return;
  paintTimer = setTimeout(() => requestAnimationFrame(() => {
    paintTimer = 0;
    if (prices.paint()) schedule();
    if (countedRows !== prices.rows.size) showCount();
  }), PAINT_EVERY_MS);
}

function everySecond() {
  const now = performance.now();
  const snapshotIsIn = confirmedSince !== null && now > snapshotUntil;
  prices.paintAges(snapshotIsIn ? confirmedSince : null);
  verdict.paintLink(stream, polling);
  verdict.paintSimulated(prices.anySimulated());
}

function showCount() {
  const visible = prices.filter(search.value);
  const all = prices.rows.size;
  countedRows = all;
  setText(document.getElementById("prices-hint"),
    visible === all ? `${count(all)} products` : `${count(visible)} of ${count(all)} products`);
  empty.hidden = visible > 0;
  setText(empty, all ? `No product matches “${search.value}”.` : "No prices yet.");
}

search.addEventListener("input", showCount);
search.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  search.value = "";
  showCount();
  search.blur();
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.closest("input, textarea, select, [contenteditable]")) return;
  event.preventDefault();
  search.focus();
  search.select();
});

document.getElementById("rendered").hidden = true; // from here on the page is live, no snapshot
prices.sort();
showCount();
everySecond();
setInterval(everySecond, 1000);
setInterval(() => {
  if (!document.hidden) prices.tidy();
}, TIDY_EVERY_MS);

// The dashboard: a client of the public interface, as docs/protocol.md describes it, and of nothing else.

import { startAlerts } from "./js/alerts.js";
import { Source } from "./js/api.js";
import { startBudget } from "./js/budget.js";
import { startCharts } from "./js/charts.js";
import { startClients } from "./js/clients.js";
import { freeze, isFrozen, learn } from "./js/clock.js";
import { startConnections } from "./js/connections.js";
import { addCurlButtons } from "./js/curl.js";
import { $, copy, setHidden, setText, toast } from "./js/dom.js";
import { startDrawer } from "./js/drawer.js";
import { duration } from "./js/format.js";
import { FreshnessMap } from "./js/map.js";
import { Products } from "./js/model.js";
import { PriceTable } from "./js/prices.js";
import { openStream } from "./js/stream.js";
import { startTimeline } from "./js/timeline.js";
import { Verdict } from "./js/verdict.js";
import { view } from "./js/view.js";

const BOARD_EVERY_MS = 1000;
const HEALTH_EVERY_MS = 1000;
const LATENCY_EVERY_MS = 5000;

let pausedAt = null;
const products = new Products();
const verdict = new Verdict(products);

const stream = openStream({
  onTick: (payload) => {
    if (!isFrozen() && products.takeTick(payload)) prices.request();
    board.nudge();
    health.nudge();
  },
  onTrust: (payload) => {
    if (!isFrozen() && products.takeTrust(payload)) map.request();
  },
  onChange: () => everySecond(),
});
const prices = new PriceTable(products, stream);
const map = new FreshnessMap(products);

const board = new Source("/board", BOARD_EVERY_MS, (body, asked, received) => {
  if (isFrozen()) return;
  if (products.takeBoard(body, received - asked)) {
    prices.sort();
    map.relayout();
  }
  map.request();
  prices.tidy();
}, { wanted: () => !isFrozen() && !document.hidden });

const health = new Source("/health", HEALTH_EVERY_MS, (body, asked, received) => {
  learn(body.last_updated, asked, received);
  verdict.take(body);
  everySecond();
}, { onFailure: () => everySecond() });

new Source("/latency", LATENCY_EVERY_MS, (body) => verdict.takeLatency(body));

startConnections(products);
startCharts(stream);
startTimeline();
startAlerts();
startClients();
startBudget();
startDrawer(products);
addCurlButtons();

function everySecond() {
  verdict.paintLink(stream, health, board);
  if (pausedAt !== null) {
    setText($("paused"), `Paused ${duration((performance.now() - pausedAt) / 1000)} ago: the panels are frozen, the verdict is not.`);
  }
}

// -- what the reader does ------------------------------------------------------------------------------

function pause(wanted) {
  pausedAt = wanted ? performance.now() : null;
  freeze(wanted);
  $("pause").setAttribute("aria-pressed", String(wanted));
  setText($("pause"), wanted ? "Resume" : "Pause");
  setHidden($("paused"), !wanted);
  document.documentElement.toggleAttribute("data-paused", wanted);
  if (!wanted) board.poke();
  setText($("announce"), wanted ? "Paused" : "Live again");
  everySecond();
}

const search = $("search");
search.value = view.get("q");
search.addEventListener("input", () => view.set({ q: search.value }));
view.on((changed) => {
  if (changed.includes("q") && search.value !== view.get("q")) search.value = view.get("q");
});
search.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  view.set({ q: "" });
  search.blur();
  event.stopPropagation();
});
$("pause").addEventListener("click", () => pause(pausedAt === null));
$("share").addEventListener("click", () => copy(location.href, "the link to this view"));
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest("input, textarea, select")) return;
  if (event.key === "/") {
    event.preventDefault();
    search.focus();
    search.select();
  } else if (event.key === "p") {
    pause(pausedAt === null);
  }
});
$("skip").addEventListener("click", (event) => {
  event.preventDefault(); // the URL's fragment is the view
  $("prices-scroll").focus();
});
document.addEventListener("visibilitychange", () => {
  if (document.hidden) return;
  health.poke();
  board.poke();
});
addEventListener("error", (event) => toast(`This page has a bug: ${event.message}`, "bad"));
addEventListener("unhandledrejection", (event) => toast(`This page has a bug: ${event.reason?.message ?? event.reason}`, "bad"));

setHidden($("rendered"), true); // from here on the page is live, no snapshot
everySecond();
setInterval(everySecond, 1000);

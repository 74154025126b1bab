// What the exchange still allows, what the hub is about to move and why, and the simulator's drills.

import { makeAction, onDrills } from "./actions.js";
import { Source } from "./api.js";
import { $, build, make, makeSvg, setData, setHidden, setText } from "./dom.js";
import { count, duration, milliseconds } from "./format.js";
import { panel } from "./painter.js";
import { keep, makeFacts } from "./parts.js";
import { view } from "./view.js";

const EVERY_MS = 2000;
const SHOWN_MOVES = 8;

export function startBudget() {
  let plan = null;
  const connects = makeMeter("Connects left");
  const messages = makeMeter("Messages left");
  const facts = makeFacts("Next connect", "Covered", "All covered", "Mean load", "Under way");
  const why = make("p", "", "why");
  const moves = make("ul", "", "moves");
  $("budget-body").append(build("div", "meters", connects.element, messages.element), facts.element,
    build("div", "plan", make("h3", "What would move"), why, moves));
  const shown = panel($("budget"), paint);

  function paint() {
    if (!plan) return;
    setText($("budget-hint"), "");
    const { budget } = plan;
    const seconds = `in a window of ${duration(budget.window_seconds)}`;
    connects.paint(budget.connects_left, budget.connects + budget.connects_left, seconds);
    messages.paint(budget.messages_left, budget.messages + budget.messages_left, seconds);
    const wait = budget.next_connect_seconds;
    facts.set("Next connect", wait > 0 ? `in ${milliseconds(wait * 1000)}` : "at once");
    const missing = plan.seconds_to_full_coverage;
    facts.set("Covered", `${count(plan.covered_products)} of ${count(plan.products)}`);
    const when = missing === null ? "–" : missing ? `in ${duration(missing)}` : "now";
    facts.set("All covered", when, missing ? "warn" : "", "How long until every product has a connection, at the pace that the exchange allows");
    facts.set("Mean load", `${count(plan.mean_load)}/s`, "", "Messages of a slot");
    facts.set("Under way", ...underWay(plan.under_way));
    setText(why, String(plan.why));
    const wanted = plan.moves.filter((move) => view.matches(move.product, move.from, move.to, move.in_exchange_for));
    keep(moves, wanted.slice(0, SHOWN_MOVES), (move) => `${move.product} ${move.from} ${move.to}`, () => make("li"), (item, move) => {
      const back = move.in_exchange_for ? `, in exchange for ${move.in_exchange_for}` : "";
      setText(item, `${move.product}: ${move.from} → ${move.to}${back}: ${move.why}`);
    });
  }

  view.on((changed) => { if (changed.includes("q")) shown.request(); });
  onDrills(paintDrills);
  return new Source("/plan", EVERY_MS, (body) => {
    plan = body;
    shown.request();
  }, { wanted: () => shown.awake(), onFailure: (error) => setText($("budget-hint"), error.message) });
}

function underWay(transfer) {
  if (!transfer) return ["nothing"];
  const how = transfer.kind === "rotate" ? "rotation" : "move";
  const text = `${how}: ${transfer.connections.join(" → ")}, ${count(transfer.over)} of ${count(transfer.products)} over, ${milliseconds(transfer.seconds * 1000)}`;
  return [text, "busy", String(transfer.why)];
}

/** A bar of what is left; short and in a warning colour where little is. */
function makeMeter(name) {
  const value = make("span", "", "value");
  const svg = makeSvg("svg", "meter");
  svg.setAttribute("viewBox", "0 0 100 6");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("aria-hidden", "true");
  const [ground, bar] = ["ground", "bar"].map((part) => makeSvg("rect", part));
  ground.setAttribute("width", 100);
  for (const rect of [ground, bar]) rect.setAttribute("height", 6);
  svg.append(ground, bar);
  const element = build("div", "", make("span", name, "name"), value, svg);
  return {
    element,
    paint(left, of, note) {
      setText(value, `${count(left)} of ${count(of)}`);
      if (value.title !== note) value.title = note;
      bar.setAttribute("width", of ? (100 * left) / of : 0);
      setData(element, "tone", left ? "" : "warn");
    },
  };
}

function paintDrills(drills) {
  const area = $("drills");
  setHidden(area, !drills.length);
  if (!drills.length) return;
  if (!area.firstChild) {
    area.append(build("h3", "", "Drills ", make("small", "faults of the simulator, to watch the hub heal")), make("div", "", "buttons"));
  }
  keep(area.lastChild, drills, (drill) => drill.name, (drill) => makeAction({
    label: String(drill.title), what: `play “${drill.title}”`, path: "/drills", body: { drill: drill.name }, title: String(drill.text ?? ""),
  }));
}

// Entries of the ledger in words. Those that one lost connection opened at once are folded into one line.

import { count, table } from "./format.js";

const FOLD_FROM = 4; // gaps of one connection, cause and moment
const MOMENT_MS = 2000;

const CAUSES = table({
  sequence: "jumped over",
  heartbeat: "named, never came",
  disconnect: "lost with the connection",
  restart: "missed since the hub's last process",
  pause: "missed while the hub stood still",
  overflow: "lost: the exchange's buffer for the hub ran over",
});
const HEALED = table({
  backfill: "fetched by REST",
  late: "came late by itself",
  reconnected: "connected again",
  restarted: "ended with its process",
  retired: "its slot was given up",
  denied: "never existed",
  "not watched": "not watched any more",
  forgotten: "forgotten",
});

const trades = (gap) => gap.total ?? (gap.product ? gap.last_id - gap.first_id + 1 : 0);

/** The gaps, with `key`; many of one moment are one with `products`, open while one of them is. */
export function foldGaps(gaps) {
  const groups = new Map();
  for (const gap of gaps) {
    const moment = Math.floor(Date.parse(gap.opened_at) / MOMENT_MS);
    const key = gap.product ? `f${gap.connection_id} ${gap.cause} ${moment}` : `g${gap.id}`;
    if (!groups.has(key)) groups.set(key, []);
    groups.get(key).push(gap);
  }
  return [...groups].flatMap(([key, group]) => (
    group.length < FOLD_FROM ? group.map((gap) => ({ ...gap, key: `g${gap.id}` })) : [{ ...foldOf(group), key }]));
}

function foldOf(group) {
  const open = group.some((gap) => gap.open);
  const ways = [...new Set(group.map((gap) => gap.healed))];
  return {
    product: null,
    products: [...new Set(group.map((gap) => gap.product))],
    connection_id: group[0].connection_id,
    cause: group[0].cause,
    opened_at: group.reduce((first, gap) => (gap.opened_at < first ? gap.opened_at : first), group[0].opened_at),
    open,
    total: group.reduce((sum, gap) => sum + trades(gap), 0),
    missing: group.reduce((sum, gap) => sum + gap.missing, 0),
    healed: open ? null : ways.map((way) => HEALED[way] ?? way).join(" or "),
    duration_ms: open ? null : Math.max(...group.map((gap) => gap.duration_ms)),
  };
}

export function gapTone(gap) {
  if (gap.open) return "warn";
  return gap.missing ? "bad" : "ok"; // closed with something missing: it never came
}

export function gapText(gap) {
  const healed = gap.open ? "" : `: ${HEALED[gap.healed] ?? gap.healed ?? "closed"}`;
  const total = trades(gap);
  if (!total) return `${gap.connection_id ? "brought nothing" : "The hub stood still"}${healed}`;
  const of = gap.products ? ` of ${count(gap.products.length)} products` : "";
  const what = `${count(total)} trade${total === 1 ? "" : "s"}${of} ${CAUSES[gap.cause] ?? gap.cause}`;
  const missing = gap.missing && gap.missing < total ? `, ${count(gap.missing)} still missing` : "";
  const never = !gap.open && gap.missing ? " (never came)" : "";
  return `${what}${missing}${healed}${never}`;
}

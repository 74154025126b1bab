// What the page knows of each product: the board's columns once a second, the stream's ticks for what is in sight.

import { secondsSince } from "./clock.js";
import { table } from "./format.js";

const SHARED_MS = 500; // for which the hub gives everybody the same board
export const TRUSTS = ["live", "quiet", "behind", "stale", "starting", "halted", "delisted"];
export const TRUSTED = new Set(["live", "quiet"]);
export const OFF_THE_MARKET = new Set(["halted", "delisted"]);

const SORT_VALUES = table({
  product: (p) => p.id,
  price: (p) => Number(p.price),
  change: (p) => p.change ?? Number.NEGATIVE_INFINITY,
  volume: (p) => p.volume ?? Number.NEGATIVE_INFINITY,
  bid: (p) => Number(p.bid),
  ask: (p) => Number(p.ask),
  age: (p) => -(p.tradedAt ?? Number.NEGATIVE_INFINITY),
});
export const ASCENDING_FIRST = new Set(["product", "age"]);

export class Products {
  constructor() {
    this.byId = new Map();
    this.list = []; // by volume, as the board has them: the map's order
    this.simulated = null;
  }

  /** Take an answer of GET /board in; returns whether the products are others than before. */
  takeBoard(board, roundTripMs) {
    // one body serves all who ask within half a second: what counts is when it was made. It can't be older than that and
    // its way, whatever this machine's clock says
    const now = performance.now() - Math.min(1000 * (secondsSince(board.time) ?? 0), SHARED_MS + roundTripMs);
    const priority = new Set(board.priority);
    const known = this.byId;
    let changed = known.size !== board.products.length;
    this.byId = new Map();
    board.products.forEach((id, i) => {
      let p = known.get(id);
      if (!p) {
        changed = true;
        p = { id, price: null, reason: "", tradedAt: null, verifiedAt: null, tickedAt: Number.NEGATIVE_INFINITY };
      }
      this.byId.set(id, p);
      p.rhythm = board.rhythm_ms[i];
      p.connection = board.connection[i];
      p.volume = board.volume_quote[i];
      p.priority = priority.has(id);
      if (now > p.tickedAt) { // a tick of the stream may be younger than what the board was made of
        p.trust = String(board.trust[i]);
        p.reason = board.reasons[id] ?? "";
        p.tradedAt = board.age_ms[i] === null ? null : now - board.age_ms[i];
        p.verifiedAt = board.verified_ms[i] === null ? null : now - board.verified_ms[i];
        p.price = board.price[i];
        p.bid = board.bid[i];
        p.ask = board.ask[i];
        p.change = board.change_percent[i];
      }
    });
    this.simulated = board.simulated === true;
    if (changed) {
      // a cell of the map keeps its place while volumes move: only who joins or leaves changes anything
      const kept = this.list.filter((p) => this.byId.get(p.id) === p);
      const there = new Set(kept);
      this.list = kept.length ? [...kept, ...[...this.byId.values()].filter((p) => !there.has(p))] : [...this.byId.values()];
    }
    return changed;
  }

  /** Take a ticker of the stream in; returns its product, null if it is none of ours. */
  takeTick(payload) {
    const p = this.byId.get(payload.crypto);
    if (!p) return null;
    p.price = String(payload.price);
    p.bid = String(payload.bid);
    p.ask = String(payload.ask);
    p.change = Number(payload.price_24h) ? Number(payload.price_change_percent_24h) : null;
    if (typeof payload.trust === "string" && payload.trust !== p.trust) {
      p.trust = payload.trust;
      p.reason = "";
    }
    p.tickedAt = performance.now();
    if (!("age_ms" in payload)) { // one of a snapshot has its ages, and no trade has come by it
      p.tradedAt = p.tickedAt;
      p.verifiedAt = p.tickedAt;
    }
    if (payload.simulated === true) this.simulated = true;
    return p;
  }

  /** Take a trust_update in. */
  takeTrust(payload) {
    const p = this.byId.get(payload.crypto);
    if (p && typeof payload.trust === "string") {
      p.trust = payload.trust;
      p.reason = String(payload.reason ?? "");
    }
    return p ?? null;
  }

  /** The products that `matches` lets through, sorted by `key` ("-volume" is descending), priority pairs first. */
  sorted(key, matches) {
    const descending = key.startsWith("-");
    const value = SORT_VALUES[key.replace(/^-/, "")] ?? SORT_VALUES.volume;
    const sign = descending ? -1 : 1;
    const keyed = [];
    for (const p of this.byId.values()) if (matches(p)) keyed.push([value(p), p]);
    keyed.sort(([a, left], [b, right]) => {
      if (left.priority !== right.priority) return left.priority ? -1 : 1;
      if (a === b || (Number.isNaN(a) && Number.isNaN(b))) return left.id < right.id ? -1 : 1;
      return (a < b || Number.isNaN(b) ? -1 : 1) * sign;
    });
    return keyed.map(([, p]) => p);
  }
}

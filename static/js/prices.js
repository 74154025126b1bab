// The price table: one row a product. Updates are collected; paint() touches changed rows only, and of those only the
// ones in sight: the others follow when they come into sight, when the table is sorted, and every other second.

import { make, setText } from "./dom.js";
import { age as ageText, change, compact, exact } from "./format.js";

const FLASH_MS = 350;
const REST_MS = 1500; // between two flashes of a busy product
const CALM = matchMedia("(prefers-reduced-motion: reduce)");
const OFF_THE_MARKET = { halted: "Halted by the exchange", delisted: "Delisted by the exchange" };
const UNCONFIRMED = "Not sent by the hub since the link to it came back";
const ASCENDING_FIRST = new Set(["product", "age"]);
const COLUMNS = ["p-price", "p-change", "p-volume wide", "p-quote wide", "p-quote wide", "p-age"];

const ORDER = {
  product: (row) => row.product,
  price: (row) => Number(row.price),
  change: (row) => row.change ?? Number.NEGATIVE_INFINITY,
  volume: (row) => Number(row.price) * Number(row.volume),
  bid: (row) => Number(row.bid),
  ask: (row) => Number(row.ask),
  age: (row) => -row.heardAt,
};

export class PriceTable {
  constructor(table) {
    this.table = table;
    this.body = table.tBodies[0];
    this.rows = new Map();
    this.dirty = new Set();
    this.flashing = new Map();
    this.terms = [];
    this.key = "volume";
    this.descending = true;
    this.pointerInside = false;
    this.outOfOrder = false;
    this.inSight = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) {
        const row = this.rows.get(target.dataset.product);
        if (row) row.inSight = isIntersecting;
      }
    }, { rootMargin: "100px" });
    for (const tr of this.body.rows) this.adopt(tr);
    for (const th of table.tHead.rows[0].cells) {
      th.querySelector("button").addEventListener("click", () => this.sortBy(th.dataset.key));
    }
    this.body.addEventListener("pointerenter", () => { this.pointerInside = true; });
    this.body.addEventListener("pointerleave", () => { this.pointerInside = false; });
  }

  /** Take over a row that the server painted. */
  adopt(tr) {
    const { product, trade, age, price, volume, change: percent, bid, ask } = tr.dataset;
    this.rows.set(product, {
      tr, product, price, volume, bid, ask,
      tradeId: trade,
      change: percent === "" ? null : Number(percent),
      simulated: "simulated" in tr.dataset,
      trust: tr.dataset.trust,
      heardAt: performance.now() - Number(age) * 1000,
      confirmedAt: performance.now(),
      paintedPrice: price,
      cells: [...tr.cells],
      inSight: false,
      restsUntil: 0,
    });
    this.inSight.observe(tr);
  }

  create(product) {
    const tr = make("tr");
    tr.dataset.product = product;
    const head = make("th", "", "p-id");
    head.scope = "row";
    head.append(make("span", product));
    tr.append(head, ...COLUMNS.map((name) => make("td", "", name)));
    tr.hidden = !this.matches(product);
    this.body.append(tr);
    const row = {
      tr, product, simulated: false, trust: "", heardAt: 0, tradeId: null, paintedPrice: null, cells: [...tr.cells],
      inSight: false, restsUntil: 0,
    };
    this.rows.set(product, row);
    this.inSight.observe(tr);
    return row;
  }

  /** Note a ticker payload; `heardAt` (performance.now()) is the earliest moment its trade can have reached the hub. */
  update(payload, heardAt) {
    const product = payload.crypto;
    if (typeof product !== "string") return;
    const row = this.rows.get(product) ?? this.create(product);
    row.confirmedAt = performance.now();
    const tradeId = String(payload.trade_id ?? "");
    if (!tradeId || tradeId === "0" || tradeId !== row.tradeId) row.heardAt = Math.max(heardAt, row.heardAt);
    row.tradeId = tradeId;
    row.price = String(payload.price);
    row.bid = String(payload.bid);
    row.ask = String(payload.ask);
    row.volume = String(payload.volume_24h);
    row.change = Number(payload.price_24h) ? Number(payload.price_change_percent_24h) : null;
    const simulated = payload.simulated === true;
    if (simulated !== row.simulated) {
      row.simulated = simulated;
      this.paintMarks(row);
    }
    this.setTrust(product, payload.trust);
    this.dirty.add(row);
  }

  /** Take out a product that is not watched any more. */
  remove(product) {
    const row = this.rows.get(product);
    if (!row) return;
    this.inSight.unobserve(row.tr);
    row.tr.remove();
    this.rows.delete(product);
    this.dirty.delete(row);
    this.flashing.delete(row);
  }

  /** Note a product's trust; what the exchange does not trade bears a mark, with the reason where it is known. */
  setTrust(product, trust, reason = "") {
    const row = this.rows.get(product);
    if (!row || typeof trust !== "string" || trust === row.trust) return;
    const marked = row.trust in OFF_THE_MARKET || trust in OFF_THE_MARKET;
    row.trust = trust;
    if (marked) this.paintMarks(row, reason);
  }

  anySimulated() {
    for (const row of this.rows.values()) if (row.simulated) return true;
    return false;
  }

  paintMarks(row, reason = "") {
    for (const old of row.cells[0].querySelectorAll("abbr")) old.remove();
    if (row.simulated) {
      const mark = make("abbr", "SIM");
      mark.title = "Simulated";
      row.cells[0].prepend(mark);
    }
    if (!(row.trust in OFF_THE_MARKET)) return;
    const mark = make("abbr", row.trust.toUpperCase(), row.trust);
    mark.title = OFF_THE_MARKET[row.trust] + (reason ? `: ${reason}` : "");
    row.cells[0].append(mark);
  }

  /** Paint what changed; returns whether there is more to do soon, though nothing new may come. */
  paint({ all = false } = {}) {
    this.endFlashes();
    if (this.dirty.size) this.outOfOrder = true;
    for (const row of this.dirty) {
      if (!all && !row.inSight) continue;
      this.dirty.delete(row);
      const [, price, percent, volume, bid, ask] = row.cells;
      setText(price, exact(row.price));
      const [text, direction] = change(row.change);
      setText(percent, text);
      if (!percent.classList.contains(direction)) percent.className = `p-change ${direction}`;
      setText(volume, compact(Number(row.price) * Number(row.volume)));
      setText(bid, exact(row.bid));
      setText(ask, exact(row.ask));
      if (row.paintedPrice !== null && row.paintedPrice !== row.price) this.flash(row);
      row.paintedPrice = row.price;
    }
    return this.flashing.size > 0;
  }

  /** A short flash in the direction of the change. Switched on and off with the other paints: fading costs 40 times that. */
  flash(row) {
    const now = performance.now();
    if (CALM.matches || !row.inSight || now < row.restsUntil) return;
    const direction = Number(row.price) > Number(row.paintedPrice) ? "rise" : "fall";
    row.cells[1].className = `p-price ${direction}`;
    row.restsUntil = now + FLASH_MS + REST_MS;
    this.flashing.set(row, now + FLASH_MS);
  }

  endFlashes() {
    const now = performance.now();
    for (const [row, until] of this.flashing) {
      if (now < until) continue;
      row.cells[1].className = "p-price";
      this.flashing.delete(row);
    }
  }

  /** Once a second. `confirmedSince`: rows that the hub has not sent since then say so; null while that is unknown. */
  paintAges(confirmedSince) {
    const now = performance.now();
    for (const row of this.rows.values()) {
      const age = ageText((now - row.heardAt) / 1000);
      const unconfirmed = confirmedSince !== null && row.confirmedAt < confirmedSince;
      setText(row.cells[6], unconfirmed ? "old" : age);
      if (unconfirmed !== Boolean(row.cells[6].title)) row.cells[6].title = unconfirmed ? UNCONFIRMED : "";
      const idle = now - row.heardAt > 120_000 || row.trust in OFF_THE_MARKET;
      row.tr.classList.toggle("quiet", idle || unconfirmed);
    }
  }

  sortBy(key) {
    this.descending = key === this.key ? !this.descending : !ASCENDING_FIRST.has(key);
    this.key = key;
    for (const th of this.table.tHead.rows[0].cells) {
      const order = this.descending ? "descending" : "ascending";
      th.setAttribute("aria-sort", th.dataset.key === key ? order : "none");
    }
    this.sort();
  }

  /** Every other second: rows out of sight catch up, and a live column stays sorted, but not under the reader's pointer. */
  tidy() {
    this.paint({ all: true });
    if (this.outOfOrder && this.key !== "product" && !this.pointerInside) this.sort();
  }

  sort() {
    this.paint({ all: true });
    this.outOfOrder = false;
    const value = ORDER[this.key];
    const sign = this.descending ? -1 : 1;
    const keyed = [...this.rows.values()].map((row) => [value(row), row]);
    keyed.sort(([a, left], [b, right]) => {
      if (a === b || (Number.isNaN(a) && Number.isNaN(b))) return left.product < right.product ? -1 : 1;
      return (a < b || Number.isNaN(b) ? -1 : 1) * sign;
    });
    let next = this.body.firstElementChild;
    for (const [, { tr }] of keyed) {
      if (tr === next) next = next.nextElementSibling;
      else this.body.insertBefore(tr, next);
    }
  }

  /** Show the products whose id holds any of the words of `text`; returns how many those are. */
  filter(text) {
    this.terms = text.toUpperCase().split(/[\s,]+/).filter(Boolean);
    let visible = 0;
    for (const { tr, product } of this.rows.values()) {
      const match = this.matches(product);
      if (tr.hidden === match) tr.hidden = !match;
      if (match) visible += 1;
    }
    return visible;
  }

  matches(product) {
    const id = product.toUpperCase();
    return !this.terms.length || this.terms.some((term) => id.includes(term));
  }
}

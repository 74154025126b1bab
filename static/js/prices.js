// The price table: of thousands of products only the rows in sight exist. Rows are used again as the reader scrolls.

import { $, make, makeButton, makeShape, setData, setHidden, setShape, setText } from "./dom.js";
import { now as clock } from "./clock.js";
import { age as ageText, change as changeText, compact, count, exact } from "./format.js";
import { ASCENDING_FIRST, OFF_THE_MARKET } from "./model.js";
import { panel } from "./painter.js";
import { paintSparkline, Sparklines } from "./sparklines.js";
import { view } from "./view.js";

const SPARE_ROWS = 4;
const MAX_PINNED = 8; // more would leave no room for the rest: they are the first below
const FLASH_MS = 350;
const REST_MS = 1200; // between two flashes of a busy product
const SORT_EVERY_MS = 2000; // a live column stays sorted, but not under the reader's pointer
const CALM = matchMedia("(prefers-reduced-motion: reduce)");

export class PriceTable {
  constructor(products, stream) {
    this.products = products;
    this.stream = stream;
    this.table = $("prices-table");
    [this.pinnedBody, this.body] = this.table.tBodies;
    this.scroll = $("prices-scroll");
    this.above = makeFiller();
    this.below = makeFiller();
    this.body.append(this.above, this.below);
    this.rows = []; // those in sight, in the order of the page
    this.first = 0; // the place in `order` of the first of them
    this.order = [];
    this.pinned = []; // the first priority pairs: they stay in sight
    this.pinnedRows = [];
    this.sortedAt = 0;
    this.pointerInside = false;
    this.rowHeight = 0;
    this.panel = panel($("prices"), () => this.paint());
    this.sparklines = new Sparklines(() => this.panel.awake(), () => this.request());
    for (const th of this.table.tHead.rows[0].cells) {
      th.querySelector("button")?.addEventListener("click", () => this.sortBy(th.dataset.key));
    }
    this.scroll.addEventListener("scroll", () => this.request(), { passive: true });
    addEventListener("scroll", () => this.request(), { passive: true });
    new ResizeObserver(() => this.request()).observe(this.scroll);
    this.body.addEventListener("pointerenter", () => { this.pointerInside = true; });
    this.body.addEventListener("pointerleave", () => { this.pointerInside = false; });
    this.table.addEventListener("click", (event) => {
      const row = event.target.closest("tr");
      const selecting = event.detail > 0 && !getSelection().isCollapsed && row?.contains(getSelection().anchorNode);
      if (row?.dataset.product && !selecting) view.set({ open: row.dataset.product });
    });
    view.on((changed) => {
      if (!changed.some((key) => key === "q" || key === "sort")) return;
      this.sort();
      this.scroll.scrollTop = 0;
    });
    this.showOrder();
  }

  request() {
    this.panel.request();
  }

  sortBy(key) {
    const now = view.get("sort");
    const same = now.replace(/^-/, "") === key;
    const descending = same ? !now.startsWith("-") : !ASCENDING_FIRST.has(key);
    view.set({ sort: `${descending ? "-" : ""}${key}` });
  }

  showOrder() {
    const sort = view.get("sort");
    for (const th of this.table.tHead.rows[0].cells) {
      if (!th.dataset.key) continue;
      const order = sort.startsWith("-") ? "descending" : "ascending";
      th.setAttribute("aria-sort", th.dataset.key === sort.replace(/^-/, "") ? order : "none");
    }
  }

  sort() {
    this.sortedAt = performance.now();
    const sorted = this.products.sorted(view.get("sort"), (p) => view.matches(p.id, p.trust, p.connection));
    this.pinned = sorted.slice(0, MAX_PINNED).filter((p) => p.priority);
    this.order = sorted.slice(this.pinned.length);
    this.showOrder();
    const all = this.products.byId.size;
    const shown = sorted.length;
    setText($("prices-hint"), shown === all ? `${count(all)} products` : `${count(shown)} of ${count(all)} products`);
    setHidden($("prices-empty"), shown > 0);
    setText($("prices-empty"), all ? `No product matches “${view.get("q")}”.` : "No prices yet.");
    this.table.setAttribute("aria-rowcount", shown + 1);
    this.request();
  }

  /** Once a second: the order follows the values, but not under the reader's pointer or focus; ages grow. */
  tidy() {
    const due = performance.now() - this.sortedAt > SORT_EVERY_MS;
    const held = this.pointerInside || this.table.contains(document.activeElement);
    if (due && !held && this.panel.awake()) this.sort();
    if (!this.panel.inSight() && !document.hidden) this.stream.show([]);
    this.request();
  }

  paint() {
    const total = this.order.length;
    this.rowHeight ||= this.rows[0]?.tr.offsetHeight || 26;
    const [first, wanted] = this.range(total);
    this.slide(first);
    while (this.rows.length < wanted) this.rows.push(this.makeRow(this.body, this.below));
    while (this.pinnedRows.length < this.pinned.length) this.pinnedRows.push(this.makeRow(this.pinnedBody, null));
    setHeight(this.above, first * this.rowHeight);
    setHeight(this.below, (total - first - wanted) * this.rowHeight);
    const now = clock();
    const shown = this.order.slice(first, first + wanted);
    const flashing = [
      ...this.pinnedRows.map((row, i) => this.paintRow(row, this.pinned[i], i, now)),
      ...this.rows.map((row, i) => this.paintRow(row, shown[i], this.pinned.length + first + i, now)),
    ];
    const ids = [...this.pinned, ...shown].map((p) => p.id);
    this.stream.show(ids);
    this.sparklines.show(ids);
    if (!this.measured && this.rows.length) { // now that there is a row, its height is known
      this.measured = true;
      this.rowHeight = 0;
      this.pinnedBody.style.top = `${this.table.tHead.offsetHeight}px`;
      return true;
    }
    return flashing.includes(true);
  }

  /** Rows that scrolled out on one side go on at the other; those that stay keep their product, and the focus. */
  slide(first) {
    const steps = first - this.first;
    this.first = first;
    if (Math.abs(steps) >= this.rows.length) return;
    for (let i = 0; i < steps; i += 1) {
      this.rows.push(this.rows.shift());
      this.body.insertBefore(this.rows.at(-1).tr, this.below);
    }
    for (let i = 0; i > steps; i -= 1) {
      this.rows.unshift(this.rows.pop());
      this.body.insertBefore(this.rows[0].tr, this.above.nextSibling);
    }
  }

  /** The first row in sight, and how many: of the table's own window, or of the page's where the table does not scroll. */
  range(total) {
    const head = this.table.tHead.offsetHeight;
    const scrolls = this.scroll.scrollHeight > this.scroll.clientHeight + 1 && this.scroll.clientHeight < innerHeight;
    const top = scrolls || this.scroll.scrollTop
      ? this.scroll.scrollTop
      : Math.max(0, -this.scroll.getBoundingClientRect().top - head);
    const height = Math.min(this.scroll.clientHeight, innerHeight);
    const first = Math.max(0, Math.min(total - 1, Math.floor(top / this.rowHeight) - SPARE_ROWS));
    const rows = Math.ceil(height / this.rowHeight) + 2 * SPARE_ROWS;
    return [first, Math.max(0, Math.min(total - first, rows))];
  }

  makeRow(body, before) {
    const tr = make("tr");
    const head = make("th", "", "p-id");
    head.scope = "row";
    const open = makeButton("", () => {}, "as-link"); // the row's click opens it; this one is for the keyboard
    const marks = make("span", "", "marks");
    const trust = make("span", "", "sr");
    head.append(makeShape("live"), " ", open, marks, trust);
    const canvas = make("canvas", "", "spark");
    canvas.setAttribute("aria-hidden", "true");
    const spark = make("td", "", "p-spark");
    spark.append(canvas);
    tr.append(head, make("td", "", "p-price"), make("td", "", "p-change"), spark, make("td", "", "p-quote wide"),
      make("td", "", "p-quote wide"), make("td", "", "p-volume wide"), make("td", "", "p-age"));
    body.insertBefore(tr, before);
    return {
      tr, cells: [...tr.cells], open, marks, trust, canvas, product: null, price: null, flashUntil: 0, restsUntil: 0,
    };
  }

  /** Paint a product into a row (none: the row is spare); tell whether it flashes. */
  paintRow(row, p, index, now) {
    const { cells } = row;
    setHidden(row.tr, !p);
    if (!p) return false;
    if (row.product !== p.id) {
      row.product = p.id;
      row.price = p.price;
      row.flashUntil = 0;
      row.sparked = null;
      row.tr.dataset.product = p.id;
      setText(row.open, p.id);
    }
    if (row.index !== index) {
      row.index = index;
      row.tr.setAttribute("aria-rowindex", index + 2);
    }
    setData(row.tr, "trust", p.trust);
    setShape(row.cells[0].firstElementChild, p.trust);
    setText(row.trust, `, ${p.trust}${p.priority ? ", priority pair" : ""}`);
    const marks = [p.priority ? "★" : "", TRUST_MARKS[p.trust] ?? ""].filter(Boolean).join(" ");
    setText(row.marks, marks);
    if (row.reason !== p.reason) {
      row.reason = p.reason;
      row.cells[0].title = p.reason;
    }
    setText(cells[1], exact(p.price));
    const [text, direction] = changeText(p.change ?? null);
    setText(cells[2], text);
    setData(cells[2], "direction", direction);
    setText(cells[4], exact(p.bid));
    setText(cells[5], exact(p.ask));
    setText(cells[6], compact(p.volume));
    setText(cells[7], p.tradedAt === null ? "–" : ageText((now - p.tradedAt) / 1000));
    const line = this.sparklines.of(p.id);
    if (row.sparked !== line.version) {
      row.sparked = line.version;
      paintSparkline(row.canvas, line.prices);
    }
    return this.flash(row, p, now);
  }

  /** A short flash in the direction of the change. Switched on and off with the other paints: fading costs 40 times that. */
  flash(row, p, now) {
    if (row.price !== p.price && row.price !== null && now > row.restsUntil && !CALM.matches) {
      setData(row.cells[1], "flash", Number(p.price) > Number(row.price) ? "rise" : "fall");
      row.flashUntil = now + FLASH_MS;
      row.restsUntil = row.flashUntil + REST_MS;
    } else if (now >= row.flashUntil) {
      setData(row.cells[1], "flash", "");
    }
    row.price = p.price;
    return now < row.flashUntil;
  }
}

const TRUST_MARKS = Object.fromEntries(["behind", "stale", ...OFF_THE_MARKET].map((trust) => [trust, trust.toUpperCase()]));

function setHeight(row, pixels) {
  const height = `${Math.max(0, pixels)}px`;
  if (row.style.height !== height) row.style.height = height;
  setHidden(row, pixels <= 0);
}

function makeFiller() {
  const row = make("tr", "", "filler");
  row.setAttribute("aria-hidden", "true");
  row.hidden = true;
  return row;
}

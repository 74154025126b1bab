// The price table: of thousands of products only the rows in sight exist. Rows are used again as the reader scrolls.

import { $, make, makeButton, makeShape, setData, setHidden, setShape, setText } from "./dom.js";
import { now as clock } from "./clock.js";
import { age as ageText, change as changeText, compact, count, exact } from "./format.js";
import { ASCENDING_FIRST, OFF_THE_MARKET } from "./model.js";
import { panel } from "./painter.js";
import { paintSparkline, Sparklines } from "./sparklines.js";
import { view } from "./view.js";

const SPARE_ROWS = 4;
const FLASH_MS = 350;
const REST_MS = 1200; // between two flashes of a busy product
const SORT_EVERY_MS = 2000; // a live column stays sorted, but not under the reader's pointer
const CALM = matchMedia("(prefers-reduced-motion: reduce)");

export class PriceTable {
  constructor(products, stream) {
    this.products = products;
    this.stream = stream;
    this.table = $("prices-table");
    this.body = this.table.tBodies[0];
    this.scroll = $("prices-scroll");
    this.above = makeFiller();
    this.below = makeFiller();
    this.body.append(this.above, this.below);
    this.rows = [];
    this.order = [];
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
    this.body.addEventListener("click", (event) => {
      const id = event.target.closest("tr")?.dataset.product;
      if (id && !getSelection().toString()) view.set({ open: id });
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
    this.order = this.products.sorted(view.get("sort"), (p) => view.matches(p.id, p.trust, p.connection));
    this.showOrder();
    const all = this.products.byId.size;
    const shown = this.order.length;
    setText($("prices-hint"), shown === all ? `${count(all)} products` : `${count(shown)} of ${count(all)} products`);
    setHidden($("prices-empty"), shown > 0);
    setText($("prices-empty"), all ? `No product matches “${view.get("q")}”.` : "No prices yet.");
    this.table.setAttribute("aria-rowcount", shown + 1);
    this.request();
  }

  /** Once a second: the order follows the values, and ages grow. */
  tidy() {
    const due = performance.now() - this.sortedAt > SORT_EVERY_MS;
    if (due && !this.pointerInside && this.panel.awake()) this.sort();
    this.request();
  }

  paint() {
    const total = this.order.length;
    this.rowHeight ||= this.rows[0]?.tr.offsetHeight || 26;
    const [first, wanted] = this.range(total);
    while (this.rows.length < wanted) this.addRow();
    this.rows.forEach(({ tr }, i) => setHidden(tr, i >= wanted));
    setHeight(this.above, first * this.rowHeight);
    setHeight(this.below, (total - first - wanted) * this.rowHeight);
    const now = clock();
    let flashing = false;
    const ids = [];
    for (let i = 0; i < wanted; i += 1) {
      const p = this.order[first + i];
      ids.push(p.id);
      flashing = this.paintRow(this.rows[i], p, first + i, now) || flashing;
    }
    this.stream.show(ids);
    this.sparklines.show(ids);
    if (!this.measured && this.rows.length) { // now that there is a row, its height is known
      this.measured = true;
      this.rowHeight = 0;
      return true;
    }
    return flashing;
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

  addRow() {
    const tr = make("tr");
    const head = make("th", "", "p-id");
    head.scope = "row";
    const open = makeButton("", () => {}, "as-link"); // the row's click opens it; this one is for the keyboard
    const marks = make("span", "", "marks");
    head.append(makeShape("live"), " ", open, marks);
    const canvas = make("canvas", "", "spark");
    canvas.setAttribute("aria-hidden", "true");
    const spark = make("td", "", "p-spark");
    spark.append(canvas);
    tr.append(head, make("td", "", "p-price"), make("td", "", "p-change"), spark, make("td", "", "p-quote wide"),
      make("td", "", "p-quote wide"), make("td", "", "p-volume wide"), make("td", "", "p-age"));
    this.body.insertBefore(tr, this.below);
    this.rows.push({ tr, cells: [...tr.cells], open, marks, canvas, product: null, price: null, flashUntil: 0, restsUntil: 0 });
  }

  paintRow(row, p, index, now) {
    const { cells } = row;
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
    const marks = [p.priority ? "PIN" : "", TRUST_MARKS[p.trust] ?? ""].filter(Boolean).join(" ");
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

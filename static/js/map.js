// The freshness map: every product a cell, coloured by trust, shaded by its age against its own rhythm. One canvas: 3,000
// cells are painted in a few milliseconds, and only those whose look has changed.

import { $, build, make, makeShape, setHidden, setText } from "./dom.js";
import { age as ageText, exact } from "./format.js";
import { OFF_THE_MARKET, TRUSTED, TRUSTS } from "./model.js";
import { panel } from "./painter.js";
import { view } from "./view.js";

const GAP = 2;
const MAX_CELL = 46;
const MIN_CELL = 5;
const LABEL_FROM = 30; // pixels: a cell that is as large bears the product's base currency
const MARK_FROM = 8; // a cell that is smaller has no room for a shape
const LATE = [1.5, 4, 12]; // ages in rhythms from which a cell is shaded
const SHADES = [1, 0.74, 0.52, 0.36];

export class FreshnessMap {
  constructor(products) {
    this.products = products;
    this.canvas = $("map-canvas");
    this.context = this.canvas.getContext("2d");
    this.looks = []; // what each cell was painted as
    this.columns = 1;
    this.cell = MAX_CELL;
    this.cursor = -1;
    this.colours = {};
    this.panel = panel($("map"), () => this.paint());
    this.legend = new Map();
    for (const trust of TRUSTS) {
      const said = make("span");
      const item = build("li", "", makeShape(trust), " ", said);
      item.dataset.trust = trust;
      this.legend.set(trust, [item, said]);
    }
    $("map-legend").append(...[...this.legend.values()].map(([item]) => item));
    new ResizeObserver(() => this.relayout()).observe(this.canvas.parentElement);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.relayout());
    view.on((changed) => { if (changed.includes("q")) this.relayout(); });
    this.canvas.addEventListener("pointermove", (event) => this.point(this.at(event)));
    this.canvas.addEventListener("pointerleave", () => this.point(-1));
    this.canvas.addEventListener("click", (event) => this.open(this.at(event)));
    this.canvas.addEventListener("keydown", (event) => this.key(event));
    this.canvas.addEventListener("blur", () => this.point(-1));
  }

  request() {
    this.panel.request();
  }

  relayout() {
    const box = this.canvas.parentElement.getBoundingClientRect();
    const total = this.products.list.length;
    const width = Math.floor(box.width);
    const height = Math.floor(box.height);
    if (width < 10 || height < 10 || !total) return;
    let cell = MAX_CELL;
    const pitch = (size) => size + (size > 12 ? GAP : 1);
    const rows = (size) => Math.ceil(total / Math.floor(width / pitch(size)));
    while (cell > MIN_CELL && rows(cell) * pitch(cell) > height) cell -= 1;
    this.cell = cell;
    this.pitch = pitch(cell);
    this.columns = Math.max(1, Math.floor(width / this.pitch));
    const ratio = Math.min(2, devicePixelRatio || 1);
    const tall = Math.max(height, rows(cell) * this.pitch);
    this.canvas.width = width * ratio;
    this.canvas.height = tall * ratio;
    this.canvas.style.width = `${width}px`;
    this.canvas.style.height = `${tall}px`;
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const style = getComputedStyle(document.documentElement);
    for (const name of [...TRUSTS, "ink", "panel", "focus"]) this.colours[name] = style.getPropertyValue(`--t-${name}`).trim();
    this.looks = [];
    this.total = total;
    this.request();
  }

  paint() {
    const { list } = this.products;
    if (list.length !== this.total) return void this.relayout();
    const now = performance.now();
    const counts = {};
    for (let i = 0; i < list.length; i += 1) {
      const p = list[i];
      counts[p.trust] = (counts[p.trust] ?? 0) + 1;
      const seen = view.matches(p.id, p.trust, p.connection);
      const look = `${p.trust}${this.shade(p, now)}${seen ? "" : "-"}${i === this.cursor ? "*" : ""}${p.id}`;
      if (look === this.looks[i]) continue;
      this.looks[i] = look;
      this.paintCell(i, p, this.shade(p, now), seen);
    }
    for (const [trust, [item, said]] of this.legend) {
      setText(said, `${counts[trust] ?? 0} ${trust}`);
      setHidden(item, !counts[trust] && trust !== "live");
    }
    if (this.cursor >= 0) this.paintTip();
  }

  /** 0 is fresh. By its own rhythm: ten minutes are nothing to a product that trades once an hour. */
  shade(p, now) {
    if (p.tradedAt === null || !TRUSTED.has(p.trust)) return 0;
    const rhythms = (now - p.tradedAt) / Math.max(1000, p.rhythm ?? 60_000);
    return LATE.findLastIndex((limit) => rhythms > limit) + 1;
  }

  paintCell(i, p, shade, seen) {
    const { context, cell } = this;
    const x = (i % this.columns) * this.pitch;
    const y = Math.floor(i / this.columns) * this.pitch;
    context.clearRect(x - 1, y - 1, this.pitch, this.pitch);
    context.globalAlpha = (seen ? 1 : 0.12) * SHADES[shade];
    context.fillStyle = this.colours[p.trust] ?? this.colours.starting;
    const doubtful = !TRUSTED.has(p.trust);
    if (p.trust === "quiet" && cell >= MARK_FROM) {
      context.globalAlpha *= 0.42;
      context.fillRect(x, y, cell, cell);
      context.globalAlpha = (seen ? 1 : 0.12) * SHADES[shade];
      context.strokeStyle = context.fillStyle;
      context.strokeRect(x + 0.5, y + 0.5, cell - 1, cell - 1);
    } else {
      context.fillRect(x, y, cell, cell);
    }
    context.globalAlpha = seen ? 1 : 0.2;
    if (doubtful && cell >= MARK_FROM) this.paintMark(x, y, p.trust);
    else if (cell >= LABEL_FROM) {
      context.fillStyle = this.colours.ink;
      context.font = `600 ${cell >= 40 ? 10.5 : 9}px ui-sans-serif, system-ui, sans-serif`;
      context.textAlign = "center";
      context.textBaseline = "middle";
      context.fillText(p.id.split("-")[0].slice(0, 6), x + cell / 2, y + cell / 2 + 0.5, cell - 3);
    }
    if (i === this.cursor) {
      context.globalAlpha = 1;
      context.strokeStyle = this.colours.focus;
      context.lineWidth = 2;
      context.strokeRect(x + 1, y + 1, cell - 2, cell - 2);
      context.lineWidth = 1;
    }
    context.globalAlpha = 1;
  }

  /** Not by colour alone: a bar for what is off the market, an exclamation mark for what is behind, a cross for stale. */
  paintMark(x, y, trust) {
    const { context, cell } = this;
    const [left, middle, right] = [x + cell * 0.28, x + cell / 2, x + cell * 0.72];
    const [top, centre, bottom] = [y + cell * 0.26, y + cell / 2, y + cell * 0.74];
    context.strokeStyle = this.colours.panel;
    context.lineWidth = Math.max(1.4, cell / 11);
    context.beginPath();
    if (trust === "behind") {
      context.moveTo(middle, top);
      context.lineTo(middle, y + cell * 0.58);
      context.moveTo(middle, bottom - context.lineWidth * 0.6);
      context.lineTo(middle, bottom + context.lineWidth * 0.4);
    } else if (trust === "stale" || trust === "delisted") {
      context.moveTo(left, top);
      context.lineTo(right, bottom);
      context.moveTo(right, top);
      context.lineTo(left, bottom);
    } else if (OFF_THE_MARKET.has(trust)) {
      context.moveTo(x + cell * 0.38, top);
      context.lineTo(x + cell * 0.38, bottom);
      context.moveTo(x + cell * 0.62, top);
      context.lineTo(x + cell * 0.62, bottom);
    } else {
      context.arc(middle, centre, cell * 0.2, 0, 2 * Math.PI);
    }
    context.stroke();
    context.lineWidth = 1;
  }

  at(event) {
    const column = Math.floor(event.offsetX / this.pitch);
    const index = Math.floor(event.offsetY / this.pitch) * this.columns + column;
    return column < this.columns && index < this.products.list.length ? index : -1;
  }

  point(index) {
    if (index === this.cursor) return;
    this.cursor = index;
    setHidden($("map-tip"), index < 0);
    this.canvas.style.cursor = index < 0 ? "" : "pointer";
    this.request();
    if (index >= 0) this.paintTip();
  }

  key(event) {
    const last = this.products.list.length - 1;
    const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: this.columns, ArrowUp: -this.columns };
    if (event.key in steps) {
      this.point(Math.max(0, Math.min(last, this.cursor < 0 ? 0 : this.cursor + steps[event.key])));
    } else if (event.key === "Home" || event.key === "End") {
      this.point(event.key === "Home" ? 0 : last);
    } else if (event.key === "Enter" || event.key === " ") {
      this.open(this.cursor);
    } else {
      return;
    }
    event.preventDefault();
    if (this.cursor >= 0) setText($("map-said"), this.say(this.products.list[this.cursor]).join(", "));
  }

  open(index) {
    if (index >= 0) view.set({ open: this.products.list[index].id });
  }

  say(p) {
    const now = performance.now();
    const age = p.tradedAt === null ? "no trade yet" : `last trade ${ageText((now - p.tradedAt) / 1000)} ago`;
    const proof = p.verifiedAt === null ? "not proved yet" : `proved ${ageText((now - p.verifiedAt) / 1000)} ago`;
    const rhythm = p.rhythm === null ? "" : `, usually every ${ageText(p.rhythm / 1000)}`;
    return [p.id, exact(p.price), `${p.trust}${p.reason ? `: ${p.reason}` : ""}`, `${age}${rhythm}`, proof, p.connection ?? "no slot"];
  }

  paintTip() {
    const p = this.products.list[this.cursor];
    if (!p) return;
    const tip = $("map-tip");
    const [id, price, trust, age, proof, slot] = this.say(p);
    if (!tip.firstChild) tip.append(build("p", "head", make("strong"), " ", make("span")), make("p"), make("p"), make("p"));
    const [head, second, third, fourth] = tip.children;
    setText(head.firstChild, id);
    setText(head.lastChild, price);
    setText(second, trust);
    setText(third, age);
    setText(fourth, `${proof} · ${slot}`);
    tip.dataset.trust = p.trust;
    const x = (this.cursor % this.columns) * this.pitch;
    const y = Math.floor(this.cursor / this.columns) * this.pitch;
    const { offsetLeft, offsetTop, clientWidth } = this.canvas.parentElement;
    const right = x > clientWidth / 2;
    tip.style.left = right ? "" : `${offsetLeft + x + this.cell + 8}px`;
    tip.style.right = right ? `${clientWidth - x + 8}px` : "";
    tip.style.top = `${offsetTop + Math.max(0, y - this.canvas.parentElement.scrollTop - 10)}px`;
  }
}

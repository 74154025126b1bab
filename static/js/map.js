// The freshness map: every product a cell, coloured by trust, shaded by its age against its own rhythm. One canvas: 3,000
// cells are painted in a few milliseconds, and only those whose look has changed.

import { now as clock } from "./clock.js";
import { $, build, make, makeShape, setHidden, setText } from "./dom.js";
import { age as ageText, exact } from "./format.js";
import { OFF_THE_MARKET, TRUSTED, TRUSTS } from "./model.js";
import { panel } from "./painter.js";
import { view } from "./view.js";

const MAX_HEIGHT = 30; // of a cell, pixels
const MIN_HEIGHT = 5;
const WIDE = 2; // times as wide as high, where there is room for a label
const LABEL_FROM = 12; // height from which a cell bears the product's base currency
const MIN_LABEL = 3; // characters: fewer tell nothing
const MARK_FROM = 8; // a cell that is smaller has no room for a shape
const LATE = [1.5, 4, 12]; // ages in rhythms from which a cell is shaded
const SHADES = [1, 0.74, 0.52, 0.36];
const HOLLOW = 0.3; // how strongly a quiet cell is filled
const INKS = ["#ffffff", "#0b1017"];

export class FreshnessMap {
  constructor(products) {
    this.products = products;
    this.canvas = $("map-canvas");
    this.context = this.canvas.getContext("2d");
    this.looks = []; // what each cell was painted as
    this.columns = 1;
    this.pitch = this.cell = [1, 1]; // width and height, with and without the gap
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
    const fits = (high, wide) => Math.ceil(total / Math.floor(width / wide)) * high <= height;
    let high = MAX_HEIGHT;
    while (high > MIN_HEIGHT && !fits(high, high >= LABEL_FROM ? high * WIDE : high)) high -= 1;
    const wide = high >= LABEL_FROM ? high * WIDE : high;
    const gap = high > 10 ? 2 : 1;
    this.columns = Math.max(1, Math.floor(width / wide));
    const rows = Math.ceil(total / this.columns);
    high = Math.max(high, Math.min(MAX_HEIGHT, Math.floor(height / rows)));
    this.pitch = [Math.max(wide, Math.floor(width / this.columns)), high];
    this.cell = [this.pitch[0] - gap, high - gap];
    const ratio = Math.min(2, devicePixelRatio || 1);
    const tall = Math.max(height, rows * high);
    this.canvas.width = width * ratio;
    this.canvas.height = tall * ratio;
    this.canvas.style.width = `${width}px`;
    this.canvas.style.height = `${tall}px`;
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const style = getComputedStyle(document.documentElement);
    for (const name of [...TRUSTS, "panel", "focus"]) this.colours[name] = style.getPropertyValue(`--t-${name}`).trim();
    this.inks = {};
    this.looks = [];
    this.total = total;
    this.request();
  }

  paint() {
    const { list } = this.products;
    if (list.length !== this.total) return void this.relayout();
    const now = clock();
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

  corner(i) {
    return [(i % this.columns) * this.pitch[0], Math.floor(i / this.columns) * this.pitch[1]];
  }

  paintCell(i, p, shade, seen) {
    const { context } = this;
    const [wide, high] = this.cell;
    const [x, y] = this.corner(i);
    const colour = this.colours[p.trust] ?? this.colours.starting;
    const hollow = p.trust === "quiet" && high >= MARK_FROM; // told from live by its shape
    const strength = SHADES[shade] * (hollow ? HOLLOW : 1);
    context.clearRect(x, y, ...this.pitch);
    context.globalAlpha = (seen ? 1 : 0.12) * strength;
    context.fillStyle = context.strokeStyle = colour;
    context.fillRect(x, y, wide, high);
    context.globalAlpha = seen ? 1 : 0.2;
    if (hollow) context.strokeRect(x + 0.5, y + 0.5, wide - 1, high - 1);
    const ink = this.inks[`${colour}${strength}`] ??= legible(colour, strength, this.colours.panel);
    if (high + 2 >= LABEL_FROM) this.paintLabel(x, y, p, ink);
    if (!TRUSTED.has(p.trust) && high >= MARK_FROM) this.paintMark(x, y, p.trust, ink);
    if (i === this.cursor) {
      context.globalAlpha = 1;
      context.strokeStyle = this.colours.focus;
      context.lineWidth = 2;
      context.strokeRect(x + 1, y + 1, wide - 2, high - 2);
      context.lineWidth = 1;
    }
    context.globalAlpha = 1;
  }

  paintLabel(x, y, p, ink) {
    const { context } = this;
    const [wide, high] = this.cell;
    const room = TRUSTED.has(p.trust) ? wide : wide - high;
    context.fillStyle = ink;
    const size = Math.min(12, Math.max(8, high * 0.62));
    context.font = `600 ${size}px ui-sans-serif, system-ui, sans-serif`;
    context.textAlign = "center";
    context.textBaseline = "middle";
    const fitting = Math.floor(room / (size * 0.7));
    if (fitting < MIN_LABEL) return;
    context.fillText(p.id.split("-")[0].slice(0, fitting), x + wide - room / 2, y + high / 2 + 0.5, room - 2);
  }

  /** Not by colour alone: an exclamation mark for what is behind, a cross for stale or delisted, bars for halted. */
  paintMark(cornerX, y, trust, ink) {
    const { context } = this;
    const size = this.cell[1];
    const x = this.cell[0] > 1.5 * size ? cornerX : cornerX + (this.cell[0] - size) / 2;
    const [left, middle, right] = [x + size * 0.28, x + size / 2, x + size * 0.72];
    const [top, centre, bottom] = [y + size * 0.24, y + size / 2, y + size * 0.76];
    context.strokeStyle = ink;
    context.lineWidth = Math.max(1.4, size / 9);
    context.beginPath();
    if (trust === "behind") {
      context.moveTo(middle, top);
      context.lineTo(middle, y + size * 0.58);
      context.moveTo(middle, bottom - context.lineWidth * 0.6);
      context.lineTo(middle, bottom + context.lineWidth * 0.4);
    } else if (trust === "stale" || trust === "delisted") {
      context.moveTo(left, top);
      context.lineTo(right, bottom);
      context.moveTo(right, top);
      context.lineTo(left, bottom);
    } else if (OFF_THE_MARKET.has(trust)) {
      context.moveTo(x + size * 0.38, top);
      context.lineTo(x + size * 0.38, bottom);
      context.moveTo(x + size * 0.62, top);
      context.lineTo(x + size * 0.62, bottom);
    } else {
      context.arc(middle, centre, size * 0.2, 0, 2 * Math.PI);
    }
    context.stroke();
    context.lineWidth = 1;
  }

  at(event) {
    const column = Math.floor(event.offsetX / this.pitch[0]);
    const index = Math.floor(event.offsetY / this.pitch[1]) * this.columns + column;
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
      this.open(Math.max(0, this.cursor));
    } else {
      return;
    }
    event.preventDefault();
    if (this.cursor < 0) return;
    const [, top] = this.corner(this.cursor);
    const window = this.canvas.parentElement;
    window.scrollTop = Math.max(top + this.pitch[1] - window.clientHeight, Math.min(window.scrollTop, top));
    setText($("map-said"), this.say(this.products.list[this.cursor]).join(", "));
  }

  open(index) {
    if (index >= 0) view.set({ open: this.products.list[index].id });
  }

  say(p) {
    const now = clock();
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
    const [x, y] = this.corner(this.cursor);
    const { offsetLeft, offsetTop, clientWidth } = this.canvas.parentElement;
    const right = x > clientWidth / 2;
    tip.style.left = right ? "" : `${offsetLeft + x + this.cell[0] + 8}px`;
    tip.style.right = right ? `${clientWidth - x + 8}px` : "";
    tip.style.top = `${offsetTop + Math.max(0, y - this.canvas.parentElement.scrollTop - 10)}px`;
  }
}

/** The ink that is read best on a colour of that strength over the panel. */
function legible(colour, strength, panel) {
  const luminance = (rgb) => 0.2126 * linear(rgb[0]) + 0.7152 * linear(rgb[1]) + 0.0722 * linear(rgb[2]);
  const [over, under] = [channels(colour), channels(panel)];
  const ground = luminance(over.map((value, i) => value * strength + under[i] * (1 - strength)));
  const contrast = (ink) => {
    const own = luminance(channels(ink));
    return (Math.max(ground, own) + 0.05) / (Math.min(ground, own) + 0.05);
  };
  return contrast(INKS[0]) >= contrast(INKS[1]) ? INKS[0] : INKS[1];
}

const channels = (hex) => [1, 3, 5].map((at) => Number.parseInt(hex.slice(at, at + 2), 16) / 255);
const linear = (value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);

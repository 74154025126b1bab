// The last hour of each product in sight, a price a minute.

import { Source } from "./api.js";

const EVERY_MS = 30_000;
const MAX_PRODUCTS = 100;
const NONE = { version: 0, prices: [] };
const WIDTH = 84;
const HEIGHT = 18;

export class Sparklines {
  constructor(wanted, onChange) {
    this.lines = new Map();
    this.shown = [];
    this.source = new Source(
      () => `/sparklines?products=${this.shown.map(encodeURIComponent).join(",")}`, EVERY_MS,
      (body) => {
        const version = performance.now();
        this.lines = new Map(Object.entries(body.prices).map(([id, prices]) => [id, { version, prices }]));
        onChange();
      },
      { wanted: () => this.shown.length > 0 && wanted() },
    );
  }

  /** Say which products are in sight; those that are new are asked for at once. */
  show(ids) {
    this.shown = ids.slice(0, MAX_PRODUCTS);
    if (this.shown.every((id) => this.lines.has(id)) || performance.now() < this.source.dueAt - EVERY_MS + 1000) return;
    this.source.poke();
  }

  of(id) {
    return this.lines.get(id) ?? NONE;
  }
}

/** A line from left (an hour ago) to right (now), with holes where nothing is known. */
export function paintSparkline(canvas, prices) {
  const ratio = Math.min(2, devicePixelRatio || 1);
  canvas.width = WIDTH * ratio;
  canvas.height = HEIGHT * ratio;
  const known = prices.filter((price) => price !== null);
  if (known.length < 2) return;
  const context = canvas.getContext("2d");
  context.scale(ratio, ratio);
  const lowest = Math.min(...known);
  const span = Math.max(...known) - lowest;
  const style = getComputedStyle(canvas);
  context.strokeStyle = known.at(-1) >= known[0] ? style.getPropertyValue("--up") : style.getPropertyValue("--down");
  context.lineWidth = 1.2;
  context.lineJoin = "round";
  context.beginPath();
  let pen = false;
  prices.forEach((price, i) => {
    if (price === null) {
      pen = false;
      return;
    }
    const x = 1 + (i * (WIDTH - 2)) / (prices.length - 1);
    const y = span ? HEIGHT - 2 - ((price - lowest) * (HEIGHT - 4)) / span : HEIGHT / 2;
    if (pen) context.lineTo(x, y);
    else context.moveTo(x, y);
    pen = true;
  });
  context.stroke();
}

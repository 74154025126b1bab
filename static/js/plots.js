// The plots over time, one above the other, with one crosshair: the only module that calls uPlot.

import { marked } from "./annotations.js";
import { build, make, setText } from "./dom.js";
import { localTime } from "./entries.js";
import { count, milliseconds } from "./format.js";

const { uPlot } = globalThis;
const AXIS_WIDTH = 56;
const AXIS_HEIGHT = 22;
const MARGIN_RIGHT = 10;
const LEAST_FOR_THREE = 270; // pixels of height; with less there is no room for the third plot
const FONT = "11px ui-sans-serif, system-ui, sans-serif";
const [THICK, THIN] = [2, 1]; // pixels
const LINE_PITCH = 4; // pixels: lines that are nearer become one
const FEW = 40; // points: as few are marked one by one, for a lone one makes no line

const rate = (value) => `${count(value)}/s`;

// name in GET /history, label, colour variable, width: lines are told apart by width, too
const PLOTS = [
  {
    title: "Latency", share: 0.42, format: milliseconds, logarithmic: true,
    series: [
      ["exchange_to_hub_p50_ms", "to hub p50", "--c-one", THICK], ["exchange_to_hub_p99_ms", "p99", "--c-one", THIN],
      ["hub_to_written_p50_ms", "written p50", "--c-two", THICK], ["hub_to_written_p99_ms", "p99", "--c-two", THIN],
    ],
  },
  {
    title: "Throughput", share: 0.33, format: rate,
    series: [["messages_per_second", "messages", "--c-one", THICK], ["ticks_per_second", "ticks", "--c-two", THIN]],
  },
  {
    title: "State", share: 0.25, format: count, whole: true, stepped: true,
    series: [
      ["trouble", "in trouble", "--c-bad", THICK], ["open_gaps", "open gaps", "--c-three", THIN],
      ["connected", "connections up", "--c-one", THIN],
    ],
  },
];

export class Plots {
  constructor(host) {
    this.host = host;
    this.history = null;
    this.drawn = [];
    this.onLayout = () => {};
    this.onCursor = () => {};
    this.index = null; // of the crosshair; null: it is not there
    this.panes = PLOTS.map((plot) => makePane(plot));
    host.append(...this.panes.map((pane) => pane.element));
    new ResizeObserver(() => this.relayout()).observe(host);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.build());
    matchMedia("(prefers-contrast: more)").addEventListener("change", () => this.build());
  }

  /** Draw this history from now on. */
  show(history) {
    this.history = history;
    if (!this.drawn.length) return void this.build();
    this.drawn.forEach((plot, i) => plot.setData(this.data(i)));
    this.readOut();
    this.onLayout();
  }

  data(i) {
    return [this.history.times, ...PLOTS[i].series.map(([name]) => this.history.column(name))];
  }

  /** [left edge, width] of the plotting area in pixels of the host, null before there is one. */
  area() {
    const [plot] = this.drawn;
    return plot ? [AXIS_WIDTH, plot.width - AXIS_WIDTH - MARGIN_RIGHT] : null;
  }

  heights() {
    const total = this.host.clientHeight - AXIS_HEIGHT;
    const shown = this.host.clientHeight < LEAST_FOR_THREE ? 2 : 3;
    const shares = PLOTS.slice(0, shown).reduce((sum, plot) => sum + plot.share, 0);
    return PLOTS.slice(0, shown).map((plot, i) => {
      const line = this.panes[i].line.offsetHeight || 18;
      return Math.max(30, Math.floor((total * plot.share) / shares) - line) + (i === shown - 1 ? AXIS_HEIGHT : 0);
    });
  }

  relayout() {
    if (!this.history || this.host.clientWidth < 50) return;
    this.panes[2].element.hidden = this.host.clientHeight < LEAST_FOR_THREE;
    const heights = this.heights();
    if (heights.length !== this.drawn.length) return void this.build();
    this.drawn.forEach((plot, i) => plot.setSize({ width: this.host.clientWidth, height: heights[i] }));
    this.onLayout();
  }

  build() {
    if (!this.history || this.host.clientWidth < 50) return;
    for (const plot of this.drawn) plot.destroy();
    this.panes[2].element.hidden = this.host.clientHeight < LEAST_FOR_THREE;
    const style = getComputedStyle(this.host);
    const colour = (name) => style.getPropertyValue(name).trim();
    const heights = this.heights();
    this.drawn = heights.map((height, i) => {
      const last = i === heights.length - 1;
      return new uPlot(this.options(PLOTS[i], height, last, colour), this.data(i), this.panes[i].canvas);
    });
    this.readOut();
    this.onLayout();
  }

  options(plot, height, last, colour) {
    const axis = {
      stroke: colour("--muted"), font: FONT, grid: { stroke: colour("--c-grid"), width: 1 }, ticks: { show: false },
    };
    return {
      width: this.host.clientWidth,
      height,
      padding: [6, MARGIN_RIGHT, last ? 0 : 4, 0],
      legend: { show: false },
      cursor: { sync: { key: "history" }, drag: { x: false, y: false }, y: false, points: { size: 6 } },
      scales: {
        x: { range: () => [this.history.begin, this.history.end] },
        y: plot.logarithmic ? { distr: 4, asinh: 1, range: (u, low, high) => latencyRange(low, high) } : { range: (u, low, high) => fromZero(high) },
      },
      axes: [
        { ...axis, show: last, size: AXIS_HEIGHT, space: 70, gap: 4, values: (u, splits) => splits.map((at) => this.clock(at)) },
        {
          ...axis, size: AXIS_WIDTH, gap: 6, space: 24,
          ...(plot.logarithmic ? { splits: (u, i, low, high) => decades(low, high, u.height), filter: (u, splits) => splits } : {}),
          ...(plot.whole ? { incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000] } : {}),
          values: (u, splits) => splits.map((value) => (plot.logarithmic ? shortMilliseconds(value) : count(value))),
        },
      ],
      series: [{}, ...plot.series.map(([name, , variable, width]) => ({
        label: name, stroke: colour(variable), width, points: { show: (u, i, from, to) => to - from < FEW, size: 4 },
        spanGaps: false, paths: plot.stepped ? uPlot.paths.stepped({ align: 1 }) : undefined,
      }))],
      hooks: {
        drawAxes: [(u) => this.drawAnnotations(u, colour)],
        setCursor: [(u) => { if (u === this.drawn[0]) this.point(u.cursor.idx); }],
      },
    };
  }

  /** A vertical line for each annotation. */
  drawAnnotations(u, colour) {
    const { ctx, bbox } = u;
    const colours = { bad: colour("--bad"), warn: colour("--warn"), ok: colour("--ok") };
    ctx.save();
    ctx.lineWidth = 1;
    ctx.globalAlpha = 0.45;
    let drawn = -LINE_PITCH;
    for (const { at, tone } of marked(this.history)) {
      const x = Math.round(u.valToPos(Math.min(at, this.history.end), "x", true)) + 0.5;
      if (x - drawn < LINE_PITCH) continue;
      drawn = x;
      ctx.strokeStyle = colours[tone] ?? colour("--muted");
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
    }
    ctx.restore();
  }

  point(index) {
    this.index = index ?? null;
    this.readOut();
    this.onCursor();
  }

  /** Move the crosshair by a number of points, from its place or the newest point; null takes it away. */
  move(steps) {
    if (!this.drawn.length || !this.history.times.length) return;
    const last = this.history.times.length - 1;
    const index = steps === null ? null : Math.max(0, Math.min(last, (this.index ?? last) + steps));
    for (const plot of this.drawn) {
      const left = index === null ? -10 : plot.valToPos(this.history.times[index], "x");
      plot.setCursor({ left, top: index === null ? -10 : plot.over.clientHeight / 2 });
    }
  }

  /** Where the readout is: a point's index, the newest one without a crosshair. */
  at() {
    const last = this.history.times.length - 1;
    return this.index === null ? last : Math.min(this.index, last);
  }

  readOut() {
    const index = this.at();
    this.panes.forEach(({ values }, i) => {
      PLOTS[i].series.forEach(([name], k) => {
        const value = this.history.columns[name]?.[index] ?? null;
        setText(values[k], value === null ? "–" : PLOTS[i].format(value));
      });
    });
  }

  /** The readout in words, for those who can't see it. */
  words() {
    const parts = PLOTS.map((plot, i) => {
      const said = plot.series.map(([name], k) => `${name.replace(/_ms$/, "").replaceAll("_", " ")} ${this.panes[i].values[k].textContent}`);
      return said.join(", ");
    });
    return parts.join("; ");
  }

  /** The axis's label of a moment; none where the edge would cut it. */
  clock(at) {
    if (this.history.end - at < this.history.seconds * 0.04) return "";
    const text = localTime(at * 1000);
    if (this.history.seconds <= 600) return text.slice(-8);
    return text.slice(-8, -3);
  }
}

function makePane(plot) {
  const values = plot.series.map(() => make("b", "–"));
  const keys = plot.series.map(([, label, variable, width], k) => {
    const swatch = make("i");
    swatch.style.borderTopColor = `var(${variable})`;
    swatch.style.borderTopWidth = `${width}px`;
    return build("span", "key", swatch, label, " ", values[k]);
  });
  const line = build("p", "keys", make("strong", plot.title), ...keys);
  const canvas = make("div", "", "canvas-host");
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", `${plot.title} over time`);
  return { element: build("div", "plot", line, canvas), line, canvas, values };
}

const shortMilliseconds = (value) => (Math.abs(value) >= 1000 ? `${value / 1000} s` : `${value} ms`);

/** From zero (or below: two clocks can differ) to the next decade. */
function latencyRange(low, high) {
  const decade = (value) => 10 ** Math.max(1, Math.ceil(Math.log10(Math.max(1, value)) - 0.001));
  return [low < 0 ? -decade(-low) : 0, decade(high ?? 1)];
}

function decades(low, high, height) {
  const found = low < 0 ? [0] : []; // zero is the bottom line else, and too near to 1 for a label
  for (let value = 1; value <= high; value *= 10) found.push(value);
  for (let value = 1; value <= -low; value *= 10) found.unshift(-value);
  const room = Math.max(2, Math.floor(height / 20));
  const skip = Math.ceil(found.length / room);
  return found.filter((value, i) => (found.length - 1 - i) % skip === 0);
}

function fromZero(high) {
  return [0, Math.max(1, (high ?? 0) * 1.1)];
}

// A line of the last two minutes, one sample a second, with holes where nothing was known.

const WINDOW_MS = 120_000;
const WIDTH = 120;
const HEIGHT = 32;
const HOLE_MS = 3500;

export class Sparkline {
  constructor(svg) {
    this.line = svg.querySelector(".line");
    this.area = svg.querySelector(".area");
    this.samples = [];
  }

  /** Add a value of now; returns the highest of the window. */
  add(value) {
    const now = performance.now();
    this.samples.push([now, value]);
    while (this.samples[0][0] < now - WINDOW_MS) this.samples.shift();
    const highest = Math.max(...this.samples.map(([, sample]) => sample));
    const scale = (HEIGHT - 3) / (highest || 1);
    let line = "";
    let area = "";
    let previous = null;
    let x = 0;
    for (const [at, sample] of this.samples) {
      const here = (WIDTH * (1 - (now - at) / WINDOW_MS)).toFixed(2);
      const y = (HEIGHT - 1 - sample * scale).toFixed(2);
      if (previous === null || at - previous > HOLE_MS) {
        if (previous !== null) area += `V${HEIGHT}z`;
        line += `M${here} ${y}`;
        area += `M${here} ${HEIGHT}V${y}`;
      } else {
        line += `L${here} ${y}`;
        area += `L${here} ${y}`;
      }
      previous = at;
      x = here;
    }
    this.line.setAttribute("d", line);
    this.area.setAttribute("d", area && `${area}H${x}V${HEIGHT}z`);
    return highest;
  }
}

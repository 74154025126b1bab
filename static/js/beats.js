// The heartbeat bar: a cell a second, the last minute. Height and place tell what colour tells too. One path a kind: a row
// costs six attributes a second, and its colours follow the page's without being asked for.

import { makeSvg } from "./dom.js";

const SECONDS = 60;
const HEIGHT = 16;
const CELL = 0.667; // of a second's width; the rest is the gap
const KINDS = { // letter of `beats`: [name, top, height]
  d: ["ticks", 0, 16],
  h: ["heartbeats only", 8, 8],
  s: ["silent", 13, 3],
  c: ["connecting", 5, 6],
  x: ["down", 0, 6],
};

const painted = new WeakMap();

export function makeBeats() {
  const svg = makeSvg("svg", "beats");
  svg.setAttribute("viewBox", `0 0 ${SECONDS} ${HEIGHT}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", "Last minute: nothing is known");
  for (const letter of Object.keys(KINDS)) svg.append(makeSvg("path", `beat-${letter}`));
  return svg;
}

/** Paint `beats` (60 letters, oldest first) into a bar; a second that is not known stays empty. */
export function paintBeats(svg, beats) {
  if (painted.get(svg) === beats) return;
  painted.set(svg, beats);
  const said = [];
  Object.entries(KINDS).forEach(([letter, [name, top, height]], i) => {
    let path = "";
    let seconds = 0;
    for (let at = beats.indexOf(letter); at >= 0; at = beats.indexOf(letter, at + 1)) {
      path += `M${at} ${top}h${CELL}v${height}h-${CELL}z`;
      seconds += 1;
    }
    svg.children[i].setAttribute("d", path);
    if (seconds) said.push(`${name} in ${seconds} s`);
  });
  const text = said.join(", ") || "nothing is known";
  svg.setAttribute("aria-label", `Last minute: ${text}`);
  svg.parentElement.title = text;
}

/** What each kind looks like, for whoever reads the bar for the first time. */
export function makeLegend() {
  const list = document.createElement("ul");
  list.className = "beats-legend";
  for (const [letter, [name, top, height]] of Object.entries(KINDS)) {
    const svg = makeSvg("svg", "beats");
    svg.setAttribute("viewBox", `0 0 4 ${HEIGHT}`);
    svg.setAttribute("aria-hidden", "true");
    const path = makeSvg("path", `beat-${letter}`);
    path.setAttribute("d", `M0 ${top}h4v${height}h-4z`);
    svg.append(path);
    const item = document.createElement("li");
    item.append(svg, ` ${name}`);
    list.append(item);
  }
  return list;
}

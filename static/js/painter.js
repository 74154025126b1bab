// When panels paint: at most ten times a second, and none that is out of sight.

import { isFrozen } from "./clock.js";

const PAINT_EVERY_MS = 100;

const panels = new Map();
const dirty = new Set();
let timer = 0;
let lastPaint = 0;

const inSight = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    const panel = panels.get(target);
    panel.inSight = isIntersecting;
    if (isIntersecting && dirty.has(panel)) schedule();
  }
}, { rootMargin: "50px" });

function schedule() {
  if (timer) return;
  const wait = Math.max(0, lastPaint + PAINT_EVERY_MS - performance.now());
  timer = setTimeout(() => requestAnimationFrame(paint), wait);
}

function paint() {
  timer = 0;
  lastPaint = performance.now();
  for (const panel of [...dirty]) {
    if (!panel.inSight) continue;
    dirty.delete(panel);
    try {
      if (panel.paint()) dirty.add(panel); // there is more to do, though nothing new may come
    } catch (error) {
      reportError(error); // the other panels go on
    }
  }
  if ([...dirty].some((panel) => panel.inSight)) schedule();
}

/**
 * Register a panel; returns {request, inSight, awake}: ask for paint() to be called soon; whether anybody sees it; whether
 * it is to be fed (not while the reader has paused: what is there still scrolls, sorts and filters).
 */
export function panel(element, paintIt) {
  const entry = { paint: paintIt, inSight: false };
  panels.set(element, entry);
  inSight.observe(element);
  return {
    request() {
      dirty.add(entry);
      if (entry.inSight) schedule();
    },
    inSight: () => entry.inSight && !document.hidden,
    awake: () => entry.inSight && !document.hidden && !isFrozen(),
  };
}

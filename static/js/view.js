// What the reader has chosen: filter, order, range, open drawer. The URL holds it, so that a view can be sent.

import { textOf } from "./format.js";

const DEFAULTS = { q: "", sort: "-volume", range: "5m", open: "" };
const state = { ...DEFAULTS };
const listeners = [];

function read() {
  const given = new URLSearchParams(location.hash.slice(1));
  for (const key of Object.keys(DEFAULTS)) state[key] = (given.get(key) ?? DEFAULTS[key]).slice(0, 200);
}

function write(push) {
  const kept = new URLSearchParams();
  for (const [key, value] of Object.entries(state)) if (value !== DEFAULTS[key]) kept.set(key, value);
  const hash = kept.size ? `#${kept}` : "";
  if (hash === location.hash) return;
  const url = location.pathname + location.search + hash;
  if (push) history.pushState(null, "", url);
  else history.replaceState(null, "", url);
}

function tell(changed) {
  terms = state.q.toUpperCase().split(/[\s,]+/).filter(Boolean);
  for (const listener of listeners) listener(changed);
}

let terms = [];

export const view = {
  get: (key) => state[key],
  /** Change some of it. What opens or closes the drawer is a step that the browser's back button takes back. */
  set(changes) {
    const changed = Object.keys(changes).filter((key) => state[key] !== changes[key]);
    if (!changed.length) return;
    Object.assign(state, changes);
    write(changed.includes("open"));
    tell(changed);
  },
  /** Call `listener(changed keys)` after each change. */
  on: (listener) => { listeners.push(listener); },
  /** Whether the filter lets something through that is known by any of these texts; each word of it is an alternative. */
  matches: (...texts) => !terms.length || texts.some((text) => {
    const upper = textOf(text).toUpperCase();
    return terms.some((term) => upper.includes(term));
  }),
  filtering: () => terms.length > 0,
};

read();
tell([]);
for (const event of ["popstate", "hashchange"]) { // going back brings both
  addEventListener(event, () => {
    const before = { ...state };
    read();
    const changed = Object.keys(DEFAULTS).filter((key) => state[key] !== before[key]);
    if (changed.length) tell(changed);
  });
}

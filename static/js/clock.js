// The hub's wall clock as far as this browser knows it: ages must not depend on how this machine's clock is set.

const TRUSTED_ROUND_TRIP_MS = 1000;

let offsetMs = 0;
let frozenAt = null; // [performance.now(), Date.now()] of the moment when the reader paused

/** Stop the page's time, or let it go on: while it stands, nothing that is shown gets older. */
export function freeze(wanted) {
  frozenAt = wanted ? [performance.now(), Date.now()] : null;
}

export const isFrozen = () => frozenAt !== null;

/** performance.now(), for what is shown. */
export const now = () => (frozenAt ? frozenAt[0] : performance.now());

/** Learn from an answer that carries the server's time, asked at `asked` and received at `received` (our clock). */
export function learn(serverTime, asked, received) {
  const server = Date.parse(serverTime);
  if (!Number.isFinite(server) || received - asked > TRUSTED_ROUND_TRIP_MS) return;
  offsetMs = server - (asked + received) / 2;
}

/** The hub's Date.now(); it stands while the page's time does. */
export const hubNow = () => (frozenAt ? frozenAt[1] : Date.now()) + offsetMs;

/** Seconds since a time of the hub's clock, never negative; null if there is none. */
export function secondsSince(time) {
  const at = Date.parse(time ?? "");
  return Number.isFinite(at) ? Math.max(0, (hubNow() - at) / 1000) : null;
}

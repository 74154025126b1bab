// The hub's wall clock as far as this browser knows it: ages must not depend on how this machine's clock is set.

const TRUSTED_ROUND_TRIP_MS = 1000;

let offsetMs = 0;

/** Learn from an answer that carries the server's time, asked at `asked` and received at `received` (our clock). */
export function learn(serverTime, asked, received) {
  const server = Date.parse(serverTime);
  if (!Number.isFinite(server) || received - asked > TRUSTED_ROUND_TRIP_MS) return;
  offsetMs = server - (asked + received) / 2;
}

/** Seconds since a time of the hub's clock, never negative; null if there is none. */
export function secondsSince(time) {
  const at = Date.parse(time ?? "");
  return Number.isFinite(at) ? Math.max(0, (Date.now() + offsetMs - at) / 1000) : null;
}

// The polled half: GET /health and GET /connections, and /tickers while the stream is down.

import { learn } from "./clock.js";
import { exactNumbers } from "./format.js";

const VISIBLE_MS = 1000;
const HIDDEN_MS = 2000;
const TIMEOUT_MS = 4000;
const OVERDUE_MS = 500;

async function getJson(path) {
  const answer = await fetch(path, {
    cache: "no-store",
    headers: { Accept: "application/json" },
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  // /health answers 503 with a full body when it is critical: the body counts. Any other failure is one.
  if (!answer.ok && !(path === "/health" && answer.status === 503)) throw new Error(`${path}: ${answer.status}`);
  return JSON.parse(await answer.text(), exactNumbers);
}

/**
 * Poll for ever. onData({health, connections, tickers}) gets each good answer, onFailure() each failed one;
 * needTickers() says whether prices must be polled too. Returns {lastGood, failing, nudge}: performance.now() of the last
 * good answer, whether the latest one failed, and a function that polls if one is overdue (browsers slow a hidden page's
 * timers down to one a minute; events of the stream still come).
 */
export function startPolling({ onData, onFailure, needTickers }) {
  const state = { lastGood: null, failing: false, nudge };
  let timer = 0;
  let running = false;
  let dueAt = 0;

  function nudge() {
    if (performance.now() > dueAt + OVERDUE_MS) poll();
  }

  async function poll() {
    if (running) return;
    running = true;
    clearTimeout(timer);
    try {
      const asked = Date.now();
      const healthAnswer = getJson("/health").then((health) => {
        learn(health.last_updated, asked, Date.now());
        return health;
      });
      const [health, connections, tickers] = await Promise.all([
        healthAnswer, getJson("/connections"), needTickers() ? getJson("/tickers") : null,
      ]);
      if (typeof health.status !== "string" || !Array.isArray(connections.connections)) throw new Error("not the hub");
      state.lastGood = performance.now();
      state.failing = false;
      onData({ health, connections, tickers });
    } catch {
      state.failing = true;
      onFailure();
    } finally {
      running = false;
      const pause = document.hidden ? HIDDEN_MS : VISIBLE_MS;
      dueAt = performance.now() + pause;
      timer = setTimeout(poll, pause);
    }
  }
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) poll();
  });
  poll();
  return state;
}

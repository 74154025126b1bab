// Reading the public interface: each source is asked again and again, while somebody looks at what it brings.

import { exactNumbers } from "./format.js";

const TIMEOUT_MS = 4000;
const ASLEEP_MS = 250; // between two looks whether anybody wants it now
const HIDDEN_FACTOR = 4; // a hidden page is kept fresh for its title and icon, at leisure
const CLOSED_MS = 60_000; // until it asks again for what a proxy has closed to it

/** GET JSON. /health answers 503 with a full body when it is critical: the body counts. Any other failure throws. */
export async function getJson(path) {
  const answer = await fetch(path, {
    cache: "no-store",
    headers: { Accept: "application/json" },
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  const isJson = answer.headers.get("Content-Type")?.startsWith("application/json");
  if (!answer.ok && !(answer.status === 503 && path === "/health" && isJson)) {
    const body = isJson ? await answer.json().catch(() => ({})) : {};
    const error = new Error(String(body.error ?? `${path} answered ${answer.status}`));
    error.closed = answer.status === 403;
    throw error;
  }
  const text = await answer.text();
  // one product's answer has its digits as JSON numbers; the others are read without the cost of keeping them
  return JSON.parse(text, path.startsWith("/price/") ? exactNumbers : undefined);
}

/**
 * Ask for `path` (a text, or a function that makes it) every `everyMs`, while `wanted()`. `onData(body, asked, received)`
 * gets each good answer (Date.now() around it), `onFailure(error)` each failed request. `lastGood` is performance.now() of
 * the last good one, null before.
 */
export class Source {
  constructor(path, everyMs, onData, { wanted = () => true, onFailure = () => {} } = {}) {
    this.path = typeof path === "function" ? path : () => path;
    this.everyMs = everyMs;
    this.onData = onData;
    this.onFailure = onFailure;
    this.wanted = wanted;
    this.lastGood = null;
    this.failing = false;
    this.running = false;
    this.askedAt = 0;
    this.begunAt = performance.now();
    this.dueAt = 0;
    this.timer = setTimeout(() => this.step(), 0);
  }

  /** Ask now, or right after the request that is under way. */
  poke() {
    this.dueAt = 0;
    if (!this.running) this.step();
  }

  /** Ask if it is overdue: browsers slow a hidden page's timers down to one a minute, while events still come. */
  nudge() {
    if (!this.running && performance.now() > this.dueAt + 500) this.step();
  }

  /** For how long it has been asked in vain; 0 while all is well, also for a page that nobody looked at meanwhile. */
  silentMs() {
    const now = performance.now();
    if (this.failing) return now - (this.lastGood ?? this.begunAt);
    return this.running ? now - this.askedAt : 0;
  }

  async step() {
    clearTimeout(this.timer);
    if (performance.now() < this.dueAt || !this.wanted()) {
      const wait = Math.max(ASLEEP_MS, Math.min(this.dueAt - performance.now(), 1000));
      this.timer = setTimeout(() => this.step(), wait);
      return;
    }
    this.running = true;
    this.askedAt = performance.now();
    this.dueAt = performance.now() + this.everyMs * (document.hidden ? HIDDEN_FACTOR : 1);
    const asked = Date.now();
    let body;
    try {
      body = await getJson(this.path());
      this.lastGood = performance.now();
      this.failing = false;
    } catch (error) {
      this.failing = true;
      if (error.closed) this.dueAt = performance.now() + CLOSED_MS;
      this.onFailure(error);
    } finally {
      this.running = false;
      this.timer = setTimeout(() => this.step(), Math.max(0, this.dueAt - performance.now()));
    }
    if (!this.failing) this.onData(body, asked, Date.now());
  }
}

/** POST an action; resolves to {ok, status, message}. */
export async function post(path, token, body) {
  try {
    const answer = await fetch(path, {
      method: "POST",
      headers: { Accept: "application/json", "Content-Type": "application/json", Authorization: `Bearer ${token}` },
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
    const said = await answer.json().catch(() => ({}));
    return { ok: answer.ok, status: answer.status, message: String(said.message ?? said.error ?? answer.status) };
  } catch (error) {
    return { ok: false, status: 0, message: `the hub did not answer: ${error.message}` };
  }
}

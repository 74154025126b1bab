// The live stream: Socket.IO, asked for the products in sight only, ten times a second at most.

import { exactNumbers } from "./format.js";

const MAX_HZ = 10;
const HIDDEN_HZ = 0.25; // enough to wake what a hidden page's slow timers would leave asleep
const RETRY_MS = 5000;
const SAMPLE_EVERY_MS = 2000;
const CHOOSE_AFTER_MS = 300; // scrolling asks once, at its end

/**
 * Connect to the hub and stay connected. Calls onTick(payload), onTrust(payload) and onChange() when the link goes up or
 * down. Returns {connected, everConnected, roundTripMs, refusal, show(ids)}: read, never written by others; show() says
 * which products are in sight.
 */
export function openStream({ onTick, onTrust, onChange }) {
  const pace = () => (document.hidden ? HIDDEN_HZ : MAX_HZ);
  let shown = new Set();
  let asked = new Set();
  let timer = 0;
  let lastSentAt = null;
  const state = {
    connected: false, everConnected: false, roundTripMs: null, refusal: null, show,
  };
  const socket = globalThis.io({
    transports: ["websocket", "polling"],
    tryAllTransports: true,
    autoConnect: false,
    reconnectionDelay: 500,
    reconnectionDelayMax: 4000,
    timeout: 5000,
    auth: (give) => give({ subscribe: { products: [], max_hz: pace(), batch: true } }),
  });
  // The client's own decoder, told to keep the digits of prices.
  socket.io.decoder = new socket.io.decoder.constructor(exactNumbers);

  function show(ids) {
    shown = new Set(ids);
    if (!timer) timer = setTimeout(choose, CHOOSE_AFTER_MS);
  }

  function choose() {
    timer = 0;
    if (!socket.connected) return;
    const gone = [...asked].filter((id) => !shown.has(id));
    const come = [...shown].filter((id) => !asked.has(id));
    if (gone.length) socket.emit("unsubscribe", { products: gone });
    if (come.length) socket.emit("subscribe", { products: come });
    asked = new Set(shown);
  }

  function change(connected) {
    if (connected === state.connected) return;
    state.connected = connected;
    state.refusal = null;
    state.everConnected ||= connected;
    asked = new Set();
    lastSentAt = null;
    state.roundTripMs = null;
    if (connected) choose();
    onChange();
  }

  function take(payload) {
    if (Number.isInteger(payload.sent_at)) lastSentAt = payload.sent_at;
    onTick(payload);
  }

  socket.on("connect", () => change(true));
  socket.on("disconnect", (reason) => {
    change(false);
    // After an orderly goodbye of the server the client would stay away for good.
    if (reason === "io server disconnect") setTimeout(() => socket.connect(), 500 + Math.random() * 1000);
  });
  socket.on("connect_error", (error) => {
    if (socket.active) return; // it tries again by itself
    state.refusal = error.message;
    setTimeout(() => socket.connect(), RETRY_MS);
  });
  socket.on("ticker_update", take);
  socket.on("ticker_batch", (payloads) => payloads.forEach(take));
  socket.on("trust_update", onTrust);
  document.addEventListener("visibilitychange", () => {
    if (socket.connected) socket.emit("subscribe", { max_hz: pace() });
  });
  setInterval(() => {
    if (lastSentAt === null) state.roundTripMs = null;
    if (!socket.connected || lastSentAt === null || document.hidden) return;
    const at = performance.now();
    // it counts in GET /latency as a round trip, and its answer tells this page's own
    socket.timeout(4000).emit("latency_sample", { sent_at: lastSentAt }, (error) => {
      state.roundTripMs = error ? null : performance.now() - at;
    });
    lastSentAt = null;
  }, SAMPLE_EVERY_MS);
  socket.connect();
  return state;
}

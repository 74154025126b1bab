// The live price stream: Socket.IO's `ticker_update`, `trust_update` and `product_left` events.

import { exactNumbers } from "./format.js";

/**
 * Connect to the hub and stay connected. Calls onTicker, onTrust and onLeft with each event's payload and onChange() when
 * the link goes up or down. Returns the link's state, which is read and never written by others.
 */
export function openStream({ onTicker, onTrust, onLeft, onChange }) {
  const state = { connected: false, everConnected: false, since: performance.now(), lastTick: null };
  const socket = globalThis.io({
    transports: ["websocket", "polling"],
    tryAllTransports: true,
    autoConnect: false,
    reconnectionDelay: 500,
    reconnectionDelayMax: 4000,
    timeout: 5000,
  });
  // The client's own decoder, told to keep the digits of prices.
  socket.io.decoder = new socket.io.decoder.constructor(exactNumbers);

  function change(connected) {
    if (connected === state.connected) return;
    state.connected = connected;
    state.everConnected ||= connected;
    state.since = performance.now();
    onChange();
  }
  socket.on("connect", () => change(true));
  socket.on("disconnect", (reason) => {
    change(false);
    // After an orderly goodbye of the server the client would stay away for good.
    if (reason === "io server disconnect") setTimeout(() => socket.connect(), 500 + Math.random() * 1000);
  });
  socket.on("ticker_update", (payload) => {
    state.lastTick = performance.now();
    onTicker(payload);
  });
  socket.on("trust_update", onTrust);
  socket.on("product_left", onLeft);
  socket.connect();
  return state;
}

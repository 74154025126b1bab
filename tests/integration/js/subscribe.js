// The official client, which says on connecting what it wants. Prints what came first, or why it was refused.
const { io } = require("socket.io-client");

const [url, auth] = process.argv.slice(2);
const report = { connects: 0, events: [], products: [], refused: null };

const socket = io(url, { auth: JSON.parse(auth), reconnection: false });
socket.on("connect", () => { report.connects += 1; });
socket.on("connect_error", (error) => { report.refused = error.message; end(); });
socket.onAny((event, payload) => {
  report.events.push(event);
  for (const tick of Array.isArray(payload) ? payload : [payload]) report.products.push(tick.crypto);
  if (report.events.length === 3) end();
});
setTimeout(end, 15000);

function end() {
  console.log(JSON.stringify(report));
  process.exit(0);
}

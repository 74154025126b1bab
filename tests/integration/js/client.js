// The official client as frontends and Node scripts use it: connects, checks every tick, prints one JSON report.
const { io } = require("socket.io-client");

const [url, transports] = process.argv.slice(2);
const NUMBERS = ["price", "bid", "ask", "volume_24h", "price_24h", "low_24h", "high_24h", "price_change_24h",
  "price_change_percent_24h", "last_size", "sequence"];
const WANTED = 326 + 1000;
const report = { ticks: 0, products: 0, notNumbers: [], outOfOrder: 0, connects: 0 };
const last = new Map();

const socket = io(url, { transports: transports.split(","), reconnection: false });
socket.on("connect", () => { report.connects += 1; });
socket.on("connect_error", (error) => fail(`connect_error: ${error.message}`));
socket.on("disconnect", (reason) => fail(`disconnect: ${reason}`));
socket.on("ticker_update", (tick) => {
  for (const name of NUMBERS) {
    if (typeof tick[name] !== "number" || !Number.isFinite(tick[name])) report.notNumbers.push([name, tick[name]]);
  }
  tick.price.toFixed(2);
  const before = last.get(tick.crypto);
  if (before !== undefined && tick.trade_id !== before + 1) report.outOfOrder += 1;
  last.set(tick.crypto, tick.trade_id);
  report.ticks += 1;
  if (report.ticks === WANTED) {
    report.products = last.size;
    console.log(JSON.stringify(report));
    process.exit(0);
  }
});
setTimeout(() => fail(`only ${report.ticks} ticks`), 30000);

function fail(message) {
  console.error(message, JSON.stringify(report));
  process.exit(1);
}

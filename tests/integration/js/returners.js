// Many official clients with their own ways of coming back. Prints what happens to each, a JSON line an event.
const { io } = require("socket.io-client");

const [url, count] = process.argv.slice(2);
const WAYS = [undefined, ["websocket"]];

for (let id = 0; id < Number(count); id += 1) {
  const transports = WAYS[id % WAYS.length];
  const socket = io(url, { forceNew: true, ...(transports && { transports }) });
  const tell = (what, data) => console.log(JSON.stringify({ id, what, data, at: Date.now() / 1000 }));
  socket.on("connect", () => tell("connect"));
  socket.on("hub_stopping", (data) => tell("hub_stopping", data));
  socket.on("disconnect", (reason) => tell("disconnect", reason));
  let ticks = 0;
  socket.on("ticker_update", () => { if ((ticks += 1) === 1) tell("tick"); });
}

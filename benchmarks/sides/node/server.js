// Node's socket.io, as one would write it:  node server.js TICKS
// GET /go?seconds=S&burst=N: emit N ticks, again once every client's socket has taken them.
"use strict";

const fs = require("fs");
const http = require("http");
const { Server } = require("socket.io");

const ticks = JSON.parse(fs.readFileSync(process.argv[2])).map(([text]) => JSON.parse(text));
let next = 0;

const server = http.createServer((request, response) => {
  const url = new URL(request.url, "http://localhost");
  const answer = (body) => response.end(JSON.stringify(body));
  if (url.pathname === "/crowd") answer({ clients: io.engine.clientsCount });
  if (url.pathname === "/go") go(Number(url.searchParams.get("seconds")), Number(url.searchParams.get("burst")), answer);
});
const io = new Server(server, { transports: ["websocket"], cors: { origin: "*" } });

function go(seconds, burst, answer) {
  const clients = Object.values(io.engine.clients);
  const end = performance.now() + seconds * 1000;
  let sent = 0;
  const drained = () =>
    clients.every((client) => client.writeBuffer.length === 0 && client.transport.socket.bufferedAmount === 0);
  const step = () => {
    if (drained()) {
      if (performance.now() >= end) return answer({ sent });
      for (let i = 0; i < burst; i++) {
        const tick = ticks[next++ % ticks.length];
        tick.sent_at = Date.now();
        io.emit("ticker_update", tick);
      }
      sent += burst;
    }
    setImmediate(step);
  };
  step();
}

server.listen(0, "127.0.0.1", 1024, () => console.log(server.address().port));

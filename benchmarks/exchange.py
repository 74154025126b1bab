"""An exchange that is never what is measured: the simulator's frames, sent as fast as they are taken, or paced.

Run:  python -m benchmarks.exchange PRODUCTS   → {"ws_url": …, "rest_url": …}, then an answer for each line:

rate N     from now on N ticks a second over all products, each stamped and written at its own moment; Zipf-spread
flood      from now on as many as each connection takes, evenly over its products
stop       no more ticks; heartbeats go on
sent       {"ticks": since the start, "last_ids": {product: trade id}, "cpu": seconds}

The simulator itself is no measure: it sends every 10 ms, with the times of the 10 ms before, and cuts whoever lags.
Connections that ask as Advanced Trade does (``"channel": "ticker"``) are sent its form of the same ticks.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import random
import socket
import sys
import time
from typing import Any

import orjson

from hub import green, wire
from hub.simulator.market import Instrument, activity_weights, fixed, heartbeat_frame, time_text
from hub.simulator.products import listing_row, make_products
from hub.simulator.protocol import ack_frame

CHUNK = 50  # frames a write, in a flood
SEND_BUFFER_BYTES = 1 << 17
EXPONENT = 1.1
HEARTBEAT_SECONDS = 1.0
SHORTEST_SLEEP_SECONDS = 0.0005


def advanced_frame(instrument: Instrument, number: int) -> bytes:
    """Return the instrument's last trade as Advanced Trade's ``ticker`` channel tells it."""
    product, decimals = instrument.product, instrument.decimals
    return (
        f'{{"channel":"ticker","client_id":"","timestamp":"{time_text(instrument.time_us)}","sequence_num":{number},'
        f'"events":[{{"type":"update","tickers":[{{"type":"ticker","product_id":"{product.id}",'
        f'"price":"{fixed(instrument.price, decimals)}","volume_24_h":"{fixed(instrument.volume, 8)}",'
        f'"low_24_h":"{instrument.low_text}","high_24_h":"{instrument.high_text}","low_52_w":"{instrument.low_text}",'
        f'"high_52_w":"{instrument.high_text}","price_percent_chg_24_h":"0.1234",'
        f'"best_bid":"{fixed(instrument.bid, decimals)}","best_bid_quantity":"{fixed(instrument.size, 8)}",'
        f'"best_ask":"{fixed(instrument.ask, decimals)}","best_ask_quantity":"{fixed(instrument.size, 8)}"}}]}}]}}'
    ).encode()


class Exchange:
    """The market and its connections; all of it on one loop."""

    def __init__(self, products: int) -> None:
        self.rng = random.Random(1)
        wanted, _ = make_products(products, "USD", self.rng)
        self.weights = activity_weights(products, EXPONENT)
        self.instruments = {
            product.id: Instrument(product, weight, self.rng, time.time())
            for product, weight in zip(wanted, self.weights, strict=True)
        }
        stats = {name: {"stats_24hour": {"volume": "1", "last": "1"}} for name in self.instruments}
        self.listings = {
            "/products": orjson.dumps([listing_row(product) for product in wanted]),
            "/products/stats": orjson.dumps(stats),
        }
        self.listeners: dict[str, Connection] = {}
        self.ticks = 0
        self.flooding = False
        self._rate = 0.0
        self._pacer: asyncio.Task[None] | None = None

    def trade(self, instrument: Instrument) -> bytes:
        """Let a trade happen now; return its frame's text."""
        self.ticks += 1
        return instrument.trade(self.rng, int(time.time() * 1e6)).frame

    def command(self, line: str) -> dict[str, Any]:
        """Do what a line of standard input asks for."""
        name, *rest = line.split()
        if name == "sent":
            ids = {item.product.id: item.trade_id for item in self.instruments.values()}
            return {"ticks": self.ticks, "last_ids": ids, "cpu": time.process_time()}
        if self._pacer is not None:
            self._pacer.cancel()
            self._pacer = None
        self.flooding = name == "flood"
        if name == "rate":
            self._pacer = asyncio.get_running_loop().create_task(self._pace(float(rest[0])))
        if self.flooding:
            for connection in set(self.listeners.values()):
                connection.flood()
        return {"now": time.monotonic()}

    async def _pace(self, rate: float) -> None:
        instruments, begun, made = list(self.instruments.values()), time.monotonic(), 0
        total = [sum(self.weights[: index + 1]) for index in range(len(self.weights))]
        while True:
            due = int((time.monotonic() - begun) * rate)
            for instrument in self.rng.choices(instruments, cum_weights=total, k=due - made):
                if (listener := self.listeners.get(instrument.product.id)) is not None:
                    listener.write(wire.text_frame(self.trade(instrument)))
            made = due
            await asyncio.sleep(max(SHORTEST_SLEEP_SECONDS, begun + (made + 1) / rate - time.monotonic()))

    async def beat(self) -> None:
        """Send every product's heartbeat once a second, spread over it."""
        items, begun, made = list(self.instruments.values()), time.monotonic(), 0
        while True:
            due = int((time.monotonic() - begun) / HEARTBEAT_SECONDS * len(items))
            for number in range(made, due):
                item = items[number % len(items)]
                listener = self.listeners.get(item.product.id)
                if listener is not None and not listener.advanced:
                    when = time_text(int(time.time() * 1e6))
                    frame = heartbeat_frame(item.product.id, item.trade_id, item.sequence, when)
                    listener.write(wire.text_frame(frame))
            made = due
            await asyncio.sleep(SHORTEST_SLEEP_SECONDS)


class Connection(asyncio.Protocol):
    """A request, or a WebSocket that subscribes."""

    transport: asyncio.Transport

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._data = b""
        self._upgraded = self._full = False
        self._number = 0
        self._products: list[Instrument] = []
        self.advanced = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        sock = transport.get_extra_info("socket")
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)

    def connection_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - the protocol's signature
        """End."""
        for product_id, listener in list(self._exchange.listeners.items()):
            if listener is self:
                del self._exchange.listeners[product_id]

    def data_received(self, data: bytes) -> None:
        """Take a request's head, or a client's frames."""
        self._data += data
        if not self._upgraded:
            if b"\r\n\r\n" not in self._data:
                return
            head, _, self._data = self._data.partition(b"\r\n\r\n")
            self._answer(head.decode())
        while self._upgraded and (message := self._next_message()) is not None:
            if message:
                self._subscribe(orjson.loads(message))

    def _answer(self, head: str) -> None:
        first, *lines = head.split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if fields.get("upgrade", "").lower() == "websocket":
            digest = hashlib.sha1((fields["sec-websocket-key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode())
            self.write(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: %b\r\n\r\n" % base64.b64encode(digest.digest())
            )
            self._upgraded = True
            return
        body = self._exchange.listings.get(first.split()[1], b"[]")
        self.write(
            b"HTTP/1.1 200 OK\r\nX-Simulated: true\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
            % (len(body), body)
        )

    def _next_message(self) -> bytes | None:
        """Return the next text of the client (empty for other frames), None if it is not there yet."""
        data = self._data
        if len(data) < 2:
            return None
        size, at = data[1] & 127, 2
        if size >= 126:
            at = 4 if size == 126 else 10
            size = int.from_bytes(data[2:at], "big")
        if len(data) < at + 4 + size:
            return None
        mask, text = data[at : at + 4], data[at + 4 : at + 4 + size]
        self._data = data[at + 4 + size :]
        if data[0] & 15 == 8:
            self.transport.close()
        if data[0] & 15 != 1:
            return b""
        return bytes(byte ^ mask[index % 4] for index, byte in enumerate(text))

    def _subscribe(self, request: dict[str, Any]) -> None:
        if request["type"] != "subscribe":
            return
        self.advanced = "channel" in request
        found = [self._exchange.instruments[item] for item in request["product_ids"]]
        self._products += [item for item in found if item not in self._products]
        for instrument in found:
            self._exchange.listeners[instrument.product.id] = self
        if not self.advanced:
            ids = {item.product.id for item in self._products}
            self.write(wire.text_frame(ack_frame({"ticker": ids, "heartbeat": ids}, self._exchange.rng)))
            self.write(b"".join(wire.text_frame(item.frame) for item in found))
        if self._exchange.flooding:
            self.flood()

    def write(self, data: bytes) -> None:
        """Send, or keep what is not taken yet."""
        self.transport.write(data)

    def flood(self) -> None:
        """Send the next chunk, and so on while the socket takes it."""
        exchange = self._exchange
        if self._full or not exchange.flooding or self.transport.is_closing():
            return
        frames = []
        for instrument in exchange.rng.choices(self._products, k=CHUNK):
            text = exchange.trade(instrument)
            if self.advanced:
                self._number += 1
                text = advanced_frame(instrument, self._number)
            frames.append(wire.text_frame(text))
        self.write(b"".join(frames))
        if not self._full:
            asyncio.get_running_loop().call_soon(self.flood)

    def pause_writing(self) -> None:
        """Note that the socket takes no more."""
        self._full = True

    def resume_writing(self) -> None:
        """Go on."""
        self._full = False
        self.flood()


async def main() -> None:
    """Serve until standard input ends."""
    green.raise_descriptor_limit()
    exchange, loop = Exchange(int(sys.argv[1])), asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(exchange), "127.0.0.1", 0, backlog=1024)
    place = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    ended = asyncio.Event()

    def read() -> None:
        line = os.read(0, 4096).decode()
        if not line:
            ended.set()
            return
        print(json.dumps(exchange.command(line)), flush=True)

    loop.add_reader(0, read)
    print(json.dumps({"ws_url": f"ws://{place}", "rest_url": f"http://{place}"}), flush=True)
    beating = loop.create_task(exchange.beat())
    await ended.wait()
    beating.cancel()


if __name__ == "__main__":
    asyncio.run(main())

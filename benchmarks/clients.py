"""Socket.IO clients that only take in: as cheap as can be, so that they never are what is measured.

Run:  python -m benchmarks.clients PORT COUNT HOW   → "ready", then an answer for each line on standard input.

HOW   bytes    count bytes; every 20th client counts ticks too: who got the same bytes got the same ticks
      ticks    every client counts its ticks, by the event's name in the byte stream
      sample   every client reads each tick: how old it is by its ``time``, and whether its trade id is the next one

expect N   once every client has N ticks more than at the last such line (or 3 s after the last byte):
           {"ticks": {number of ticks: clients that got so many (-1: their bytes are others')}, "short": clients that
           did not get N, "last": monotonic second of the last byte}; and with ``sample`` {"ms": {p50 …},
           "out_of_order": ticks that were not the next of their product}
ends       from now on a server that hangs up is no failure; once it has hung up on all: {"told": clients that had
           hub_stopping before it, "restarts": that were closed with 1012, "seconds": from the first to the last},
           of clients that count ticks
"""

from __future__ import annotations

import json
import os
import re
import selectors
import socket
import struct
import sys
import time
from collections import Counter
from datetime import datetime

NAME = b'"ticker_update"'
STOPPING = b'"hub_stopping"'
RESTART = b"\x88\x02\x03\xf4"  # the WebSocket frame of a close with 1012
PING = b"\x81\x012"  # the WebSocket frame of Engine.IO's ping
JOINED = b'40{"sid"'
COUNTED_PART = 20  # one client in so many counts ticks where the others count bytes
GIVE_UP_SECONDS = 3.0
READ_SECONDS = 0.1  # between two looks at those that have joined, while others join
BUFFER = memoryview(bytearray(1 << 18))
RECEIVE_BUFFER_BYTES = 1 << 18  # or gigabytes would pile up in a thousand clients' sockets
FIELDS = re.compile(rb'"crypto":"([^"]+)".*"time":"([^"]+)".*"trade_id":(\d+)')


def text_frame(text: bytes) -> bytes:
    """Return a client's (masked) text frame."""
    mask = os.urandom(4)
    return struct.pack("!BB", 0x81, 0x80 | len(text)) + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(text))


class Drain:
    """One client, that counts its bytes."""

    def __init__(self, port: int) -> None:
        self.bytes = 0
        self.ticks = 0
        self.sock = socket.socket()
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        self.sock.connect(("127.0.0.1", port))
        self.sock.sendall(
            f"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
            .encode()
        )
        received = b""
        while b'"sid"' not in received:
            received += self._some()
        self.sock.sendall(text_frame(b"40"))
        while JOINED not in received:
            received += self._some()
        self.take(memoryview(received), time.time())
        self.sock.setblocking(False)

    def _some(self) -> bytes:
        data = self.sock.recv(65_536)
        if not data:
            raise ConnectionError("the server hung up")
        return data

    def read(self) -> None:
        """Take what has arrived."""
        size = self.sock.recv_into(BUFFER)
        if not size:
            raise ConnectionError("the server hung up")
        self.take(BUFFER[:size], time.time())

    def take(self, data: memoryview, at: float) -> None:  # noqa: ARG002 - for those that look closer
        """Count; ``at`` is when it was read, in seconds of the epoch."""
        if len(data) == len(PING) and data == PING:
            self.sock.sendall(text_frame(b"3"))
        else:
            self.bytes += len(data)


class Counting(Drain):
    """One that counts its ticks, wherever the stream was cut."""

    _tail = b""
    told = False

    def take(self, data: memoryview, at: float) -> None:  # noqa: ARG002 - as above
        """Count, and answer pings."""
        whole = self._tail + data
        pings = whole.count(PING)
        self.bytes += len(data) - pings * len(PING)
        self.ticks += whole.count(NAME)
        self.told = self.told or STOPPING in whole
        self._tail = whole[-len(NAME) + 1 :]
        self.restarts = whole.endswith(RESTART)
        if pings:
            self.sock.sendall(text_frame(b"3"))
            self._tail = b""


class Sampling(Counting):
    """One that reads every tick."""

    def __init__(self, port: int) -> None:
        self.begin()
        super().__init__(port)

    def begin(self) -> None:
        """Forget everything."""
        self.last_ids: dict[bytes, int] = {}
        self.latencies_ms: list[float] = []
        self.out_of_order = 0
        self._unread: list[tuple[bytes, float]] = []
        self._part = b""

    def take(self, data: memoryview, at: float) -> None:
        """Count, and keep it for ``look``: nobody else's data waits for that."""
        super().take(data, at)
        self._unread.append((bytes(data), at))

    def look(self) -> None:
        """Read what was kept."""
        for data, at in self._unread:
            *events, self._part = (self._part + data).split(b'42["')
            for event in events:
                if event.startswith(NAME[1:]):
                    self._tick(event, at)
            if self._part.startswith(NAME[1:]) and self._part.endswith(b"}]"):
                self._tick(self._part, at)
                self._part = b""
        self._unread.clear()

    def _tick(self, event: bytes, at: float) -> None:
        found = FIELDS.search(event)
        assert found is not None, event
        product, when, trade_id = found[1], found[2], int(found[3])
        before = self.last_ids.get(product)
        self.last_ids[product] = trade_id
        if b'"age_ms"' in event:  # the snapshot
            return
        self.out_of_order += before is not None and trade_id != before + 1
        self.latencies_ms.append((at - datetime.fromisoformat(when.decode()).timestamp()) * 1000)


class Crowd:
    """All clients of this process."""

    def __init__(self, port: int, count: int, how: str) -> None:
        self.how = how
        self._selector = selectors.DefaultSelector()
        self.clients: list[Drain] = []
        read_at = time.monotonic()
        for index in range(count):
            client = self._class_of(index)(port)
            self.clients.append(client)
            self._selector.register(client.sock, selectors.EVENT_READ, client)
            if time.monotonic() - read_at > READ_SECONDS:  # those that are in read on while the others join
                for key, _ in self._selector.select(0):
                    key.data.read()
                read_at = time.monotonic()
        self._marks = [(client.bytes, client.ticks) for client in self.clients]
        self.last = time.monotonic()
        self._commands = os.dup(0)
        self._selector.register(self._commands, selectors.EVENT_READ, None)
        self._expected: int | None = None
        self._ended_at: list[float] | None = None  # None: nobody is to end

    def _class_of(self, index: int) -> type[Drain]:
        if self.how == "sample":
            return Sampling
        return Counting if self.how == "ticks" or index % COUNTED_PART == 0 else Drain

    def run(self) -> None:
        """Take in and answer, until standard input ends."""
        while True:
            ready = self._selector.select(0.1)
            for key, _ in ready:
                if key.data is None:
                    if not self._command():
                        return
                else:
                    self._read(key.data)
                    self.last = time.monotonic()
            if self.how == "sample":
                for key, _ in ready:
                    if key.data is not None:
                        key.data.look()
            given_up = time.monotonic() - self.last > GIVE_UP_SECONDS
            if self._expected is not None and (given_up or self._complete()):
                self._answer()

    def _read(self, client: Drain) -> None:
        try:
            client.read()
        except ConnectionError:
            if self._ended_at is None:
                raise
            self._selector.unregister(client.sock)
            client.sock.close()
            self._ended_at.append(time.monotonic())
            if len(self._ended_at) == len(self.clients):
                told, restarts = (sum(getattr(item, name, False) for item in self.clients) for name in FAREWELL)
                seconds = self._ended_at[-1] - self._ended_at[0]
                print(json.dumps({"told": told, "restarts": restarts, "seconds": seconds}), flush=True)

    def _command(self) -> bool:
        text = os.read(self._commands, 4096).decode()
        if text.startswith("ends"):
            self._ended_at = []
        elif text:
            self._expected = int(text.split()[1])
        return bool(text)

    def _got(self) -> list[int]:
        """Return the ticks of each client since the last answer."""
        counted = {
            client.bytes - had_bytes: client.ticks - had_ticks
            for client, (had_bytes, had_ticks) in zip(self.clients, self._marks, strict=True)
            if isinstance(client, Counting)
        }
        return [
            client.ticks - had_ticks if isinstance(client, Counting) else counted.get(client.bytes - had_bytes, -1)
            for client, (had_bytes, had_ticks) in zip(self.clients, self._marks, strict=True)
        ]

    def _complete(self) -> bool:
        first, (_, had_ticks) = self.clients[0], self._marks[0]
        return first.ticks - had_ticks >= (self._expected or 0) and min(self._got()) >= (self._expected or 0)

    def _answer(self) -> None:
        got = self._got()
        body = {
            "ticks": dict(Counter(got)), "short": sum(ticks != self._expected for ticks in got), "last": self.last,
        }  # fmt: skip
        if self.how == "sample":
            samples = [client for client in self.clients if isinstance(client, Sampling)]
            latencies = sorted(value for client in samples for value in client.latencies_ms)
            body["out_of_order"] = sum(client.out_of_order for client in samples)
            body["ms"] = {name: round(_quantile(latencies, part), 3) for name, part in QUANTILES.items()}
            for client in samples:
                client.latencies_ms.clear()
                client.out_of_order = 0
        self._marks = [(client.bytes, client.ticks) for client in self.clients]
        self._expected = None
        print(json.dumps(body), flush=True)


FAREWELL = ("told", "restarts")
QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}


def _quantile(values: list[float], part: float) -> float:
    return values[min(len(values) - 1, int(len(values) * part))] if values else float("nan")


def main() -> None:
    """Connect, say so, serve."""
    crowd = Crowd(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
    print('"ready"', flush=True)
    crowd.run()


if __name__ == "__main__":
    main()

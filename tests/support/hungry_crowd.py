"""Many clients that ask for much or take little:  python hungry_crowd.py PORT COUNT KIND

KIND: ``lagging`` reads a little each second; ``choosers`` want 5 products each, chosen at random, and read; ``choices``
read everything, and want all products and none by turns, 50 times a second; ``paced`` want everything each 10 s and do
not read. Prints one JSON line when all have joined, and one at the end, which is that of standard input:
{"joined": how many, "bytes": read, "events": read, "asked": choices sent, "ended": cut off and come again}.
"""

from __future__ import annotations

import json
import random
import selectors
import socket
import struct
import sys
import time

HANDSHAKE = (
    b"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
    b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
)
TURN_SECONDS = {"lagging": 1.0, "choices": 0.02}
SIP_BYTES = 16_384
ALL = b'42["subscribe",{"products":["*-*"]}]'
NONE = b'42["unsubscribe",{"products":["*-*"]}]'


def frame(data: bytes) -> bytes:
    """Return a client's frame, with a mask that changes nothing."""
    head = struct.pack("!BB", 0x81, 0x80 | len(data)) if len(data) < 126 else struct.pack("!BBH", 0x81, 0xFE, len(data))
    return head + b"\0\0\0\0" + data


class Crowd:
    """All clients of one kind."""

    def __init__(self, port: int, kind: str, products: list[str]) -> None:
        self.port = port
        self.kind = kind
        self.products = products
        self.selector = selectors.DefaultSelector()
        self.joined: dict[socket.socket, bool] = {}
        self.counts = {"joined": 0, "bytes": 0, "events": 0, "asked": 0, "ended": 0}

    def connect(self) -> None:
        """Have one client more."""
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32_768 if self.kind in ("lagging", "paced") else 65_536)
        sock.connect(("127.0.0.1", self.port))
        sock.sendall(HANDSHAKE)
        sock.setblocking(False)
        self.joined[sock] = False
        self.selector.register(sock, selectors.EVENT_READ)

    def join(self, sock: socket.socket) -> None:
        """Join, with what its kind wants."""
        wish: dict[str, object] = {}
        if self.kind == "choosers":
            wish = {"subscribe": {"products": random.sample(self.products, 5)}}
        elif self.kind == "paced":
            wish = {"subscribe": {"max_hz": 0.1}}
        elif self.kind == "choices":
            wish = {"subscribe": {"products": []}}
        sock.send(frame(b"40" + json.dumps(wish).encode()))
        self.joined[sock] = True
        self.counts["joined"] += 1
        if self.kind in ("lagging", "paced"):  # these read when they like to
            self.selector.unregister(sock)

    def read(self, sock: socket.socket, most: int = 1 << 16) -> None:
        """Take in what has come."""
        try:
            data = sock.recv(most)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.counts["ended"] += 1
            self.joined.pop(sock)
            if sock in self.selector.get_map():
                self.selector.unregister(sock)
            sock.close()
            self.connect()
            return
        self.counts["bytes"] += len(data)
        self.counts["events"] += data.count(b'["ticker_update"')
        if not self.joined[sock] and b'"sid":' in data:
            self.join(sock)

    def turn(self, number: int) -> None:
        """Do what the kind does now and then."""
        for sock in [sock for sock, joined in self.joined.items() if joined]:
            if self.kind == "lagging":
                self.read(sock, SIP_BYTES)
            else:
                try:
                    sock.send(frame(NONE if number % 2 else ALL))
                    self.counts["asked"] += 1
                except OSError:
                    continue  # the next read ends it

    def run(self, seconds: float = 0.001) -> None:
        """Read whatever has come, for a moment."""
        for key, _ in self.selector.select(seconds):
            if key.fileobj is sys.stdin:
                raise SystemExit(print(json.dumps(self.counts), flush=True))
            self.read(key.fileobj)  # type: ignore[arg-type]


def main() -> None:
    """Run until standard input ends."""
    port, count, kind = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    products: list[str] = json.loads(sys.argv[4]) if len(sys.argv) > 4 else []
    crowd = Crowd(port, kind, products)
    for number in range(count):
        crowd.connect()
        while number - crowd.counts["joined"] > 50:
            crowd.run()
    while crowd.counts["joined"] < count:
        crowd.run()
    print(json.dumps(crowd.counts), flush=True)
    crowd.selector.register(sys.stdin, selectors.EVENT_READ)
    number, turn_at = 0, time.monotonic()
    while True:
        crowd.run(0.005)
        if kind in TURN_SECONDS and time.monotonic() >= turn_at:
            number, turn_at = number + 1, turn_at + TURN_SECONDS[kind]
            crowd.turn(number)


if __name__ == "__main__":
    main()

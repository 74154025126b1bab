"""Many honest clients of one address that connect at once:  python honest_crowd.py PORT COUNT TRANSPORT TOKEN ADDRESS

Prints one JSON line when all have joined and got a ticker, or after 20 s: {"seconds": until the last of them had,
"served": how many, "refused": {status: how many}}. A client that is cut off or refused comes again after a second, as
the official ones do.
"""

from __future__ import annotations

import json
import re
import selectors
import socket
import struct
import sys
import time
from collections import Counter

GIVE_UP_SECONDS = 20.0
AGAIN_SECONDS = 1.0
TICKER = b'42["ticker_update"'
STATUS = re.compile(rb"HTTP/1\.1 (\d+)")
SID = re.compile(rb'"sid":"([^"]+)"')


class Client:
    """One client: what it sends next follows from what it has got."""

    def __init__(self, crowd: Crowd, websocket: bool) -> None:
        self.crowd = crowd
        self.websocket = websocket
        self.done = False
        self.begin()

    def begin(self) -> None:
        """Connect, from the start."""
        self.received = b""
        self.step = 0
        self.sid = ""
        self.sock = socket.socket()
        self.sock.setblocking(False)
        self.sock.bind((self.crowd.address, 0))
        self.sock.connect_ex(("127.0.0.1", self.crowd.port))
        self.crowd.selector.register(self.sock, selectors.EVENT_WRITE, self)

    def ready(self, events: int) -> None:
        """Go on."""
        try:
            if events & selectors.EVENT_WRITE:
                self.crowd.selector.modify(self.sock, selectors.EVENT_READ, self)
                self.send(self.first())
                return
            data = self.sock.recv(1 << 18)
        except OSError:
            data = b""
        if not data:
            self.end("cut")
            return
        self.received += data
        if self.step == 0 and (found := STATUS.match(self.received)) and found[1] not in (b"101", b"200"):
            self.end(found[1].decode())
        elif self.websocket:
            self.take_websocket()
        else:
            self.take_polling()

    def first(self) -> bytes:
        """Return the handshake."""
        host = f"Host: 127.0.0.1:{self.crowd.port}\r\n"
        if not self.websocket:
            return f"GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\n{host}\r\n".encode()
        return (
            f"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n{host}Upgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
        ).encode()

    def take_websocket(self) -> None:
        """Join when the session is there; a ticker is the end."""
        if self.step == 0 and SID.search(self.received):
            self.step = 1
            join = self.crowd.join
            self.send(struct.pack("!BB", 0x81, 0x80 | len(join)) + b"\0\0\0\0" + join)
        elif self.step == 1 and TICKER in self.received:
            self.finish()

    def take_polling(self) -> None:
        """Join by a POST, then poll until a ticker comes."""
        head, _, body = self.received.partition(b"\r\n\r\n")
        found = re.search(rb"Content-Length: (\d+)", head, re.IGNORECASE)
        if found is None or len(body) < int(found[1]):
            return
        self.received = b""
        if STATUS.match(head)[1] != b"200":  # type: ignore[index]
            self.end(STATUS.match(head)[1].decode())  # type: ignore[index]
            return
        if TICKER in body:
            self.finish()
            return
        if self.step == 0:
            self.sid = SID.search(body)[1].decode()  # type: ignore[index]
            self.step = 1
            head_lines = f"Host: 127.0.0.1:{self.crowd.port}\r\nContent-Length: {len(self.crowd.join)}\r\n\r\n"
            self.send(f"POST {self.path} HTTP/1.1\r\n{head_lines}".encode() + self.crowd.join)
        else:
            self.send(f"GET {self.path} HTTP/1.1\r\nHost: 127.0.0.1:{self.crowd.port}\r\n\r\n".encode())

    @property
    def path(self) -> str:
        """The session's address."""
        return f"/socket.io/?EIO=4&transport=polling&sid={self.sid}"

    def send(self, data: bytes) -> None:
        """Send what is short."""
        self.sock.send(data)

    def finish(self) -> None:
        """Note that it was served; what comes now is not read."""
        self.done = True
        self.crowd.served += 1
        self.crowd.selector.unregister(self.sock)

    def end(self, why: str) -> None:
        """Come again later."""
        self.crowd.refused[why] += 1
        self.crowd.selector.unregister(self.sock)
        self.sock.close()
        self.crowd.again.append((time.monotonic() + AGAIN_SECONDS, self))


class Crowd:
    """All clients, and what came of them."""

    def __init__(self, port: int, address: str, token: str) -> None:
        self.port = port
        self.address = address
        self.join = b"40" + (json.dumps({"token": token}).encode() if token else b"")
        self.selector = selectors.DefaultSelector()
        self.again: list[tuple[float, Client]] = []
        self.refused: Counter[str] = Counter()
        self.served = 0

    def run(self, count: int, websocket: bool) -> float:
        """Connect them all at once; return the seconds until the last was served."""
        begun = time.monotonic()
        clients = [Client(self, websocket) for _ in range(count)]
        while self.served < len(clients) and time.monotonic() - begun < GIVE_UP_SECONDS:
            for key, events in self.selector.select(0.05):
                key.data.ready(events)
            while self.again and self.again[0][0] <= time.monotonic():
                self.again.pop(0)[1].begin()
        return time.monotonic() - begun


def main() -> None:
    """Run and print."""
    port, count, transport, token, address = sys.argv[1:6]
    crowd = Crowd(int(port), address, token)
    seconds = crowd.run(int(count), transport == "websocket")
    print(json.dumps({"seconds": round(seconds, 2), "served": crowd.served, "refused": crowd.refused}))


if __name__ == "__main__":
    main()

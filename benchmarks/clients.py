"""Socket.IO clients that only drain: connect over WebSocket, count the ticks that arrive, answer pings.

Run:  python -m benchmarks.clients URL COUNT SECONDS   → one JSON line {"ticks": [per client], "bytes": total}
They count event names in the byte stream instead of decoding, so that the clients never are what is measured.
"""

from __future__ import annotations

import json
import os
import selectors
import socket
import struct
import sys
import time
from urllib.parse import urlsplit

NAME = b'"ticker_update"'
PING = b"\x81\x012"  # the WebSocket frame of Engine.IO's ping


def text_frame(text: bytes) -> bytes:
    """Return a client's (masked) text frame."""
    mask = os.urandom(4)
    return struct.pack("!BB", 0x81, 0x80 | len(text)) + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(text))


class Drain:
    """One client."""

    def __init__(self, host: str, port: int) -> None:
        self.ticks = self.bytes = 0
        self._tail = b""
        self.sock = socket.create_connection((host, port))
        self.sock.sendall(
            f"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
            .encode()
        )
        received = b""
        while b'"sid"' not in received:
            received += self.sock.recv(65_536)
        self.sock.sendall(text_frame(b"40"))
        self.sock.setblocking(False)

    def read(self) -> None:
        """Take what has arrived."""
        data = self.sock.recv(1 << 20)
        if not data:
            raise ConnectionError("the server hung up")
        self.bytes += len(data)
        whole = self._tail + data
        self.ticks += whole.count(NAME) - self._tail.count(NAME)
        if PING in whole:
            self.sock.sendall(text_frame(b"3"))
        self._tail = whole[-len(NAME) + 1 :]


def main() -> None:
    """Drain for the given time and report."""
    url, count, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    parts = urlsplit(url)
    clients = [Drain(parts.hostname or "", parts.port or 80) for _ in range(count)]
    print("ready", flush=True)
    with selectors.DefaultSelector() as selector:
        for client in clients:
            selector.register(client.sock, selectors.EVENT_READ, client)
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            for key, _ in selector.select(left):
                key.data.read()
    print(json.dumps({"ticks": [client.ticks for client in clients], "bytes": sum(c.bytes for c in clients)}))


if __name__ == "__main__":
    main()

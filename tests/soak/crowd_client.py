"""A crowd of honest or idle clients in one process:  python -m tests.soak.crowd_client PORT COUNT HOW   → "ready".

HOW   lagging    joined WebSockets that read 64 KB every two seconds: a twentieth of what the hub has for them
      unpolled   joined polling sessions that never poll again
      choosing   joined WebSockets that chose five products each and read at once

It ends when its standard input does. Before that, each line is answered with how many are still open.
"""

from __future__ import annotations

import json
import os
import random
import selectors
import socket
import struct
import sys
import time
from collections.abc import Callable

import requests

SLOW_BYTES, SLOW_SECONDS = 65_536, 2.0
CHOSEN = 5
MASK = b"\0\0\0\0"
JOINED = b'40{"sid"'
BUFFER = memoryview(bytearray(1 << 18))
AT_A_TIME = 50  # that join at once


def frame(text: bytes) -> bytes:
    """Return a client's text frame."""
    if len(text) < 126:
        return struct.pack("!BB", 0x81, 0x80 | len(text)) + MASK + text
    return struct.pack("!BBH", 0x81, 0xFE, len(text)) + MASK + text


def address(number: int) -> tuple[str, int]:
    """Return where a client comes from: a hundred of them share an address."""
    return f"127.0.1.{1 + number // 100}", 0


def receive_until(sock: socket.socket, text: bytes) -> bytes:
    """Read until that has come."""
    received = b""
    while text not in received:
        data = sock.recv(4_096)
        if not data:
            raise ConnectionError(f"the hub hung up after {received[-200:]!r}")
        received += data
    return received


def join_websocket(port: int, number: int, choice: list[str] | None, receive_bytes: int) -> socket.socket:
    """Return a WebSocket that has joined, with a choice of products if one is given."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    sock.bind(address(number))
    sock.settimeout(30)
    sock.connect(("127.0.0.1", port))
    sock.sendall(
        f"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
        .encode()
    )
    receive_until(sock, b'0{"sid"')
    auth = json.dumps({"subscribe": {"products": choice}}) if choice is not None else ""
    sock.sendall(frame(f"40{auth}".encode()))
    receive_until(sock, JOINED)
    sock.setblocking(False)
    return sock


def join_polling(port: int, number: int) -> socket.socket:
    """Return the connection of a polling session that has joined."""
    sock = socket.create_connection(("127.0.0.1", port), 30, address(number))
    host = f"Host: 127.0.0.1:{port}\r\n"
    sock.sendall(f"GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\n{host}\r\n".encode())
    answer = receive_until(sock, b"}")
    sid = json.loads(answer[answer.index(b"{") :])["sid"]
    path = f"/socket.io/?EIO=4&transport=polling&sid={sid}"
    sock.sendall(f"POST {path} HTTP/1.1\r\n{host}Content-Length: 2\r\n\r\n40".encode())
    receive_until(sock, b"\r\n\r\n")
    sock.setblocking(False)
    return sock


class Crowd:
    """The clients and what keeps them going."""

    def __init__(self, port: int, how: str, products: list[str]) -> None:
        self.port = port
        self.how = how
        self.products = products
        self.selector = selectors.DefaultSelector()
        self.slow: list[socket.socket] = []
        self.open = 0

    def join(self, number: int) -> None:
        """Add a client."""
        if self.how == "unpolled":
            sock = join_polling(self.port, number)
        else:
            choice = random.sample(self.products, CHOSEN) if self.how == "choosing" else None
            sock = join_websocket(self.port, number, choice, SLOW_BYTES if self.how == "lagging" else 1 << 18)
        self.open += 1
        if self.how == "lagging":
            self.slow.append(sock)
        else:
            self.selector.register(sock, selectors.EVENT_READ, self._read_all)

    def watch_commands(self) -> None:
        """Answer lines on standard input; its end ends the crowd."""
        self.selector.register(sys.stdin, selectors.EVENT_READ, self._command)

    def run(self, until: Callable[[], bool]) -> None:
        """Read as each client does."""
        slow_at, turn = time.monotonic(), 0
        while not until():
            for key, _ in self.selector.select(0.01):
                key.data(key.fileobj)
            due = int((time.monotonic() - slow_at) / SLOW_SECONDS * len(self.slow)) if self.slow else 0
            while turn < due:
                self._read_some(self.slow[turn % len(self.slow)])
                turn += 1

    def _read_all(self, sock: socket.socket) -> None:
        try:
            size = sock.recv_into(BUFFER)
        except BlockingIOError:
            return
        except OSError:
            size = 0
        self._took(sock, BUFFER[:size])
        if not size:
            self.selector.unregister(sock)

    def _read_some(self, sock: socket.socket) -> None:
        if sock.fileno() < 0:
            return
        try:
            size = sock.recv_into(BUFFER, SLOW_BYTES)
        except BlockingIOError:
            return
        except OSError:
            size = 0
        self._took(sock, BUFFER[:size])

    def _took(self, sock: socket.socket, data: memoryview) -> None:
        if not data:
            self.open -= 1
            sock.close()
        elif bytes(data[-3:]) == b"\x81\x012":
            sock.sendall(frame(b"3"))

    def _command(self, _: object) -> None:
        if not os.read(sys.stdin.fileno(), 4_096):
            sys.exit(0)
        print(json.dumps({"open": self.open}), flush=True)


def main() -> None:
    """Join, say so, and go on until standard input ends."""
    port, count, how = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    products = list(requests.get(f"http://127.0.0.1:{port}/tickers", timeout=10).json())
    crowd = Crowd(port, how, products)
    for number in range(count):
        crowd.join(number)
        if number % AT_A_TIME == 0:
            end = time.monotonic() + 0.02
            crowd.run(lambda end=end: time.monotonic() > end)  # type: ignore[misc]
    print('"ready"', flush=True)
    crowd.watch_commands()
    crowd.run(lambda: False)


if __name__ == "__main__":
    main()

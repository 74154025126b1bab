"""Hostile clients of Socket.IO, with plain sockets: sessions by polling, in numbers, from any address of loopback."""

from __future__ import annotations

import contextlib
import itertools
import re
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import websocket

PATH = "/socket.io/?EIO=4&transport=polling"
SID = re.compile(rb'"sid":"([^"]+)"')
WAIT_SECONDS = 10.0


class Wire:
    """One connection that is kept alive, opened anew when the hub has closed it."""

    def __init__(self, port: int, address: str = "127.0.0.1", **headers: str) -> None:
        self._port, self._address = port, address
        self._headers = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        self._sock: socket.socket | None = None

    def ask(self, method: str, path: str, body: str = "", **headers: str) -> tuple[int, bytes]:
        """Send a request; return the status, 0 where none came, and the body."""
        more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\n{self._headers}{more}"
        if body:
            head += f"Content-Length: {len(body.encode())}\r\n"
        try:
            if self._sock is None:
                self._sock = socket.create_connection(
                    ("127.0.0.1", self._port), WAIT_SECONDS, source_address=(self._address, 0)
                )
            self._sock.sendall(f"{head}\r\n{body}".encode())
            received = b""
            while b"\r\n\r\n" not in received:
                received += self._more()
            top, _, rest = received.partition(b"\r\n\r\n")
            size = int((re.search(rb"(?i)content-length: (\d+)", top) or [b"", b"0"])[1])
            while len(rest) < size:
                rest += self._more()
        except OSError:
            self.close()
            return 0, b""
        return int(top.split(b" ")[1]), rest

    def _more(self) -> bytes:
        assert self._sock is not None
        data = self._sock.recv(65_536)
        if not data:
            raise ConnectionError
        return data

    def close(self) -> None:
        """Close it. Idempotent."""
        if self._sock is not None:
            self._sock.close()
            self._sock = None

    def session(self, *posts: str, **headers: str) -> str:
        """Begin a session and send these bodies; return its id, empty where it was refused."""
        _, body = self.ask("GET", PATH, **headers)
        if not (found := SID.search(body)):
            return ""
        sid = found[1].decode()
        for post in posts:
            self.ask("POST", f"{PATH}&sid={sid}", post)
        return sid


@contextlib.contextmanager
def going_on(count: int, act: Callable[[int, threading.Event], None]) -> Iterator[None]:
    """Have so many threads act until the block is left: each is told its number, and when to end."""
    ending = threading.Event()
    threads = [threading.Thread(target=act, args=(number, ending), daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ending.set()
        for thread in threads:
            thread.join(WAIT_SECONDS)


def handshakes(
    port: int, statuses: Counter[int], networks: Iterator[int] | None
) -> Callable[[int, threading.Event], None]:
    """Return who shakes hands without an end and joins nothing: of one address, or each time of another network."""

    def act(_: int, ending: threading.Event) -> None:
        wire = Wire(port)
        while not ending.is_set():
            more = {}
            if networks is not None:
                number = next(networks)
                more = {"X_Forwarded_For": f"2001:db8:{number >> 16:x}:{number & 0xFFFF:x}::1"}
            statuses[wire.ask("GET", PATH, **more)[0]] += 1
        wire.close()

    return act


def numbers() -> Iterator[int]:
    """Return what is counted by several threads."""
    return itertools.count()


def joins(port: int, token: str, address: str = "127.0.0.3") -> float:
    """Have a client with a token join and get a price, as often as it takes; return the seconds that it took."""
    begun = time.monotonic()
    while True:
        try:
            sock = socket.create_connection(("127.0.0.1", port), WAIT_SECONDS, source_address=(address, 0))
            ws: Any = websocket.create_connection(
                f"ws://127.0.0.1:{port}/socket.io/?EIO=4&transport=websocket", WAIT_SECONDS, socket=sock
            )
            ws.recv()
            ws.send(f'40{{"token":"{token}"}}')
            while "ticker_update" not in ws.recv():
                pass
            ws.close()
            return time.monotonic() - begun
        except (OSError, websocket.WebSocketException):
            if time.monotonic() - begun > WAIT_SECONDS:
                raise
            time.sleep(0.1)

"""An honest client in a process of its own: it measures how long prices and ``/health/live`` make it wait.

``python bystander.py PORT TOKEN``. Each line on standard input is a command: ``mark`` begins to measure anew,
``report`` waits for one more probe and prints what was measured, as one JSON line. The end of standard input ends it.
It comes from 127.0.0.2, so that an attacker who uses up the limits of his own address does not touch it.
"""

from __future__ import annotations

import base64
import json
import os
import socket
import struct
import sys
import threading
import time

ADDRESS = ("127.0.0.2", 0)
PROBE_SECONDS = 0.1
TIMEOUT_SECONDS = 10.0


class Bystander:
    """A WebSocket client of Socket.IO that takes every tick, and a prober beside it."""

    def __init__(self, port: int, token: str) -> None:
        self.port = port
        self.token = token
        self.alive = True
        self.ticks = 0
        self.last_at = time.monotonic()
        self.probed = threading.Condition()
        self.mark()
        threading.Thread(target=self._probe, daemon=True).start()
        threading.Thread(target=self._listen, daemon=True).start()

    def mark(self) -> None:
        """Begin to measure anew."""
        self.silence_seconds = self.live_seconds = 0.0
        self.probes = self.failed_probes = 0
        self.ticks = 0
        self.last_at = time.monotonic()

    def report(self) -> dict[str, object]:
        """Return what was measured since the last mark; a silence that still lasts counts."""
        with self.probed:
            enough = self.probes + 2  # the first of them may have begun before
            self.probed.wait_for(lambda: self.probes >= enough, 2 * TIMEOUT_SECONDS)
        silence = max(self.silence_seconds, time.monotonic() - self.last_at)
        return {
            "alive": self.alive, "ticks": self.ticks, "silence_ms": round(silence * 1000),
            "live_ms": round(self.live_seconds * 1000), "probes": self.probes, "failed_probes": self.failed_probes,
        }  # fmt: skip

    def _probe(self) -> None:
        request = f"GET /health/live HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nConnection: close\r\n\r\n".encode()
        while True:
            begun = time.monotonic()
            answer = b""
            try:
                with socket.create_connection(("127.0.0.1", self.port), TIMEOUT_SECONDS, ADDRESS) as sock:
                    sock.sendall(request)
                    while data := sock.recv(65_536):
                        answer += data
            except OSError as error:
                print(f"probe failed: {error}", file=sys.stderr, flush=True)
            with self.probed:
                self.probes += 1
                self.failed_probes += not answer.startswith(b"HTTP/1.1 200")
                self.live_seconds = max(self.live_seconds, time.monotonic() - begun)
                self.probed.notify_all()
            time.sleep(PROBE_SECONDS)

    def _listen(self) -> None:
        try:
            self._read_frames(self._connect())
        except Exception as error:
            print(f"the connection ended: {error!r}", file=sys.stderr, flush=True)
            raise
        finally:
            self.alive = False

    def _connect(self) -> socket.socket:
        sock = socket.create_connection(("127.0.0.1", self.port), TIMEOUT_SECONDS, ADDRESS)
        key = base64.b64encode(os.urandom(16)).decode()
        sock.sendall(
            f"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n"
            f"Upgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        return sock

    def _read_frames(self, sock: socket.socket) -> None:
        buffer = bytearray()
        while b"\r\n\r\n" not in buffer:
            buffer += self._receive(sock)
        del buffer[: buffer.index(b"\r\n\r\n") + 4]
        sock.sendall(_frame(b"40" + (json.dumps({"token": self.token}).encode() if self.token else b"")))
        while True:
            while (found := _next_frame(buffer)) is not None:
                text, size = found
                if text == b"2":
                    sock.sendall(_frame(b"3"))
                elif text.startswith(b'42["ticker_update"'):
                    now = time.monotonic()
                    self.silence_seconds = max(self.silence_seconds, now - self.last_at)
                    self.last_at = now
                    self.ticks += 1
                del buffer[:size]
            buffer += self._receive(sock)

    @staticmethod
    def _receive(sock: socket.socket) -> bytes:
        data = sock.recv(1 << 20)
        if not data:
            raise ConnectionError("the hub closed the connection")
        return data


def _next_frame(buffer: bytearray) -> tuple[bytes, int] | None:
    """Return (the payload of the first frame, its whole size), None where it is not complete."""
    if len(buffer) < 2:
        return None
    length, start = buffer[1] & 0x7F, 2
    if length == 126:
        start = 4
        length = int.from_bytes(buffer[2:4]) if len(buffer) >= 4 else 1 << 62
    elif length == 127:
        start = 10
        length = int.from_bytes(buffer[2:10]) if len(buffer) >= 10 else 1 << 62
    if len(buffer) < start + length:
        return None
    return bytes(buffer[start : start + length]), start + length


def _frame(data: bytes) -> bytes:
    mask = b"\0\0\0\0"
    if len(data) < 126:
        return struct.pack("!BB", 0x81, 0x80 | len(data)) + mask + data
    return struct.pack("!BBH", 0x81, 0xFE, len(data)) + mask + data


def main() -> int:
    """Run until standard input ends."""
    bystander = Bystander(int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "")
    for line in sys.stdin:
        if line.strip() == "mark":
            bystander.mark()
            print("{}", flush=True)
        else:
            print(json.dumps(bystander.report()), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""A server on loopback whose answers have no end: it sends a head, then the same bytes again and again."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import re
import socket
import ssl
import threading
import time
from pathlib import Path
from types import TracebackType

PIECE_BYTES = 65_536
PEER_SECONDS = 30.0  # for one connection, whatever the hub does


class Endless:
    """``answer``: (head, what is repeated) of the requests to come; ``served`` counts the connections that got it.

    A head may hold ``{accept}``, for the answer to a WebSocket's key. A context manager.
    """

    def __init__(self, head: bytes = b"", repeated: bytes = b"") -> None:
        self.answer = (head, repeated)
        self.served = 0
        self.ended = 0  # connections that the hub has ended
        self._stop = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client:
            client.settimeout(5)
            try:
                request = b""
                while b"\r\n\r\n" not in request:
                    data = client.recv(4_096)
                    if not data:
                        return
                    request += data
                head, repeated = self.answer
                client.sendall(head.replace(b"{accept}", _accept_key(request)))
                self.served += 1
                piece = repeated * max(1, PIECE_BYTES // len(repeated))
                give_up_at = time.monotonic() + PEER_SECONDS
                while not self._stop.is_set() and time.monotonic() < give_up_at:
                    client.sendall(piece)
            except OSError:
                self.ended += 1

    def __enter__(self) -> Endless:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


class Tickets(Endless):
    """Shakes hands over TLS, and sends that many session tickets behind it: TLS without any data in it."""

    def __init__(self, certificate: Path, count: int) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, certificate.with_suffix(".key"))
        self._context.num_tickets = count
        self._shaking = threading.Lock()  # to make the tickets takes seconds: one connection after the other
        super().__init__()

    def _serve(self, client: socket.socket) -> None:
        came, goes = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = self._context.wrap_bio(came, goes, server_side=True)
        with client:
            client.settimeout(5)
            try:
                with self._shaking:
                    while True:
                        try:
                            tls.do_handshake()
                            break
                        except ssl.SSLWantReadError:
                            client.sendall(goes.read())
                            came.write(client.recv(65_536))
                self.served += 1
                client.sendall(goes.read())
                self._stop.wait(PEER_SECONDS)
            except OSError:
                self.ended += 1


def _accept_key(request: bytes) -> bytes:
    found = re.search(rb"Sec-WebSocket-Key: (\S+)", request, re.IGNORECASE)
    key = found[1] if found else b""
    return base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11", usedforsecurity=False).digest())

"""An HTTP proxy that knows CONNECT alone: what a company puts between its servers and the internet."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from http import HTTPStatus

from tests.tls import join


class ConnectProxy:
    """Listens on a free port of loopback. ``answer`` is the status of the next CONNECTs; 0: it says nothing.

    ``names`` are the hosts that it alone can find. ``asked`` are the targets of all CONNECTs, ``tunnels`` counts those
    that it let through, ``headers`` are those of the last one.
    """

    def __init__(self, names: dict[str, str] | None = None) -> None:
        self.answer = 200
        self.asked: list[str] = []
        self.headers: dict[str, str] = {}
        self.tunnels = 0
        self._names = names or {}
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        """Close the listener and all connections."""
        self._listener.shutdown(socket.SHUT_RDWR)
        for sock in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            sock.close()

    def cut(self) -> None:
        """Cut every tunnel."""
        for sock in self._open:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._open.append(client)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError), client:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += client.recv(1) or b"\r\n\r\n"
            first, *lines = head.decode().strip().split("\r\n")
            method, target, _ = first.split(" ")
            self.headers = dict(line.split(": ", 1) for line in lines)
            self.asked.append(target if method == "CONNECT" else first)
            while self.answer == 0:
                time.sleep(0.02)
            status = HTTPStatus(self.answer if method == "CONNECT" else 405)
            if status != 200:
                client.sendall(f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Length: 2\r\n\r\nno".encode())
                return
            host, port = target.rsplit(":", 1)
            with socket.create_connection((self._names.get(host, host), int(port))) as inner:
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                self.tunnels += 1
                join(client, inner)

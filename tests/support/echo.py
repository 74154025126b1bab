"""The echo server of ``echo_server.py`` as a process, and plain clients of it."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import requests
import websocket

from tests.conftest import ROOT

PING_INTERVAL_SECONDS, PING_TIMEOUT_SECONDS = 0.3, 0.2


class Echo:
    """A running echo server: requests to its one path, by polling or WebSocket."""

    def __init__(self, port: int, path: str) -> None:
        self._at = f"127.0.0.1:{port}{path}"

    def request(self, method: str, query: str, body: str | bytes | None = None) -> requests.Response:
        """Send a request with this query."""
        return requests.request(method, f"http://{self._at}?{query}", data=body, timeout=5)

    def poll(self, sid: str) -> requests.Response:
        """Ask for what is next."""
        return self.request("GET", f"EIO=4&transport=polling&sid={sid}")

    def post(self, sid: str, body: str) -> requests.Response:
        """Send packets."""
        return self.request("POST", f"EIO=4&transport=polling&sid={sid}", body)

    def polling(self) -> str:
        """Begin a session by polling; return its id."""
        return json.loads(self.request("GET", "EIO=4&transport=polling").text[1:])["sid"]

    def websocket(self, sid: str = "") -> websocket.WebSocket:
        """Open a WebSocket: of a session that polls, or of a new one, whose first packet is still to be read."""
        query = "EIO=4&transport=websocket" + (f"&sid={sid}" if sid else "")
        return websocket.create_connection(f"ws://{self._at}?{query}", timeout=5)


@contextlib.contextmanager
def running(kind: str, path: str) -> Iterator[Echo]:
    """Run the server for ``kind`` (``engineio``, ``socketio``)."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.support.echo_server", kind]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield Echo(int(process.stdout.readline()), path)
    finally:
        process.kill()
        process.wait(5)
        process.stdout.close()


def next_message(ws: websocket.WebSocket, prefix: str = "4") -> str:
    """Return the next packet that begins so; pings in between are answered."""
    while True:
        text = ws.recv()
        if text.startswith(prefix):
            return text
        if text == "2":
            ws.send("3")
        assert text, "the WebSocket was closed"


def is_closed(ws: websocket.WebSocket) -> bool:
    """Read to the end; return whether it came (else the timeout raises)."""
    with contextlib.suppress(websocket.WebSocketConnectionClosedException, ConnectionError):
        while ws.recv() or ws.connected:
            pass
    return True


def packets(response: requests.Response) -> list[Any]:
    """Return the packets of a polling answer."""
    return response.text.split("\x1e")

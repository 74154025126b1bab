"""A REST server in front of the simulator's: it passes on what it is asked for, or answers in its own way."""

from __future__ import annotations

import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType


class RestInFront:
    """``answers``: path → the body that is sent instead of the simulator's; ``asked`` counts the requests of a path.

    A context manager; ``url`` is its base URL.
    """

    def __init__(self, behind: str) -> None:
        self.answers: dict[str, bytes] = {}
        self.asked: dict[str, int] = {}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                outer.asked[path] = outer.asked.get(path, 0) + 1
                status, body = 200, outer.answers.get(path)
                if body is None:
                    try:
                        with urllib.request.urlopen(behind + self.path, timeout=10) as answer:
                            body = answer.read()
                    except urllib.error.HTTPError as error:
                        status, body = error.code, error.read()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("X-Simulated", "true")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *arguments: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def __enter__(self) -> RestInFront:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

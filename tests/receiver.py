"""An HTTP receiver on loopback, for what the hub posts: it keeps what came, and answers as it is told to."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer  # by name: the module's attribute may be eventlet's
from types import TracebackType
from typing import Any, NamedTuple

Answer = Callable[[BaseHTTPRequestHandler], None]


class Post(NamedTuple):
    """What was posted, when (monotonic seconds)."""

    at: float
    path: str
    host: str
    body: Any


def status(code: int, body: bytes = b"", **headers: str) -> Answer:
    """Return what answers with a status and headers."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def hang(handler: BaseHTTPRequestHandler) -> None:
    """Never answer."""
    handler.server.end.wait(120)  # type: ignore[attr-defined]


class Receiver:
    """A running receiver: ``url``, ``posts``; ``answers`` are taken in turn, the last one again and again.

    A context manager. ``end`` is set when it stops, for answers that take for ever.
    """

    def __init__(self, *answers: Answer, tls: Any = None) -> None:
        self.posts: list[Post] = []
        self.answers = list(answers) or [status(200)]
        self.end = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                length = int(self.headers["Content-Length"])
                body = json.loads(self.rfile.read(length))
                outer.posts.append(Post(time.monotonic(), self.path, self.headers["Host"], body))
                answer = outer.answers.pop(0) if len(outer.answers) > 1 else outer.answers[0]
                self.close_connection = True
                answer(self)

            do_GET = do_POST  # noqa: N815

            def log_message(self, *_: Any) -> None:
                """Stay silent."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: Any) -> None:
                """The client went away: that is what these tests are about."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.end = self.end  # type: ignore[attr-defined]
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self.port: int = self._server.server_address[1]
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}/T0/canary-of-the-path"

    def texts(self) -> list[str]:
        return [post.body["text"] for post in self.posts]

    def __enter__(self) -> Receiver:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:  # fmt: skip
        self.end.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

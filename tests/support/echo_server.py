"""An echo server on the hub's own engine, as the public test suites of Engine.IO and Socket.IO want one.

``engineio``: every message goes back. ``socketio``: namespaces ``/`` and ``/custom``; ``auth`` tells what the connect
brought, ``message`` comes back as ``message-back``, ``message-with-ack`` is acknowledged with what it brought. The
port is printed.
"""

from __future__ import annotations

import sys
from typing import Any

from hub import green

green.patch()

import socketio  # noqa: E402

from hub.fanout import namespaces  # noqa: E402
from hub.fanout.engine import HubEngine  # noqa: E402

ENGINE = {
    "async_mode": green.ASYNC_MODE, "ping_interval": 0.3, "ping_timeout": 0.2, "max_http_buffer_size": 1_000_000,
    "async_handlers": False, "cors_allowed_origins": [],
}  # fmt: skip
JOIN_SECONDS = 1.0


def engine_app() -> Any:
    """Return an Engine.IO application."""
    engine = HubEngine(**ENGINE)
    engine.on("connect", lambda sid, _: engine.sockets[sid].join())
    engine.on("message", engine.send)
    return engine.handle_request


class Server(socketio.Server):
    """A Socket.IO server on the hub's engine."""

    def _engineio_server_class(self) -> type[HubEngine]:
        return HubEngine


def socketio_app() -> Any:
    """Return a Socket.IO application."""
    server = Server(always_connect=False, **ENGINE)
    server.eio.join_seconds = JOIN_SECONDS
    namespaces.watch(server)
    to = server.start_background_task  # the answer to the connect goes first
    for name in ("/", "/custom"):

        def connect(sid: str, _environ: Any, auth: Any, name: str = name) -> None:
            to(server.emit, "auth", auth if auth is not None else {}, to=sid, namespace=name)

        def message(sid: str, *data: Any, name: str = name) -> None:
            server.emit("message-back", data, to=sid, namespace=name)

        server.on("connect", connect, namespace=name)
        server.on("message", message, namespace=name)
        server.on("message-with-ack", lambda _, *data: data, namespace=name)
    return server.handle_request


def main(kind: str) -> None:
    """Serve until killed."""
    sock = green.listen("127.0.0.1", 0)
    print(sock.getsockname()[1], flush=True)
    green.serve(sock, {"engineio": engine_app, "socketio": socketio_app}[kind]())


if __name__ == "__main__":
    main(sys.argv[1])

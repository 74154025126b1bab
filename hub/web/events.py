"""Socket.IO: who is let in, and what clients may send. What they are sent leaves through ``hub.fanout``."""

from __future__ import annotations

import logging
import threading
import time
from typing import Any

import orjson
from flask import Flask, request
from flask_socketio import ConnectionRefusedError, SocketIO

from hub import green
from hub.fanout import engine
from hub.hub import PriceHub
from hub.logs import Cooldown, OncePerSecond
from hub.web.guard import presented_token, token_valid
from hub.web.origins import origin_allowed

MAX_MESSAGE_BYTES = 65_536  # unmasking is per byte: a megabyte would block the loop for 0.17 s
log = logging.getLogger(__name__)
_warn = Cooldown(log)


class StrictJson:
    """JSON for Socket.IO packets that knows no NaN, in the form that python-socketio expects of a module."""

    @staticmethod
    def dumps(value: Any, **_: Any) -> str:
        """Return strict JSON; keyword arguments (separators) are of no matter."""
        return orjson.dumps(value).decode()

    @staticmethod
    def loads(text: str | bytes, **_: Any) -> Any:
        """Parse strict JSON; raises ``ValueError``."""
        return orjson.loads(text)


def make_socketio(app: Flask, hub: PriceHub) -> SocketIO:
    """Attach Socket.IO to the application and the hub's events to its clients."""
    settings = hub.settings
    engine.install()
    quiet = logging.getLogger("hub.engineio")
    quiet.setLevel(logging.WARNING)  # at INFO it logs every packet
    quiet.addFilter(OncePerSecond())
    socketio = SocketIO(
        app,
        async_mode=green.ASYNC_MODE,
        async_handlers=False,  # a thread an event would let one client start ten thousand
        always_connect=True,  # the connect answer leaves before the snapshot
        cors_allowed_origins=lambda origin, environ: origin_allowed(origin, environ, settings.frontend_url),
        max_http_buffer_size=MAX_MESSAGE_BYTES,
        http_compression=False,
        json=StrictJson,
        logger=quiet,
        engineio_logger=quiet,
    )
    server = socketio.server
    server.eio.client_buffer_bytes = settings.client_buffer_bytes
    refused = server.eio.counters = hub.counters

    def snapshot() -> list[tuple[str, str]]:
        now = time.monotonic()
        return [("ticker_update", hub.payload(quote, now)) for quote in hub.book.quotes()]

    @socketio.on("connect")
    def connect(auth: Any = None) -> None:
        token = auth.get("token") if isinstance(auth, dict) else None
        presented = token if isinstance(token, str) else presented_token()
        if settings.api_tokens and not token_valid(presented, settings.api_tokens):
            refused["clients_without_token"] += 1
            raise ConnectionRefusedError("A token is needed")
        sid = request.sid  # type: ignore[attr-defined]
        if hub.fanout.has(sid):
            return  # an event of a client's own that is named so
        client = server.eio.sockets[server.manager.eio_sid_from_sid(sid, "/")]
        hub.fanout.add(sid, client, snapshot)

    @socketio.on("disconnect")
    def disconnect(*_: Any) -> None:
        sid = request.sid  # type: ignore[attr-defined]
        if not server.manager.is_connected(sid, "/"):  # or it is an event of a client's own that is named so
            hub.fanout.remove(sid)

    @socketio.on("spike_alert")
    def spike_alert(*data: Any) -> dict[str, Any]:
        if len(data) != 1 or not isinstance(data[0], dict):
            refused["bad_spike_alert"] += 1
            _warn.warning("bad_spike_alert", "refused a spike_alert that is no object")
            return {"success": False, "error": "a spike_alert is one JSON object"}
        hub.relay("spike_alert", data[0])
        return {"success": True}

    return socketio


def tell_clients_of_stop(socketio: SocketIO, timeout_seconds: float) -> None:
    """Close every WebSocket so that its client reconnects; wait for that no longer than ``timeout_seconds``."""
    # not engineio's background tasks: their join returns at once for one that has not started yet
    threads = [
        threading.Thread(target=client.tell_restart, args=(timeout_seconds,), daemon=True)
        for client in list(socketio.server.eio.sockets.values())
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

"""Socket.IO: who is let in, and what clients may send. What they are sent leaves through ``hub.fanout``."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import orjson
from flask import Flask, request
from flask_socketio import ConnectionRefusedError, SocketIO

from hub import green
from hub.detect.relayed import check as check_relayed
from hub.fanout import engine, namespaces
from hub.fanout.choice import EVERYTHING, Choice, ChoiceError, acknowledgement, subscribed, unsubscribed
from hub.fanout.client import ClientSocket
from hub.fanout.latency import Stage
from hub.fanout.limits import BYTES_PER_EVENT, Limits
from hub.hub import PriceHub
from hub.logs import Cooldown, OncePerSecond
from hub.web.access import NO_WRITER, Access
from hub.web.admission import Admission
from hub.web.guard import presented_token
from hub.web.rates import Rates, TooMany

MAX_MESSAGE_BYTES = 65_536  # unmasking is per byte: a megabyte would block the loop for 0.17 s
MAX_RELAY_BYTES = 16_384  # as ``POST /alert``
CHOICE_BYTES = 8 * BYTES_PER_EVENT  # a choice costs ten events: its own, and as many as so many bytes
MAX_SAMPLE_MS = 60_000.0
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


def make_socketio(app: Flask, hub: PriceHub, rates: Rates, admission: Admission, access: Access) -> SocketIO:
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
        always_connect=False,  # one that is refused is told why, and was never connected
        cors_allowed_origins=admission.knows_origin,
        max_http_buffer_size=MAX_MESSAGE_BYTES,
        http_compression=False,
        json=StrictJson,
        logger=quiet,
        engineio_logger=quiet,
    )
    server = socketio.server
    server.eio.limits = Limits(
        settings.max_clients, settings.max_clients_per_ip, settings.max_events_per_second, settings.client_buffer_bytes,
        settings.trusted_proxies, settings.handshakes_per_second,
    )  # fmt: skip
    hub.joining = lambda: len(server.eio.sockets.newcomers)
    server.eio.urgent = hub.priority.has
    server.eio.draining = lambda: hub.draining
    if settings.api_tokens:
        server.eio.shut_out = rates.is_shut_out
    refused = server.eio.counters = hub.counters
    namespaces.watch(server)

    def known() -> Callable[[str], bool]:
        # before there is a product list, nobody can say what is unknown: clients come back as soon as the hub does
        return hub.book.knows if hub.book.products else lambda _: True

    def client_of(sid: str) -> ClientSocket:
        return server.eio.sockets[server.manager.eio_sid_from_sid(sid, "/")]

    @socketio.on("connect")
    def connect(auth: Any = None) -> None:
        token = auth.get("token") if isinstance(auth, dict) else None
        presented = token if isinstance(token, str) else presented_token()
        try:
            let_in, may_write = (may(request.environ, presented) for may in (access.may_read, access.may_write))
        except TooMany as error:
            raise ConnectionRefusedError(str(error)) from None
        if not let_in:
            refused["clients_without_token"] += 1
            raise ConnectionRefusedError("A token is needed")
        sid = request.sid  # type: ignore[attr-defined]
        if hub.fanout.has(sid):
            return  # an event of a client's own that is named so
        choice = EVERYTHING
        if isinstance(auth, dict) and auth.get("subscribe") is not None:
            try:
                choice, _ = subscribed(EVERYTHING, auth["subscribe"], known())
            except ChoiceError as error:
                refused["bad_subscribe"] += 1
                raise ConnectionRefusedError(f"subscribe: {error}") from None
        client = client_of(sid)
        client.may_write = may_write
        # nothing from here on waits until the connect answer has been given to the client: the snapshot follows it
        hub.fanout.add(sid, client)
        if choice != EVERYTHING:
            hub.fanout.choose(sid, choice)

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
        client, size_bytes = client_of(request.sid), len(orjson.dumps(data[0]))  # type: ignore[attr-defined]
        if not client.may_write:
            refused["writers_without_token"] += 1
            return {"success": False, "error": NO_WRITER}
        problem = check_relayed("spike_alert", data[0])
        if size_bytes > MAX_RELAY_BYTES:
            problem = f"a spike_alert has at most {MAX_RELAY_BYTES} bytes"
        if problem is not None:
            refused["bad_spike_alert"] += 1
            return {"success": False, "error": problem}
        try:
            rates.count_relay(client.address, size_bytes)
        except TooMany as error:
            return {"success": False, "error": f"{error}, wait {error.seconds} s"}
        hub.relay("spike_alert", data[0])
        return {"success": True}

    @socketio.on("subscribe")
    def subscribe(*data: Any) -> dict[str, Any]:
        def change(old: Choice) -> tuple[Choice, dict[str, Any]]:
            new, unknown = subscribed(old, _one(data), known())
            return new, acknowledgement(old, new, new, unknown)

        return choose(change)

    @socketio.on("unsubscribe")
    def unsubscribe(*data: Any) -> dict[str, Any]:
        def change(old: Choice) -> tuple[Choice, dict[str, Any]]:
            new = unsubscribed(old, _one(data))
            return new, acknowledgement(new, old, new, [])

        return choose(change)

    def choose(change: Callable[[Choice], tuple[Choice, dict[str, Any]]]) -> dict[str, Any]:
        sid = request.sid  # type: ignore[attr-defined]
        client = server.eio.sockets.get(server.manager.eio_sid_from_sid(sid, "/"))
        if client is None or not hub.fanout.has(sid):
            return {"success": False, "error": "not connected"}
        if not client._allow(CHOICE_BYTES):
            return {"success": False, "error": "too many events"}
        try:
            choice, told = change(hub.fanout.choice_of(sid))
        except ChoiceError as error:
            refused["bad_subscribe"] += 1
            return {"success": False, "error": str(error)}
        hub.fanout.choose(sid, choice)
        return told

    @socketio.on("latency_sample")
    def latency_sample(*data: Any) -> dict[str, Any]:
        sent_at = data[0].get("sent_at") if len(data) == 1 and isinstance(data[0], dict) else None
        milliseconds = time.time() * 1000 - sent_at if type(sent_at) is int else -1.0
        if not 0 <= milliseconds <= MAX_SAMPLE_MS:
            refused["bad_latency_sample"] += 1
            return {"success": False, "error": "sent_at must be that of a tick of the last minute"}
        hub.fanout.latency.note(Stage.ROUND_TRIP, milliseconds, time.monotonic())
        return {"success": True}

    return socketio


def _one(data: tuple[Any, ...]) -> Any:
    return data[0] if len(data) == 1 else None

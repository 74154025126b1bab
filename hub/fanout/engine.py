"""The Engine.IO server of our own clients: who is let in.

What this changes of ``python-engineio`` (pinned with it):
- its clients are ``hub.fanout.client.ClientSocket``: bounded, at most 16 packets a polling answer, fragments capped;
- clients, clients of an address, handshakes of an address and events are limited; sessions that join no namespace have
  places of their own, and are ended;
- permessage-deflate and WebSocket's drafts are refused: doors for bombs; so are JSONP's scripts;
- what can't be understood ends its sender: no traceback, no hung request, and nobody else notices;
- requests are judged as the protocol's test suite wants: a transport that is named, GET, POST and OPTIONS alone, and
  none for a session whose client has gone silent.
"""

from __future__ import annotations

import io
import logging
import sys
import time
from collections import Counter
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import engineio
import socketio
from engineio import packet

from hub.fanout.client import ClientSocket
from hub.fanout.limits import ADDRESS_PART, Budgets, Limits, client_address, who
from hub.fanout.pulse import Pulse
from hub.fanout.seat import CutReason
from hub.fanout.session import JOIN_SECONDS
from hub.fanout.sessions import Sessions
from hub.logs import Cooldown

METHODS = ("GET", "POST", "OPTIONS")
HEADERS = [("X-Content-Type-Options", "nosniff"), ("Vary", "Origin"), ("Cache-Control", "no-store")]
UPGRADE_WAIT_SECONDS = 0.1
CHANCE_SECONDS = 0.5  # in which an honest client joins, before it has to make room for a newer one
# what is kept of a handshake's request as long as its session lasts, at most so many characters of each
KEPT = ("flask.app", "wsgi.url_scheme", "wsgi.version", "wsgi.multithread", "wsgi.multiprocess", "wsgi.run_once",
        "REQUEST_METHOD", "SCRIPT_NAME", "PATH_INFO", "SERVER_NAME", "SERVER_PORT", "SERVER_PROTOCOL", "HTTP_HOST",
        "HTTP_AUTHORIZATION")  # fmt: skip
KEPT_LENGTH = 1_024
log = logging.getLogger(__name__)
_warn = Cooldown(log)


class HubEngine(engineio.Server):
    """Engine.IO server whose clients are ``ClientSocket``.

    The owner sets ``limits``, ``counters``, ``urgent``, ``draining`` and ``shut_out``.
    """

    start_service_task: bool

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.sockets = Sessions()
        self.limits = Limits()
        self.join_seconds = JOIN_SECONDS
        self.counters: Counter[str] = Counter()
        self.urgent: Callable[[str], bool] = lambda _: False
        self.draining: Callable[[], bool] = lambda: False
        self.shut_out: Callable[[str], bool] = lambda _: False
        self.pulse = Pulse(self)

    @property
    def limits(self) -> Limits:
        """How much is allowed. What addresses have used up is forgotten when it is set."""
        return self._limits

    @limits.setter
    def limits(self, limits: Limits) -> None:
        self._limits = limits
        self.events = Budgets(ADDRESS_PART * limits.events_per_second)
        self._handshakes = Budgets(limits.handshakes_per_second)

    def handle_request(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Answer a request, as the base class does, but for those that it takes and the protocol does not."""

        def start(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            return start_response(status, [*headers, *HEADERS], *rest)

        self.sleep(0)  # a connection whose next request is always there already must not keep the loop
        query = parse_qs(environ.get("QUERY_STRING", ""))
        fault = None
        if environ["REQUEST_METHOD"] not in METHODS:
            fault = "Method is not supported"
        elif query.get("transport", [""])[0] not in self.transports and environ["REQUEST_METHOD"] != "OPTIONS":
            fault = "Transport unknown"
        elif "j" in query:
            fault = "JSONP is not supported"
        if fault is not None:
            answer = self._bad_request(fault)
            start(answer["status"], answer["headers"])
            return [answer["response"]]
        client = self.sockets.get(query.get("sid", [""])[0])
        if client is not None and not client.closed and self.pulse.may_judge(time.monotonic()):
            client.check_ping_timeout()
        if client is not None and environ["REQUEST_METHOD"] == "GET":
            self._await_upgrade(client)
        return super().handle_request(environ, start)

    def _await_upgrade(self, client: ClientSocket) -> None:
        """Let an upgrade under way come to its end, for a moment: a poll is refused after it, and a no-op before."""
        until = time.monotonic() + UPGRADE_WAIT_SECONDS
        while client.upgrading and time.monotonic() < until:
            self.sleep(UPGRADE_WAIT_SECONDS / 10)

    def _ok(self, packets: Any = None, headers: Any = None, jsonp_index: int | None = None) -> Any:
        answer = super()._ok(packets, headers, jsonp_index)
        return answer if packets is not None else {**answer, "response": b"ok"}

    def _service_task(self) -> None:
        self.pulse.run()

    def refuse_packet(self, sid: str, error: Exception) -> None:
        """Count and log a packet that can't be understood, and end its sender."""
        self.counters["bad_packets"] += 1
        _warn.warning("bad_packet", "bad packet client=%s error=%s: %s", sid, type(error).__name__, error)
        log.debug("bad packet", exc_info=error)
        if (client := self.sockets.get(sid)) is not None:
            client.cut(CutReason.BAD_PACKET)

    def _trigger_event(self, event: str, *args: Any, **options: Any) -> Any:
        """Handle a client's message here and now; one that can't be understood ends its sender, and nothing else."""
        if event != "message":
            return super()._trigger_event(event, *args, **options)
        try:
            self.handlers[event](*args)
        except Exception as error:  # noqa: BLE001 - the decoder raises whatever the bytes lead it to
            self.refuse_packet(args[0], error)
        return None

    def _bad_request(self, message: str | None = None) -> Any:
        self.counters["refused_origins"] += message == "Not an accepted origin."
        return super()._bad_request(message)

    def _refusal(self, address: str) -> str | None:
        """Return why no more clients are let in from an address, None if one is."""
        if self.draining():
            return "draining"
        if self.shut_out(address):  # here, where clients come again: a refused namespace ends some for good
            return "bad_tokens"
        limits, whose, now = self.limits, who(address), time.monotonic()
        if limits.handshakes_per_second and not self._handshakes.of(whose, now).take(now, 1):
            return "too_many_handshakes"
        if self.sockets.joined_count >= limits.clients:
            return "too_many_clients"
        if limits.clients_per_ip and self.sockets.of_address[whose] >= limits.clients_per_ip:
            return "too_many_clients_of_ip"
        newcomers = self.sockets.newcomers
        if len(newcomers) >= limits.newcomers:
            oldest = next(iter(newcomers.values()))
            if now - oldest.newcomer_since < CHANCE_SECONDS:
                return "too_many_clients"
            oldest.cut(CutReason.NOT_JOINED)
        return None

    def _handle_connect(
        self, environ: dict[str, Any], start_response: Any, transport: str, jsonp_index: int | None = None
    ) -> Any:
        """Do what the base class does, but for the class of the client (and for cookies, which nobody uses here)."""
        if transport == "websocket" and "upgrade" not in environ.get("HTTP_CONNECTION", "").lower():
            return self._bad_request("Connection: Upgrade is needed")
        address = client_address(environ, self.limits.trusted_proxies)
        if (refusal := self._refusal(address)) is not None:
            self.counters[f"refused_{refusal}"] += 1
            _warn.warning(refusal, "refused a client address=%s reason=%s", address, refusal)
            return _unavailable(refusal)
        if self.start_service_task:
            self.start_service_task = False
            self.service_task_handle = self.start_background_task(self._service_task)
        sid = self.generate_id()
        client = self.sockets[sid] = ClientSocket(self, sid, address)
        hello = {
            "sid": sid,
            "upgrades": self._upgrades(sid, transport),
            "pingTimeout": int(self.ping_timeout * 1000),
            "pingInterval": int(self.ping_interval * 1000),
            "maxPayload": self.max_http_buffer_size,
        }
        client.send(packet.Packet(packet.OPEN, hello))
        accepted = self._trigger_event("connect", sid, _kept(environ, address), run_async=False)
        if accepted is not None and accepted is not True:
            self.sockets.pop(sid, None)
            return self._unauthorized(accepted or None)
        client.schedule_ping()
        if transport == "websocket":
            answer = client.handle_get_request(environ, start_response)
            if client.closed:
                self.sockets.pop(sid, None)
            return answer
        client.connected = True
        return self._ok(client.poll(), jsonp_index=jsonp_index)


def _kept(environ: dict[str, Any], address: str) -> dict[str, Any]:
    """Return what is kept of a request: neither its connection nor 64 KiB of headers. It is its client's by itself."""
    kept = {name: environ[name] for name in KEPT if name in environ}
    short = {name: value[:KEPT_LENGTH] if isinstance(value, str) else value for name, value in kept.items()}
    return {**short, "REMOTE_ADDR": address, "QUERY_STRING": "", "wsgi.input": io.BytesIO(), "wsgi.errors": sys.stderr}


def _unavailable(reason: str) -> dict[str, Any]:
    return {
        "status": "503 SERVICE UNAVAILABLE",
        "headers": [("Content-Type", "application/json"), ("Retry-After", "5")],
        "response": f'{{"error":"{reason}"}}'.encode(),
    }


def install() -> None:
    """Make every ``socketio.Server`` that is built from now on use ``HubEngine`` (Flask-SocketIO builds its own)."""
    socketio.Server._engineio_server_class = lambda self: HubEngine  # noqa: ARG005 - the hook's signature

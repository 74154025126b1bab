"""The Engine.IO server of our own clients: who is let in.

What this changes of ``python-engineio`` (pinned with it):
- its clients are ``hub.fanout.client.ClientSocket``: bounded, at most 16 packets a polling answer, fragments capped;
- clients, clients of an address and events of a client are limited;
- permessage-deflate and WebSocket's drafts are refused: doors for bombs;
- what can't be understood ends its sender: no traceback, no hung request, and nobody else notices.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from typing import Any

import engineio
import socketio
from engineio import packet

from hub.fanout.broadcast import CutReason
from hub.fanout.client import ClientSocket
from hub.fanout.limits import Limits, client_address, who
from hub.logs import Cooldown

log = logging.getLogger(__name__)
_warn = Cooldown(log)


class HubEngine(engineio.Server):
    """Engine.IO server whose clients are ``ClientSocket``.

    The owner sets ``limits``, ``counters``, ``urgent``, ``draining`` and ``shut_out``.
    """

    start_service_task: bool

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.limits = Limits()
        self.counters: Counter[str] = Counter()
        self.urgent: Callable[[str], bool] = lambda _: False
        self.draining: Callable[[], bool] = lambda: False
        self.shut_out: Callable[[str], bool] = lambda _: False

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
        limits, present = self.limits, self.sockets
        if len(present) >= limits.clients:
            return "too_many_clients"
        if limits.clients_per_ip:
            whose = who(address)
            same = sum(who(client.address) == whose for client in present.values())
            if same >= limits.clients_per_ip:
                return "too_many_clients_of_ip"
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
        accepted = self._trigger_event("connect", sid, environ, run_async=False)
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


def _unavailable(reason: str) -> dict[str, Any]:
    return {
        "status": "503 SERVICE UNAVAILABLE",
        "headers": [("Content-Type", "application/json"), ("Retry-After", "5")],
        "response": f'{{"error":"{reason}"}}'.encode(),
    }


def install() -> None:
    """Make every ``socketio.Server`` that is built from now on use ``HubEngine`` (Flask-SocketIO builds its own)."""
    socketio.Server._engineio_server_class = lambda self: HubEngine  # noqa: ARG005 - the hook's signature

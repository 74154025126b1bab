"""The Engine.IO server with clients of our own: bounded, and written to by one writer each.

What this changes of ``python-engineio`` (pinned with it):
- a polling answer holds at most 16 packets: clients drop the connection over one that holds more;
- a ``Batch`` is one entry of a client's queue, and leaves a WebSocket in one write;
- what waits for a client is bounded in bytes; a client that does not read is cut off, its raw socket closed;
- permessage-deflate and WebSocket's drafts are refused: doors for bombs; so are fragments that add up too far;
- what can't be understood ends its sender: no traceback, no hung request, and nobody else notices.

Engine.IO's own packets (ping, close) go through the same queue; what the WebSocket library writes by itself (pongs, the
close frame) waits for the same lock, so that nothing cuts a partial write in two.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from typing import Any

import engineio
import socketio
from engineio import exceptions, packet, payload, socket

from hub import green
from hub.fanout.batch import Batch, Frames
from hub.logs import Cooldown

MAX_POLLING_PACKETS = payload.Payload.max_decode_packets
MAX_FRAGMENTS = 1_000  # of one message
PAUSE_SECONDS = 30.0  # for which the hub itself may stand still: the client's pong then waits unread, and is no silence
CLOSE_SERVICE_RESTART = 1012
log = logging.getLogger(__name__)
_warn = Cooldown(log)


class _WriterSocket:
    """The accepted WebSocket as the client's one writer sees it: finished frames pass through untouched."""

    socket = None  # or the base class sets a timeout that a pause of the hub's uses up

    def __init__(self, ws: Any, client: ClientSocket) -> None:
        self._ws = ws
        self._client = client

    def send(self, data: str | bytes) -> None:
        if isinstance(data, Frames):
            green.send_raw(self._ws, data)
            self._client.pending_bytes -= len(data)
        else:
            self._ws.send(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ws, name)


class _ToDebugLog:
    """Where eventlet's WebSocket writes what it has to say, in pieces and without line ends."""

    @staticmethod
    def write(text: str) -> None:
        log.debug("%s", text)


class ClientSocket(socket.Socket):
    """One client. ``pending_bytes`` is what was offered and is not yet written (polling: not yet fetched)."""

    def __init__(self, server: HubEngine, sid: str) -> None:
        super().__init__(server, sid)
        self.pending_bytes = 0
        self._limit = 0  # of pending_bytes; set by the first batch, the snapshot, which must fit in any case
        self._polled: deque[Any] = deque()  # taken from the queue, waiting for the next polling answer
        self._ws: Any = None

    @property
    def transport(self) -> str:
        """The transport in use: ``websocket`` or ``polling``."""
        return "websocket" if self.upgraded else "polling"

    def offer(self, batch: Batch) -> bool:
        """Queue a batch without waiting; False if the client is gone, or does not read."""
        if self.closed or self.closing:
            return False
        self._limit = self._limit or max(self.server.client_buffer_bytes, 2 * len(batch.frames))
        if self.pending_bytes + len(batch.frames) > self._limit:
            self.server.counters["slow_clients_cut"] += 1
            _warn.warning("slow", "cut client=%s pending_bytes=%d: it does not read", self.sid, self.pending_bytes)
            return False
        self.pending_bytes += len(batch.frames)
        self.queue.put(batch)
        return True

    def close(self, wait: bool = True, abort: bool = False, reason: str | None = None) -> None:  # noqa: ARG002
        """Close the session; never wait for what is queued to be read, which a hostile client puts off for ever."""
        super().close(wait=False, abort=abort, reason=reason)

    def cut(self) -> None:
        """End the client at once: close the session, wake whoever waits on its socket."""
        self.close(abort=True, reason=self.server.reason.TRANSPORT_ERROR)
        if self._ws is not None:
            green.cut(self._ws)

    def tell_restart(self, timeout_seconds: float) -> None:
        """Write what is queued, then close the WebSocket with 1012 (service restart): clients then reconnect.

        Engine.IO's own CLOSE would make some clients stop for good.
        """
        if self._ws is None:
            self.queue.put(packet.Packet(packet.NOOP))  # ends a waiting poll
            return
        try:
            with green.deadline(timeout_seconds):
                while self.pending_bytes:
                    self.server.sleep(0.005)
                green.close_websocket(self._ws, CLOSE_SERVICE_RESTART)
        except TimeoutError:
            log.warning("client=%s was not told of the stop: it does not read", self.sid)
        green.cut(self._ws)

    def poll(self) -> list[Any]:
        """Wait for what is next: for a WebSocket all that is queued, for polling at most 16 packets."""
        if not self._polled:
            self._polled.extend(super().poll())
        if self.upgraded:
            entries = list(self._polled)
            self._polled.clear()
            return entries
        answer: list[Any] = []
        while self._polled and len(answer) < MAX_POLLING_PACKETS:
            entry = self._polled.popleft()
            if isinstance(entry, Batch):
                self.pending_bytes -= len(entry.frames)
                self._polled.extendleft(reversed(entry.packets()))
            else:
                answer.append(entry)
        return answer

    def handle_post_request(self, environ: dict[str, Any]) -> None:
        """Take a polling client's packets in; raises ``EngineIOError``, which ends the session, for what is none."""
        try:
            super().handle_post_request(environ)
        except ValueError as error:
            self.server.refuse_packet(self.sid, error)
            raise exceptions.EngineIOError("bad packet") from None

    def _upgrade_websocket(self, environ: dict[str, Any], start_response: Any) -> Any:
        if environ.get("HTTP_SEC_WEBSOCKET_VERSION") != "13":
            return self.server._bad_request("WebSocket version 13 is needed")
        environ.pop("HTTP_SEC_WEBSOCKET_EXTENSIONS", None)
        environ["wsgi.errors"] = _ToDebugLog
        return super()._upgrade_websocket(environ, start_response)

    def _websocket_handler(self, ws: Any) -> Any:
        self._ws = ws
        green.cap_messages(ws, self.server.max_http_buffer_size, MAX_FRAGMENTS)
        ws.socket.settimeout(self.server.ping_interval + self.server.ping_timeout + PAUSE_SECONDS)
        try:
            return super()._websocket_handler(_WriterSocket(ws, self))
        except Exception as error:  # noqa: BLE001 - the decoder raises whatever the bytes lead it to
            if not self.closed:
                self.server.refuse_packet(self.sid, error)
            return []
        finally:
            self._ws = None
            self.upgrading = False
            if self.upgraded:  # a failed attempt leaves the client polling
                self.close(abort=True, reason=self.server.reason.TRANSPORT_CLOSE)


class HubEngine(engineio.Server):
    """Engine.IO server whose clients are ``ClientSocket``. The owner sets ``client_buffer_bytes`` and ``counters``."""

    client_buffer_bytes = 33_554_432
    start_service_task: bool

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.counters: Counter[str] = Counter()

    def refuse_packet(self, sid: str, error: Exception) -> None:
        """Count and log a packet that can't be understood, and end its sender."""
        self.counters["bad_packets"] += 1
        _warn.warning("bad_packet", "cut client=%s bad packet: %s: %s", sid, type(error).__name__, error)
        log.debug("bad packet", exc_info=error)
        if (client := self.sockets.get(sid)) is not None:
            client.cut()

    def _trigger_event(self, event: str, *args: Any, **options: Any) -> Any:
        """Handle a client's message here and now; one that can't be understood ends its sender, and nothing else."""
        if event != "message":
            return super()._trigger_event(event, *args, **options)
        try:
            self.handlers[event](*args)
        except Exception as error:  # noqa: BLE001 - the decoder raises whatever the bytes lead it to
            self.refuse_packet(args[0], error)
        return None

    def _handle_connect(
        self, environ: dict[str, Any], start_response: Any, transport: str, jsonp_index: int | None = None
    ) -> Any:
        """Do what the base class does, but for the class of the client (and for cookies, which nobody uses here)."""
        if transport == "websocket" and "upgrade" not in environ.get("HTTP_CONNECTION", "").lower():
            return self._bad_request("Connection: Upgrade is needed")
        if self.start_service_task:
            self.start_service_task = False
            self.service_task_handle = self.start_background_task(self._service_task)
        sid = self.generate_id()
        client = self.sockets[sid] = ClientSocket(self, sid)
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
            del self.sockets[sid]
            return self._unauthorized(accepted or None)
        client.schedule_ping()
        if transport == "websocket":
            answer = client.handle_get_request(environ, start_response)
            if client.closed:
                self.sockets.pop(sid, None)
            return answer
        client.connected = True
        return self._ok(client.poll(), jsonp_index=jsonp_index)


def install() -> None:
    """Make every ``socketio.Server`` that is built from now on use ``HubEngine`` (Flask-SocketIO builds its own)."""
    socketio.Server._engineio_server_class = lambda self: HubEngine  # noqa: ARG005 - the hook's signature

"""What a session may do: join a namespace in time, answer pings, send what its budgets allow. Its end is the client's.

``hub.fanout.client`` has the other half, which is what it is sent.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

from engineio import exceptions, packet, payload, socket

from hub.fanout.limits import Budget, who
from hub.fanout.seat import CutReason
from hub.logs import Cooldown

if TYPE_CHECKING:
    from hub.fanout.engine import HubEngine

MAX_PACKETS = payload.Payload.max_decode_packets
UNJOINED_BYTES = 65_536  # that answers to a session may take before it has joined a namespace
JOIN_SECONDS = 5.0  # for which a session may be here and join nothing
TURN_SECONDS = 0.005  # of one client's packets, before others have their turn
LINGER_SECONDS = 2.0  # for which a client that is told to go may take its time
BINARY = ("5", "6")  # Socket.IO events with attachments: nobody sends any, and they would pile up
log = logging.getLogger(__name__)
_warn = Cooldown(log)


def packets_of(text: str) -> list[str]:
    """Return the packets of a POST's body. Raises ``ValueError`` for more than 16. JSONP's ``d=`` is no packet."""
    packets = text.split("\x1e") if text else []
    if len(packets) > MAX_PACKETS:
        raise ValueError("too many packets")
    return packets


class Session(socket.Socket):
    """One session, as far as its client acts."""

    last_ping: float | None  # of the wall clock, while a pong is due

    def __init__(self, server: HubEngine, sid: str, address: str) -> None:
        super().__init__(server, sid)
        now = time.monotonic()
        self.address = address
        self.whose = who(address)  # as whom it counts
        self.budget = Budget(server.limits.events_per_second, now)
        self._budget_of_address = server.events.of(self.whose, now)
        self.newcomer_since, self.join_by = now, now + server.join_seconds
        self.may_write = False  # whether it has shown one of ``WRITE_TOKENS``
        self._refused_namespace = False
        self.has_joined = False

    def cut(self, reason: CutReason) -> None:
        """End the client at once."""
        raise NotImplementedError

    @property
    def answers_limit_bytes(self) -> int:
        """What may wait for it of answers to what it sent."""
        return self.server.limits.buffer_bytes if self.has_joined else UNJOINED_BYTES

    # -- joining --------------------------------------------------------------------------------------

    def join(self) -> None:
        """Note that the session has joined a namespace; end it, so that it comes again later, if all places are taken.
        """
        if not self.has_joined:
            if self.server.sockets.joined_count >= self.server.limits.clients:
                self.cut(CutReason.NO_PLACE)
                return
            self.has_joined = True
            self.server.sockets.joined(self.sid)

    def left(self) -> None:
        """Note that the session has left all that it had joined: it may join again, in as much time as at first."""
        self.has_joined = False
        self.newcomer_since = time.monotonic()
        self.join_by = self.newcomer_since + self.server.join_seconds
        self.server.sockets.left(self.sid)

    def refuse(self) -> None:
        """Give the session, which has joined nothing and was refused, the time to read why. It may try nothing more."""
        self._refused_namespace = True
        self.join_by = min(self.join_by, time.monotonic() + LINGER_SECONDS)

    # -- pings ----------------------------------------------------------------------------------------

    def schedule_ping(self) -> None:
        """Have the next ping sent in its time, if the last one was answered."""
        if self.last_ping:
            self.last_ping = None
            self.server.pulse.ping_later(self.sid)

    def ping(self) -> None:
        """Send a ping: from now on an answer is due."""
        if not self.closing and not self.closed:
            self.last_ping = time.time()
            self.send(packet.Packet(packet.PING))

    def check_ping_timeout(self) -> bool:
        """Return whether a pong came in time; end the session if not, without a CLOSE: clients come back after that."""
        if self.closed:
            raise exceptions.SocketIsClosedError
        if not self.last_ping or time.time() - self.last_ping <= self.server.ping_timeout:
            return True
        self.close(abort=True, reason=self.server.reason.PING_TIMEOUT)
        return False

    # -- what the client sends ------------------------------------------------------------------------

    def receive(self, pkt: packet.Packet) -> None:
        """Take a packet in, if the client's budget has room for it. Raises ``SocketIsClosedError`` after the end."""
        if self.closed:
            raise exceptions.SocketIsClosedError
        if pkt.packet_type == packet.MESSAGE and self._refused_namespace:
            self.cut(CutReason.NOT_JOINED)
        elif pkt.packet_type == packet.MESSAGE and (isinstance(pkt.data, bytes) or str(pkt.data).startswith(BINARY)):
            self.server.refuse_packet(self.sid, ValueError("binary events are not taken"))
        elif self._allow(len(pkt.data) if isinstance(pkt.data, str) else 0):
            super().receive(pkt)

    def _allow(self, size_bytes: int = 0) -> bool:
        now = time.monotonic()
        if self.budget.spend(now, size_bytes) and self._budget_of_address.spend(now, size_bytes):
            return True
        self.cut(CutReason.TOO_MANY_EVENTS)
        return False

    def handle_post_request(self, environ: dict[str, Any]) -> None:
        """Take a polling client's packets in; raises ``EngineIOError``, which ends the session, for what is none."""
        size_bytes = int(environ.get("CONTENT_LENGTH") or 0)
        if size_bytes > self.server.max_http_buffer_size:
            self._refused("too_large")
            raise exceptions.ContentTooLongError
        try:
            texts, turn_began = packets_of(environ["wsgi.input"].read(size_bytes).decode()), time.monotonic()
            for text in texts:
                self.receive(packet.Packet(encoded_packet=text))
                if time.monotonic() - turn_began > TURN_SECONDS:
                    self.server.sleep(0)
                    turn_began = time.monotonic()
        except ValueError as error:
            self.server.refuse_packet(self.sid, error)
            raise exceptions.EngineIOError("bad packet") from None

    def _refused(self, reason: str) -> None:
        self.server.counters[f"refused_{reason}"] += 1
        _warn.warning(reason, "refused client=%s reason=%s", self.sid, reason)

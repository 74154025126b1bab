"""One client of the Socket.IO server: bounded, and written to by one writer.

Everything for a client waits in its ``Outbox``. A WebSocket that takes it is written to at once, by whoever offers,
else by the client's own thread when the socket has room again: nobody waits for a client but itself. One that takes
nothing for ``STUCK_SECONDS`` is cut off, its raw socket closed. Engine.IO's own packets (ping, close) wait in the same
outbox, and so does what the WebSocket library writes by itself (pongs, the close frame): nothing comes between the two
parts of a frame.
"""

from __future__ import annotations

import contextlib
import logging
import math
import secrets
import time
from typing import TYPE_CHECKING, Any

from engineio import exceptions, packet, payload

from hub import green
from hub.fanout.accepted import EngineSocket, ToDebugLog
from hub.fanout.batch import Batch, Control, Frames
from hub.fanout.choice import Choice
from hub.fanout.latest import Missed
from hub.fanout.outbox import Outbox
from hub.fanout.seat import CutReason, Figures
from hub.fanout.session import LINGER_SECONDS, Session
from hub.logs import Cooldown
from hub.wire import close_frame

if TYPE_CHECKING:
    from collections.abc import Callable

    from hub.fanout.engine import HubEngine

MAX_POLLING_PACKETS = payload.Payload.max_decode_packets
MAX_FRAGMENTS = 1_000  # of one message
PAUSE_SECONDS = 30.0  # for which the hub itself may stand still: the client's pong then waits unread, and is no silence
UNSENT_BYTES = 65_536  # in the kernel, beyond what the client has room for: more is old prices, less is more wake-ups
ANSWERS_PART = 4  # limits that answers and pongs to a client may fill: it asks and does not read
UPGRADE_SECONDS = 10.0  # as long as the official server gives it
STUCK_SECONDS = 8.0  # without room in a socket's buffers, or without a poll while something waits
SLOW_BYTES_PER_SECOND = 8_192  # that a polling client takes at least: so much longer its next poll may take
MAX_PATIENCE_SECONDS = 30.0
CLOSE_SERVICE_RESTART = 1012
RATE_SECONDS = 2.0
SLICE_SECONDS = 0.005  # of writing to one client, before others have their turn
_WAKE = object()  # in engineio's queue: look at the outbox
log = logging.getLogger(__name__)
_warn = Cooldown(log)


class ClientSocket(Session):
    """One client. All of it runs on the web server's loop."""

    def __init__(self, server: HubEngine, sid: str, address: str) -> None:
        super().__init__(server, sid, address)
        self.outbox = Outbox(server.limits.buffer_bytes, server.urgent)
        self._connected_at = now = time.monotonic()
        self._shown_id = secrets.token_hex(4)  # not the session's: who knows that can take it over
        self._measured, self._bytes_per_second = (now, 0), 0.0  # when, and how many bytes were taken then
        self._polled_at, self._patience_seconds = now, STUCK_SECONDS  # when the last poll ended, how long none may come
        self._upgrade_by = math.inf  # when an upgrade under way must be through
        self._ws: Any = None
        self._send: Callable[[bytes | memoryview], int]  # to the WebSocket, while it is writable
        self._writable = False  # whether the WebSocket may be written to: not before an upgrade is through
        self._full = False  # whether the WebSocket's writer waits for room: nobody else may write then
        self._writing = False  # whether the WebSocket's writer runs
        self._waiting = False  # whether somebody waits on engineio's queue for the outbox
        self._leaving = False  # whether it is over, or was asked to go: nothing more is offered

    @property
    def transport(self) -> str:
        """The transport in use: ``websocket`` or ``polling``."""
        return "websocket" if self.upgraded else "polling"

    def measure(self, now: float) -> None:
        """Note the rate at which the client takes bytes."""
        then, taken = self._measured
        if now - then >= RATE_SECONDS:
            self._bytes_per_second = (self.outbox.taken_bytes - taken) / (now - then)
            self._measured = now, self.outbox.taken_bytes

    def figures(self, now: float) -> Figures:
        """Return what is known of the client."""
        outbox = self.outbox
        return Figures(
            self._shown_id, self.transport, now - self._connected_at, self._bytes_per_second, outbox.pending_bytes,
            outbox.lagging, outbox.behind_seconds(now), outbox.conflated_total, outbox.dropped_total,
            outbox.taken_bytes,
        )  # fmt: skip

    # -- what comes in for the client -----------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """Whether it takes a snapshot: it is a WebSocket, or its poll waits for what is next."""
        return self._writable or self._waiting or self.closed  # one that has ended is to be found so

    def welcome(self, snapshot: Batch, now: float) -> bool:
        """Take the snapshot, which must fit in any case; False if the client is gone."""
        self.outbox.limit_bytes = max(self.outbox.limit_bytes, 2 * len(snapshot.frames))
        return self.give(snapshot, now)

    @property
    def lagging(self) -> bool:
        """Whether it refuses batches, since too much waits."""
        return self.outbox.lagging

    def offer(self, batch: Batch, now: float) -> bool:
        """Take a batch without waiting; False if the client is gone, or ``lagging`` from now on."""
        if self.closed or self._leaving:
            return False
        outbox = self.outbox
        if self._writable and not outbox.pending_bytes and not outbox.lagging:
            frames = batch.frames
            try:
                sent = self._send(frames)
            except BlockingIOError:
                sent = 0
            except OSError:
                return False  # its reader notices too, and ends it
            if sent == len(frames):
                outbox.taken_bytes += sent
                return True
            outbox.put(batch)
            if sent:
                outbox.head(now)
                outbox.wrote(sent)
        elif not outbox.add(batch, now):
            self._wake()
            return False
        self._wake()
        return True

    def give(self, batch: Batch, now: float) -> bool:
        """Take a batch in any case, without waiting; False if the client is gone."""
        if not self.outbox.pending_bytes or self.closed or self._leaving:
            return self.offer(batch, now)
        self.outbox.put(batch)
        self._wake()
        return True

    def when_room(self, call: Callable[[float], object]) -> None:
        """Have ``call(now)`` call ``catch_up``, once there is room for what a client that lags has missed."""
        self.outbox.when_room(call)

    def catch_up(self, missed: Missed, now: float) -> None:
        """Take what was missed in any case, and go on."""
        if not self.closed:
            self.outbox.catch_up(missed, now)
            self._wake()

    def choose(self, choice: Choice) -> None:
        """Note what the client wants from now on."""
        self.outbox.batched = choice.batch

    def send(self, pkt: packet.Packet) -> None:
        """Queue a packet of Engine.IO or Socket.IO: it leaves in line with the rest, a ping before it."""
        if self.check_ping_timeout():
            self.write(Control(pkt), first=pkt.packet_type == packet.PING)

    def write(self, entry: Control | Frames, first: bool = False) -> None:
        """Put an entry in line, and write what can be written without waiting."""
        (self.outbox.put_first if first else self.outbox.put)(entry)
        outbox = self.outbox
        if outbox.pending_bytes > ANSWERS_PART * outbox.limit_bytes or outbox.answers_bytes > self.answers_limit_bytes:
            self.cut(CutReason.NOT_READING)
            return
        if self._writable and not self._full:
            try:
                self._write_some()
            except OSError:
                return  # its reader notices too, and ends it
        self._wake()

    def _wake(self) -> None:
        if self._waiting and (self.outbox.pending_bytes or self.outbox.lagging):
            self._waiting = False
            self.queue.put(_WAKE)

    # -- what goes out --------------------------------------------------------------------------------

    def _write_some(self) -> bool:
        """Write until the socket takes no more, or for a moment; return whether anything is left."""
        outbox, until = self.outbox, time.monotonic() + SLICE_SECONDS
        while (data := outbox.head(now := time.monotonic())) is not None:
            sent = green.send_some(self._ws, data)
            if not sent:
                return True
            outbox.wrote(sent)
            if now > until:
                return bool(outbox.pending_bytes)
        return False

    def poll(self) -> list[Any]:
        """Wait for what is next: for a WebSocket until its end, for polling at most 16 packets.

        Raises ``EngineIOError``, which ends the session, where another poll waits already: it would get what this one
        wakes up for.
        """
        if self.upgraded:
            self._write_until_closed()
            return []
        if self._waiting:
            self._refused("polls")
            raise exceptions.EngineIOError("another poll is waiting")
        empty = self.server.get_queue_empty_exception()
        while True:
            if self.upgrading or self.upgraded:
                return [packet.Packet(packet.NOOP)]
            if packets := self.outbox.packets(MAX_POLLING_PACKETS, time.monotonic()):
                self._note_poll(packets)
                return packets
            self._waiting = True
            try:
                entry = self.queue.get(timeout=self.server.ping_interval + self.server.ping_timeout)
            except empty:
                raise exceptions.QueueEmpty from None
            finally:
                self._waiting = False
                self._note_poll([])
            if entry is None:
                return [packet.Packet(packet.NOOP)]  # the session is over: an empty answer would be no payload
            if entry is not _WAKE:
                return [entry]  # what ends a poll when the client upgrades

    def _note_poll(self, packets: list[packet.Packet]) -> None:
        size_bytes = sum(len(pkt.data) for pkt in packets if isinstance(pkt.data, str))
        self._polled_at = time.monotonic()
        self._patience_seconds = min(MAX_PATIENCE_SECONDS, STUCK_SECONDS + size_bytes / SLOW_BYTES_PER_SECOND)

    def _write_until_closed(self) -> None:
        """Be the client's writer: of what could not be written at once."""
        if self._ws is None or self.closed:  # it ended before this thread began
            return
        self.outbox.upgraded()
        green.own_writer(self._ws, lambda frames: self.write(Frames(frames)))
        self._writable = self._writing = True
        try:
            while True:
                while self._writable and self._write_some():
                    self._full = True
                    has_room = green.wait_writable(self._ws, STUCK_SECONDS)
                    self._full = False
                    if not has_room:
                        self.cut(CutReason.NOT_READING)
                        return
                    self.server.sleep(0)
                if self.closed:
                    return
                self._waiting = True
                entry = self.queue.get()
                self._waiting = False
                if entry is None:
                    if self._writable:
                        self._write_some()
                    return
                if isinstance(entry, packet.Packet):
                    self.outbox.put(Control(entry))
        except OSError as error:
            log.debug("client=%s is gone: %s", self.sid, error)
        finally:
            self._writing = self._waiting = False

    def _stop_writing(self) -> None:
        """Note that the WebSocket was read to its end: whoever went away gets nothing more, however slowly it reads."""
        self._writable = False

    # -- by the clock, and the end --------------------------------------------------------------------

    def is_stuck(self, now: float) -> bool:
        """Tell whether the session polls and does not fetch what waits: it takes nothing more, and is to be cut.

        One that is silent is ended, and an upgrade that takes too long.
        """
        if self.closed or not self.check_ping_timeout() or self.upgraded:
            return False  # a WebSocket's own writer notices
        patience = self._patience_seconds + (UPGRADE_SECONDS if self.upgrading else 0)
        if not self._waiting and not self.outbox.empty and now - self._polled_at > patience:
            self._leaving = True
            return True
        if now > self._upgrade_by and self._ws is not None:
            green.cut(self._ws)  # it polls on
        return False

    def close(self, wait: bool = True, abort: bool = False, reason: str | None = None) -> None:  # noqa: ARG002
        """Close the session; never wait for what is queued to be read, which a hostile client puts off for ever."""
        if self.closed or self.closing:
            return
        if reason == self.server.reason.PING_TIMEOUT:
            self.server.counters["cut_ping_timeout"] += 1
        self._leaving = True
        super().close(wait=False, abort=abort, reason=reason)
        self.server.sockets.pop(self.sid, None)  # it counts against the limits no more, and what it sends is refused
        if self._ws is not None:
            self.server.start_background_task(self._cut_soon, self._ws)

    def _cut_soon(self, ws: Any) -> None:
        """Cut the raw socket of a session that is over, if its client does not close it."""
        self.server.sleep(LINGER_SECONDS)
        if self._ws is ws:
            green.cut(ws, unsent=False)

    def cut(self, reason: CutReason) -> None:
        """End the client at once: count and log why, tell it if it reads, wake whoever waits on its socket."""
        if not self.closed:
            label = reason.name.lower()
            self.server.counters[f"cut_{label}"] += 1
            pending = self.outbox.pending_bytes
            _warn.warning(label, "cut client=%s code=%d reason=%s pending_bytes=%d", self.sid, reason, label, pending)
        if self._writable and not self.outbox.pending_bytes:
            with contextlib.suppress(OSError):  # it is gone already: that is what was wanted
                green.send_some(self._ws, close_frame(reason, reason.name.lower()))
        self.close(abort=True, reason=self.server.reason.TRANSPORT_ERROR)
        if self._ws is not None:
            green.cut(self._ws, unsent=reason is not CutReason.NOT_READING)
        self.outbox.clear()  # its next ping, half a minute off, holds this object

    def leave(self) -> bool:
        """Have the client go so that it comes back to the next process; return whether it is gone.

        To be called until it is. A WebSocket is closed with 1012 (service restart), behind what is queued; who polls
        gets what is queued, and then no session. Engine.IO's own CLOSE would make some clients stop for good.
        """
        if self.closed:
            return True
        if self.upgrading or (self.upgraded and not self._writable):
            return False  # it will be a WebSocket in a moment, or closed
        if not self._leaving:
            self.outbox.make_room(time.monotonic(), anyway=True)
            self._leaving = True  # nothing may follow the close frame
            if self.upgraded:
                self.write(Frames(close_frame(CLOSE_SERVICE_RESTART)))
            elif self._waiting:
                self.queue.put(packet.Packet(packet.NOOP))  # ends the poll
        if not self.outbox.empty:
            return False
        if self.upgraded:
            green.end_sending(self._ws)
        self.server.sockets.pop(self.sid, None)
        return True

    def cut_leaving(self) -> None:
        """Give up a client that was to leave and takes nothing."""
        _warn.warning("not_told", "client=%s was not told of the stop: it does not read", self.sid)
        self.server.sockets.pop(self.sid, None)
        if self._ws is not None:
            green.cut(self._ws)

    def _upgrade_websocket(self, environ: dict[str, Any], start_response: Any) -> Any:
        if environ.get("HTTP_SEC_WEBSOCKET_VERSION") != "13":
            return self.server._bad_request("WebSocket version 13 is needed")
        if self._ws is not None or self.upgrading:
            return self.server._bad_request("An upgrade is under way")
        environ.pop("HTTP_SEC_WEBSOCKET_EXTENSIONS", None)
        environ["wsgi.errors"] = ToDebugLog
        return super()._upgrade_websocket(environ, start_response)

    def _websocket_handler(self, ws: Any) -> Any:
        if self._ws is not None or self.closed:  # another one was faster, or the client ended meanwhile
            return []
        self._ws = ws
        self._upgrade_by = time.monotonic() + UPGRADE_SECONDS
        green.tune(ws, UNSENT_BYTES)
        green.guard_reading(ws, self.server.max_http_buffer_size, MAX_FRAGMENTS, self._allow, self._refused)
        self._send = green.sender(ws)
        ws.socket.settimeout(self.server.ping_interval + self.server.ping_timeout + PAUSE_SECONDS)
        try:
            return super()._websocket_handler(EngineSocket(ws, self._stop_writing))
        except OSError as error:  # while it upgraded: a probe that never came
            log.debug("client=%s lost a WebSocket: %s", self.sid, error)
            return []
        except Exception as error:  # noqa: BLE001 - the decoder raises whatever the bytes lead it to
            if not self.closed:
                self.server.refuse_packet(self.sid, error)
            return []
        finally:
            self._writable = self.upgrading = False
            if self.upgraded:  # a failed attempt leaves the client polling
                self.close(abort=True, reason=self.server.reason.TRANSPORT_CLOSE)
                green.cut(ws)
                while self._writing:  # the descriptor is closed after this: nobody may wait on it then
                    self.server.sleep(0)
                self.outbox.clear()
            self._ws = None

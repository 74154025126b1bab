"""One client's WebSocket connection: what it subscribed, and the one bounded buffer that everything leaves through.

Nothing here waits for the client: ``flush`` writes what the socket takes and keeps the rest. Only the reader, in
``Exchange``, blocks on the socket.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import threading
import time
from collections.abc import Iterable
from typing import Any

from hub import green, wire
from hub.simulator.evidence import Evidence

MAX_PENDING_BYTES = 4 * 1024 * 1024  # a client that lags further behind is cut
SEND_BUFFER_BYTES = 256 * 1024  # the kernel's own buffer would hide a client that does not read
EMPTY_CLOSE = b"\x88\x00"
DRIP_SECONDS = 1.0
DRIP_TEXT = b'{"simulated":true,"type":"status"}'.ljust(60_000)  # a frame that takes most of a day
GONE = frozenset({errno.EPIPE, errno.ECONNRESET, errno.ENOTCONN, errno.EBADF, errno.ESHUTDOWN, errno.ENOTSOCK})


class Session:
    """A connection; ``index`` counts all connections, times are monotonic seconds."""

    def __init__(self, index: int, ws: Any, address: str, opened_at: float, evidence: Evidence) -> None:
        self.index = index
        self.address = address
        self.opened_at = opened_at
        self.channels: dict[str, set[str]] = {}
        self.updated_at: dict[str, float] = {}  # when each channel brought something, where the protocol asks that
        self.sequence_num = 0  # of the next frame, where the protocol numbers them
        self.has_subscribed = False
        self.sent_frames = 0
        self.lost_frames = 0  # those that were due while it was muted, or that a fault kept from it
        self.behind: set[str] = set()  # products of which something was kept from it
        self.no_data_until = 0.0
        self.no_heartbeats_until = 0.0
        self.pending_bytes = 0
        self.open = True
        self.muted_until: float | None = None
        self._evidence = evidence
        self._unwritten: dict[str, bool] = {}  # product -> whether what waits for it is a proof
        self._dripping: tuple[float, float] | None = None  # until when, and when the next byte is due
        self._drip_rest = b""
        self._cap_bytes = MAX_PENDING_BYTES
        self._chunks: list[bytes] = []
        self._rest = memoryview(b"")  # what is left of a write that the socket took in part
        self._awake = threading.Event()
        self._awake.set()
        self._reset = False
        self._ws = ws
        green.own_writer(ws, self.write_now)
        ws.socket.settimeout(None)  # a client may be silent for ever
        ws.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        ws.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)

    def product_ids(self) -> set[str]:
        """Return the products of all its channels; the one without products names itself."""
        return set().union(*(ids for name, ids in self.channels.items() if name != "heartbeats"))

    def receive(self) -> str | bytes | None:
        """Wait for the client's next message, and while muted; None at the end."""
        message: str | bytes | None = self._ws.wait() if self.open else None
        if message is not None:
            self._awake.wait()
        return message if self.open else None

    def queue(self, framed: bytes, product_id: str | None = None, proof: bool = False) -> None:
        """Put a finished frame into the buffer; a client that is too far behind is cut.

        ``product_id`` is for tickers and heartbeats, ``proof`` for those that prove that nothing was missed.
        """
        if not self.open:
            return
        if self.muted or self._dripping:
            self.lost_frames += 1
            if product_id is not None:
                self.behind.add(product_id)
            return
        if product_id is not None:
            proven = proof and product_id not in self.behind
            self._unwritten[product_id] = proven or self._unwritten.get(product_id, False)
        self.sent_frames += 1
        self._append(framed)

    def queue_about(self, framed: bytes, product_ids: Iterable[str]) -> None:
        """Put a frame about several products into the buffer; a proof of none."""
        sent = self.sent_frames
        self.queue(framed)
        if self.sent_frames > sent:  # it was not dropped
            for product_id in product_ids:
                self._unwritten.setdefault(product_id, False)

    def _append(self, data: bytes) -> None:
        self._chunks.append(data)
        self.pending_bytes += len(data)
        if self.pending_bytes > self._cap_bytes:
            self.cut()

    def keep_from(self, product_id: str) -> None:
        """Count a ticker that it does not get."""
        self.lost_frames += 1
        self.behind.add(product_id)

    def flush(self) -> None:
        """Write what the socket takes right now."""
        while self.open and self.pending_bytes and not self.muted:
            if not self._rest:
                self._rest = memoryview(b"".join(self._chunks))
                self._chunks.clear()
            try:
                taken = green.send_some(self._ws, self._rest)
            except OSError as error:
                if error.errno not in GONE:
                    raise
                self.cut()
                return
            self._rest = self._rest[taken:]
            self.pending_bytes -= taken
            if self._rest:
                return
        if self._unwritten and not self.pending_bytes:
            self._evidence.note(self._unwritten, time.monotonic())
            self._unwritten.clear()

    def write_now(self, framed: bytes) -> None:
        """Send a frame at once, behind what is already in the buffer."""
        self.queue(framed)
        self.flush()

    def write_giant(self, framed: bytes) -> None:
        """Send a frame of any size at once."""
        self._cap_bytes = MAX_PENDING_BYTES + len(framed)
        self.write_now(framed)

    @property
    def muted(self) -> bool:
        """Tell whether nothing is read or written any more, on a socket that stays open."""
        return self.muted_until is not None

    def mute(self, until: float) -> None:
        """Read and write nothing until monotonic ``until``; what is due meanwhile is lost."""
        self.muted_until = until
        self._awake.clear()

    def unmute(self) -> None:
        """Go on reading and writing."""
        self.muted_until = None
        self._awake.set()

    def drip(self, until: float, now: float) -> None:
        """Begin a frame and write one byte of it a second until monotonic ``until``; all else is lost."""
        framed = wire.text_frame(DRIP_TEXT)
        head = len(framed) - len(DRIP_TEXT)
        self._append(framed[:head])
        self._drip_rest = DRIP_TEXT
        self._dripping = until, now
        self.pass_time(now)

    def pass_time(self, now: float) -> None:
        """End what has a deadline, and let the next byte drip."""
        if self.muted_until is not None and self.muted_until <= now:
            self.unmute()
        if self._dripping is None or not self.open:
            return
        until, next_at = self._dripping
        if now >= until or not self._drip_rest:
            self._dripping = None
            self._append(self._drip_rest)
        elif now >= next_at:
            self._dripping = until, now + DRIP_SECONDS
            self._append(self._drip_rest[:1])
            self._drip_rest = self._drip_rest[1:]
        self.flush()

    def heal(self) -> None:
        """End all faults of this connection."""
        self.no_data_until = self.no_heartbeats_until = 0.0
        self.behind.clear()
        if self._dripping is not None:
            self._dripping = 0.0, 0.0
            self.pass_time(0.0)
        self.unmute()

    def close(self, code: int | None) -> None:
        """Say goodbye with a WebSocket close frame (None: one without a code) and shut the connection."""
        self.write_now(EMPTY_CLOSE if code is None else wire.close_frame(code))
        self.cut()

    def cut(self) -> None:
        """Shut the connection both ways, without a word; the reader ends and cleans up."""
        self._end()
        green.cut(self._ws)

    def reset(self) -> None:
        """Break the connection with a TCP reset, once the reader has let go of the socket."""
        self._reset = True
        self._end()
        try:
            self._ws.socket.shutdown(socket.SHUT_RD)  # wakes the reader, tells the client nothing
        except OSError as error:
            if error.errno not in GONE:
                raise

    def release(self) -> None:
        """Let go of the socket. For the reader, as the last thing that it does."""
        self._end()
        if self._reset:
            reset_socket(self._ws.socket)

    def _end(self) -> None:
        self.open = False
        self._chunks.clear()
        self._rest = memoryview(b"")
        self.pending_bytes = 0
        self._unwritten.clear()
        self.unmute()


def reset_socket(sock: Any) -> None:
    """Close a TCP socket with a reset instead of a FIN, whoever else still holds its descriptor."""
    if sock.fileno() < 0:
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    nowhere = os.open(os.devnull, os.O_RDWR)
    try:
        os.dup2(nowhere, sock.fileno())  # the last reference: the kernel closes it, lingering for 0 s
    finally:
        os.close(nowhere)

"""A connection that one of our HTTP servers accepted: it takes turns with the others, and owes in time.

To be imported after ``green.patch()``: it is built on eventlet's sockets.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

import eventlet
from eventlet import hubs
from eventlet.greenio import GreenSocket

from hub import green_http
from hub.door import Door
from hub.green_http import ANSWER_SECONDS, DISCARD_BYTES, DISCARD_STEP_BYTES, STALL_SECONDS

ROUND_SECONDS = 0.02  # of all connections together, before the loop's other work has its turn
CROWDED_ROUND_SECONDS = 0.003  # the same while others wait to be accepted, who may be those that ask for health
TURN_SECONDS = 0.005  # of one connection, before others have theirs
TURN_BYTES = 65_536  # that one connection reads in a turn
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: what is unsent is dropped when the socket is closed


class Turns:
    """Hands out turns, address by address: for ``round_seconds`` in each round of the loop, and one at least.

    However many connections have data, prices and everybody else get theirs in between.
    """

    def __init__(self) -> None:
        self.round_seconds = ROUND_SECONDS
        self._queues: dict[str | None, deque[list[Callable[[], Any]]]] = {}
        self._coming = False

    def call(self, whose: str | None, go: Callable[[], Any]) -> list[Callable[[], Any]]:
        """Have ``go`` called when its turn has come. An entry that is cleared meanwhile is passed over."""
        entry = [go]
        self._queues.setdefault(whose, deque()).append(entry)
        if not self._coming:
            self._coming = True
            hubs.get_hub().schedule_call_global(0, self._round)
        return entry

    def wait(self, whose: str | None) -> None:
        """Wait for a turn."""
        entry = self.call(whose, eventlet.getcurrent().switch)
        try:
            hubs.get_hub().switch()
        finally:
            entry.clear()

    def _round(self) -> None:
        until = time.monotonic() + self.round_seconds
        try:
            while self._queues:
                whose, queue = next(iter(self._queues.items()))
                del self._queues[whose]
                entry = queue.popleft()
                if queue:
                    self._queues[whose] = queue  # behind the other addresses
                if entry:
                    entry[0]()
                if time.monotonic() > until:
                    break
        finally:
            self._coming = bool(self._queues)
            if self._coming:
                hubs.get_hub().schedule_call_global(0, self._round)


class Owner(Protocol):
    """What accepted a connection."""

    door: Door[Connection]
    turns: Turns

    def waits(self, connection: Connection, now: float) -> None:
        """Note that a connection waits for its peer."""

    def holds(self, connection: Connection, body: int, size: int) -> None:
        """Note that a connection holds a body until it is read."""


class Connection(GreenSocket):
    """An accepted connection.

    ``expect`` says by when, and in how many bytes, its peer is to have sent what it owes: over whole parts, so that a
    byte now and then does not help. Reading takes turns. An answer has ``ANSWER_SECONDS`` in all, and ``STALL_SECONDS``
    for each step.
    """

    def __init__(self, sock: socket.socket, address: Any, acceptor: Owner) -> None:
        super().__init__(sock, set_nonblocking=False)
        self.address = address
        self.whose = acceptor.door.whose(address[0] if isinstance(address, tuple) else "")
        self.kept: Any = None  # what the server keeps of it from one request to the next
        self.unread = False  # whether its peer may still be sending what nobody reads
        self.ended = False  # whether it has to go for others
        self.listener: Any = None  # while it waits for a request
        self.expires_at = 0.0
        self._acceptor = acceptor
        self._upgraded = False
        self._due_at = self._answer_due_at = float("inf")
        self._owed_bytes = self._turn_bytes = 0
        self._turn_until = 0.0

    def expect(self, seconds: float, most_bytes: int = DISCARD_BYTES) -> None:
        """Have the next part of a request due in so many seconds, and in no more bytes than these."""
        self._due_at = time.monotonic() + seconds
        self._answer_due_at = float("inf")
        self._owed_bytes = most_bytes

    def upgrade(self) -> None:
        """Let go of it: it is a WebSocket now, which others bound."""
        self._upgraded = True
        self._due_at = self._answer_due_at = float("inf")
        self.settimeout(None)

    def take_turn(self) -> None:
        """Let the others have theirs; raises ``TimeoutError`` where what is owed is overdue."""
        if time.monotonic() > self._due_at:
            raise TimeoutError("a client was too slow")
        self._acceptor.turns.wait(self.whose)
        self.begin_turn()

    def begin_turn(self) -> None:
        """Note that its turn begins."""
        self._turn_bytes, self._turn_until = 0, time.monotonic() + TURN_SECONDS

    def recv(self, bufsize: int, flags: int = 0) -> bytes:
        """Read, within bounds."""
        data: bytes = super().recv(bufsize, flags)
        self._took(len(data))
        return data

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        """Read, within bounds."""
        size: int = super().recv_into(buffer, nbytes, flags)
        self._took(size)
        return size

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Write all of an answer; what its peer does not read at once is held within bounds."""
        size, sent = len(data), self.send(data, flags)
        if sent == size:
            return
        rest = memoryview(data)
        self._acceptor.holds(self, id(data), size)
        try:
            while sent < size:
                sent += self.send(rest[sent:], flags)
        finally:
            self._acceptor.door.lets_go(self)

    def _took(self, size: int) -> None:
        self._turn_bytes += size
        if self._turn_bytes > TURN_BYTES or time.monotonic() > self._turn_until:
            self.take_turn()
        if not self._upgraded:
            self._owed_bytes -= size
            if self._owed_bytes < 0:
                raise ConnectionResetError(errno.ECONNRESET, "a request without an end")

    def _trampoline(
        self, fd: Any, read: bool = False, write: bool = False, timeout: float | None = None, timeout_exc: Any = None
    ) -> Any:
        if self._upgraded:
            return super()._trampoline(fd, read, write, timeout, timeout_exc)
        now = time.monotonic()
        if write:
            self._answer_due_at = min(self._answer_due_at, now + ANSWER_SECONDS)
            left = min(self._answer_due_at - now, STALL_SECONDS)
        else:
            left = self._due_at - now
        try:
            if left <= 0:
                raise timeout_exc
            self._acceptor.waits(self, now)
            try:
                super()._trampoline(fd, read, write, left, timeout_exc)
            finally:
                self._acceptor.door.goes_on(self)
        except TimeoutError:
            self._acceptor.door.counters["connections_unread" if write else "connections_slow"] += 1
            if write:
                self.reset_on_close()
            self._acceptor.turns.wait(self.whose)  # a thousand may come to their end in one round of the loop
            raise
        if self.ended:
            self._acceptor.turns.wait(self.whose)
            raise ConnectionResetError(errno.ECONNRESET, "others took its place")
        if read:
            self.take_turn()
        return None

    def reset_on_close(self) -> None:
        """Have the kernel drop what its peer did not read, when it is closed."""
        with contextlib.suppress(OSError):  # it is gone already
            self.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)

    def linger(self) -> None:
        """Read on for a moment what nobody wants, so that a peer that still sends comes to read why."""
        self.expect(green_http.DISCARD_SECONDS)
        self.shutdown(socket.SHUT_WR)
        while self.recv(DISCARD_STEP_BYTES):
            pass

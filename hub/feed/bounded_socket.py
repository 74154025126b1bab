"""A socket to another host that lets others run and comes to an end, however much its peer has to say.

eventlet lets others run only where a socket has nothing to read. A peer that always has something keeps the loop to
itself: prices stop, and so do timers, the deadlines among them. So each read here looks at the clock by itself.
"""

from __future__ import annotations

import io
import select
import socket
import time
from typing import Any

from hub import green

TURN_SECONDS, TURN_BYTES = 0.005, 65_536  # of reading one socket, before others have their turn
WAITED_SECONDS = 0.0005  # a read that takes longer had to wait for the network
UNBOUNDED = float("inf")


class TooMuch(OSError):
    """The peer sent more bytes than were agreed on."""


class BoundedSocket:
    """What is connected already, with bounds on what is read from it. All else is the socket's own.

    ``waited_until`` is when a read last had to wait: what came since came without a pause (monotonic seconds).
    """

    def __init__(self, sock: Any, most_bytes: float = UNBOUNDED, seconds: float = UNBOUNDED) -> None:
        self._sock = sock
        self._poll = None if green.is_patched() else _poll_of(sock)
        self.waited_until = self._turn_began_at = time.monotonic()
        self._turn_bytes = 0
        self.bound(most_bytes, seconds)

    def bound(self, most_bytes: float = UNBOUNDED, seconds: float = UNBOUNDED) -> None:
        """Take so many bytes at most from now on, for so many seconds.

        After that, reading raises ``TooMuch``, or ``TimeoutError``.
        """
        self._left_bytes = most_bytes
        self._give_up_at = time.monotonic() + seconds

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Read as a socket does, within the bounds."""
        before = self._begin()
        data: bytes = self._sock.recv(size, flags)
        self._end(before, len(data))
        return data

    def recv_into(self, buffer: Any, size: int = 0, flags: int = 0) -> int:
        """Read as a socket does, within the bounds."""
        before = self._begin()
        count: int = self._sock.recv_into(buffer, size, flags)
        self._end(before, count)
        return count

    def makefile(self, mode: str = "rb") -> io.BufferedReader:
        """Return a file that reads from here."""
        self._sock._io_refs += 1  # as the standard library's: closing the socket waits for the file's end
        return io.BufferedReader(socket.SocketIO(self, mode.replace("b", "")))  # type: ignore[arg-type]

    def take_turn(self) -> None:
        """Let others run, if this socket has been read for long enough."""
        if self._turn_bytes >= TURN_BYTES or time.monotonic() - self._turn_began_at > TURN_SECONDS:
            time.sleep(0)
            self._turn_bytes, self._turn_began_at = 0, time.monotonic()

    def _begin(self) -> float:
        self.take_turn()
        now = time.monotonic()
        if now > self._give_up_at:
            raise TimeoutError("the peer goes on and on")
        if self._poll is not None and self._poll.poll(0):
            return UNBOUNDED  # a native thread may wait for its turn as well, while the data is there
        return now

    def _end(self, before: float, count: int) -> None:
        now = time.monotonic()
        if now - before > WAITED_SECONDS:
            self.waited_until = self._turn_began_at = now
            self._turn_bytes = 0
        self._turn_bytes += count
        self._left_bytes -= count
        if self._left_bytes < 0:
            raise TooMuch("the peer sends more than was asked for")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


def _poll_of(sock: Any) -> select.poll:
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return poll

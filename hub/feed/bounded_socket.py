"""A socket to another host that lets others run and comes to an end, however much its peer has to say.

eventlet lets others run only where a socket has nothing to read. A peer that always has something keeps the loop to
itself: prices stop, and so do timers, the deadlines among them. So each read here looks at the clock by itself.

TLS is spoken in memory, on top of such reads. OpenSSL's own reading goes on for as long as records without data come
(tickets, updates of keys), in one call that nothing interrupts: 100,000 tickets held the loop for 2.4 s.
"""

from __future__ import annotations

import contextlib
import io
import select
import socket
import ssl
import time
from collections.abc import Callable
from time import monotonic
from typing import Any

from hub import green

TURN_SECONDS, TURN_BYTES = 0.005, 65_536  # of reading one socket, before others have their turn
WAITED_SECONDS = 0.0005  # a read that takes longer had to wait for the network
RECORD_BYTES = 16_384  # of TLS, what one record holds
MAX_SILENT_BYTES = 131_072  # of TLS without any data in it; the longest handshake has fewer
UNBOUNDED = float("inf")


class TooMuch(OSError):
    """The peer sent more bytes than were agreed on."""


class BoundedSocket:
    """What is connected already, with bounds on what is read from it. All else is the socket's own.

    ``waited_until`` is when a read last had to wait: what came since came without a pause (monotonic seconds).
    """

    def __init__(self, sock: Any, most_bytes: float = UNBOUNDED, seconds: float = UNBOUNDED) -> None:
        self._sock = sock
        self._recv = sock.recv
        self._poll = None if green.is_patched() else _poll_of(sock)
        self.waited_until = self._turn_began_at = monotonic()
        self._turn_bytes = 0
        self.bound(most_bytes, seconds)

    def bound(self, most_bytes: float = UNBOUNDED, seconds: float = UNBOUNDED) -> None:
        """Take so many bytes at most from now on, for so many seconds.

        After that, reading raises ``TooMuch``, or ``TimeoutError``.
        """
        self._left_bytes = most_bytes
        self._give_up_at = monotonic() + seconds

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Read as a socket does, within the bounds."""
        before = monotonic()  # all in one piece: each frame of the feed comes through here
        if self._turn_bytes >= TURN_BYTES or before - self._turn_began_at > TURN_SECONDS:
            self._end_turn()
            before = self._turn_began_at
        if before > self._give_up_at:
            raise TimeoutError("the peer goes on and on")
        # a native thread may wait for its turn as well, while the data is there
        waits = self._poll is None or not self._poll.poll(0)
        data: bytes = self._recv(size, flags)
        now = monotonic()
        if waits and now - before > WAITED_SECONDS:
            self.waited_until = self._turn_began_at = now
            self._turn_bytes = 0
        self._turn_bytes += len(data)
        self._left_bytes = left = self._left_bytes - len(data)
        if left < 0:
            raise TooMuch("the peer sends more than was asked for")
        return data

    def recv_into(self, buffer: Any, size: int = 0, flags: int = 0) -> int:
        """Read as a socket does, within the bounds."""
        data = self.recv(size or len(buffer), flags)
        buffer[: len(data)] = data
        return len(data)

    def makefile(self, mode: str = "rb") -> io.BufferedReader:
        """Return a file that reads from here."""
        self._sock._io_refs += 1  # as the standard library's: closing the socket waits for the file's end
        return io.BufferedReader(socket.SocketIO(self, mode.replace("b", "")))  # type: ignore[arg-type]

    def take_turn(self) -> None:
        """Let others run, if this socket has been read for long enough."""
        if monotonic() - self._turn_began_at > TURN_SECONDS:
            self._end_turn()

    def _end_turn(self) -> None:
        time.sleep(0)
        self._turn_bytes, self._turn_began_at = 0, monotonic()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


class SecuredSocket(BoundedSocket):
    """The same with TLS on it, for one thread; the bounds are those of what comes over the network."""

    def __init__(self, sock: Any, context: ssl.SSLContext, host: str, most_bytes: float, seconds: float) -> None:
        super().__init__(sock, most_bytes, seconds)
        self._came, self._goes = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._came, self._goes, server_hostname=host)

    def do_handshake(self) -> None:
        """Shake hands, and check the certificate. Raises ``ssl.SSLError``."""
        self._do(self._tls.do_handshake)

    def getpeercert(self) -> Any:
        """Return what the certificate of the other side says."""
        return self._tls.getpeercert()

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Read as a socket does, within the bounds."""
        try:
            data: bytes = self._do(lambda: self._tls.read(min(size, RECORD_BYTES)), flags)
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):  # the end, with or without a farewell
            return b""
        return data

    def send(self, data: Any, flags: int = 0) -> int:
        """Send all of it."""
        self.sendall(data, flags)
        return len(data)

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Send as a socket does."""
        if data:
            self._do(lambda: self._tls.write(data), flags)

    def _do(self, step: Callable[[], Any], flags: int = 0) -> Any:
        """Take a step of TLS with what has come, and with more for as long as it needs more."""
        silent_bytes = 0
        while True:
            try:
                done = step()
            except ssl.SSLWantReadError:
                self._flush(flags)
            except ssl.SSLError:
                with contextlib.suppress(OSError):  # an alert: what is wrong is told whether it arrives or not
                    self._flush(flags)
                raise
            else:
                self._flush(flags)
                return done
            data = super().recv(RECORD_BYTES, flags)
            silent_bytes += len(data)
            if silent_bytes > MAX_SILENT_BYTES:
                raise TooMuch("the peer goes on with TLS that has no data in it")
            if data:
                self._came.write(data)
            else:
                self._came.write_eof()

    def _flush(self, flags: int) -> None:
        if self._goes.pending:
            self._sock.sendall(self._goes.read(), flags)


def _poll_of(sock: Any) -> select.poll:
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return poll

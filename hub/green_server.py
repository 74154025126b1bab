"""The accepting side of both HTTP servers: connections that take turns, owe in time, and are bounded in number.

A connection that waits for a request holds a descriptor and little else: no thread, no buffers. It gets a thread when
bytes come. To be imported after ``green.patch()``: it is built on eventlet's sockets.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import resource
import socket
import time
from collections.abc import Callable
from typing import Any

import eventlet
from eventlet import hubs
from eventlet.greenthread import GreenThread

from hub import green_http
from hub.door import Door
from hub.green_connection import CROWDED_ROUND_SECONDS, ROUND_SECONDS, Connection, Turns
from hub.logs import Cooldown
from hub.turns import in_turns

MAX_CONNECTIONS = 20_000
RESERVE_PART = 8  # of the descriptors, one in so many stays free for the feed, REST and the state
ACCEPT_SECONDS = 0.02  # of accepting in a row: 400 connections
ACCEPT_AGAIN_SECONDS = 0.1
UNSENT_BYTES = 32_768  # of an answer, in the kernel, beyond what its reader has room for
UNREAD_SECONDS = 30.0  # after which the kernel gives up a peer that confirms nothing
SWEEP_SECONDS = 1.0

log = logging.getLogger("hub.http")
_warn = Cooldown(log)


class Acceptor:
    """Accepts connections, and calls ``handle(connection)`` for each that has a request: True keeps it for the next.

    ``door`` decides which ones go when they are too many.
    """

    def __init__(self, door: Door[Connection], handle: Callable[[Connection], bool]) -> None:
        self.door = door
        self.turns = Turns()
        self.stopping = False
        self._handle = handle
        self._open: set[Connection] = set()
        self._parked: set[Connection] = set()  # those that wait for a request
        self._active = 0

    # -- in -------------------------------------------------------------------------------------------

    def run(self, listener: Any) -> None:
        """Accept until the listening socket is shut down, or its thread killed."""
        sweeper = eventlet.spawn(self._sweep)
        until = 0.0
        try:
            while True:
                try:
                    sock, address = self._accept(listener.fd)
                except OSError as error:  # out of descriptors, or the client went away again
                    if error.errno in (errno.EINVAL, errno.EBADF):  # stopped by us
                        return
                    _warn.warning("accept", "accepting a connection failed: %s", error)
                    if error.errno in (errno.EMFILE, errno.ENFILE):
                        self._displace(self.door.oldest())
                    eventlet.sleep(ACCEPT_AGAIN_SECONDS)
                    continue
                self._take(sock, address)
                del sock  # or the last connection is held open until the next one comes
                if time.monotonic() > until:
                    self.turns.round_seconds = CROWDED_ROUND_SECONDS
                    eventlet.sleep(0)
                    until = time.monotonic() + ACCEPT_SECONDS
        finally:
            sweeper.kill()

    def _accept(self, listener: socket.socket) -> tuple[socket.socket, Any]:
        while True:
            try:
                sock, address = listener.accept()
            except BlockingIOError:
                self.turns.round_seconds = ROUND_SECONDS
                hubs.trampoline(listener, read=True)
                continue
            sock.setblocking(False)
            hubs.notify_opened(sock.fileno())
            return sock, address

    def stop(self, seconds: float = float("inf")) -> None:
        """Close what waits for a request, and wait for the requests under way."""
        self.stopping = True
        for connection in list(self._parked):
            self._close(connection)
        until = time.monotonic() + seconds
        while self._active and time.monotonic() < until:
            eventlet.sleep(0.02)

    def _take(self, sock: socket.socket, address: Any) -> None:
        if self._is_full(sock.fileno()) and not (sock := self._make_room(sock)):
            self.door.counters["connections_refused"] += 1
            return
        for option, value in OPTIONS:
            with contextlib.suppress(OSError):  # no TCP, or gone already: it is a help, no need
                sock.setsockopt(socket.IPPROTO_TCP, option, value)
        connection = Connection(sock, address, self)
        self._open.add(connection)
        self._park(connection, green_http.FIRST_BYTE_SECONDS)

    def _make_room(self, sock: socket.socket) -> Any:
        """Have the oldest go for a new connection, and return that one on the descriptor that became free.

        On its own it would stay among those that are kept free. None where there is no room.
        """
        _warn.warning("full", "descriptors or connections are short: the oldest that waits goes for a new one")
        oldest = self.door.oldest()
        self._displace(oldest)
        until = time.monotonic() + ACCEPT_AGAIN_SECONDS
        while oldest in self._open and time.monotonic() < until:
            eventlet.sleep(0)
        with sock:
            if oldest is None or oldest in self._open:
                return None
            try:
                moved = sock.dup()
            except OSError as error:
                log.debug("no descriptor for a connection: %s", error)
                return None
        hubs.notify_opened(moved.fileno())
        if self._is_full(moved.fileno()):
            moved.close()
            return None
        return moved

    def _is_full(self, descriptor: int) -> bool:
        """Tell whether too few descriptors are left, or none: a new one has the lowest number that is free."""
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return descriptor >= soft - soft // RESERVE_PART or len(self._open) > MAX_CONNECTIONS

    # -- from one request to the next -----------------------------------------------------------------

    def _park(self, connection: Connection, seconds: float) -> None:
        now = time.monotonic()
        connection.expires_at = now + seconds
        hub = hubs.get_hub()
        connection.listener = hub.add(
            hub.READ, connection.fileno(), lambda _: self._wake(connection), lambda *_: None, connection._mark_as_closed
        )
        self._parked.add(connection)
        self.waits(connection, now)

    def waits(self, connection: Connection, now: float) -> None:
        """Note that a connection waits for its peer; another one may have to go for it."""
        self._displace(self.door.waits(connection, now))

    def holds(self, connection: Connection, body: int, size: int) -> None:
        """Note that a connection holds a body; others may have to go for it."""
        for one in self.door.holds(connection, body, size):
            self._displace(one)

    def _unpark(self, connection: Connection) -> None:
        hubs.get_hub().remove(connection.listener)
        connection.listener = None
        self._parked.discard(connection)
        self.door.goes_on(connection)

    def _wake(self, connection: Connection) -> None:
        """Have a connection that has data served at its turn. Runs on the loop itself."""
        self._unpark(connection)
        thread = GreenThread(hubs.get_hub().greenlet)
        self.turns.call(connection.whose, lambda: thread.switch(self._serve, (connection,), {}))

    def _serve(self, connection: Connection) -> None:
        self._active += 1
        keep = False
        try:
            connection.begin_turn()
            keep = self._handle(connection)
            if connection.unread:
                connection.linger()
        except OSError as error:  # too slow, or gone
            log.debug("a connection ended: %s", error)
        except Exception:  # noqa: BLE001 - it is logged and counted
            self.door.counters["connections_failed"] += 1
            _warn.exception("bug", "bug while a connection was served")
        finally:
            self._active -= 1
            if keep and not connection.unread and not self.stopping:
                self._park(connection, green_http.KEEPALIVE_SECONDS)
            else:
                self._close(connection)

    # -- out ------------------------------------------------------------------------------------------

    def _displace(self, connection: Connection | None) -> None:
        """End a connection that waits: one without a request is closed, another one's thread wakes up and ends it."""
        if connection is None:
            return
        self.door.counters["connections_displaced"] += 1
        _warn.warning("displaced", "too many connections wait: the oldest ends address=%s", connection.whose)
        self._end(connection)

    def _end(self, connection: Connection) -> None:
        self.door.goes_on(connection)
        if connection.listener is not None:
            self._close(connection)
            return
        connection.ended = True
        connection.reset_on_close()
        with contextlib.suppress(OSError):  # it is gone already: that is what was wanted
            connection.shutdown(socket.SHUT_RDWR)

    def _close(self, connection: Connection) -> None:
        if connection.listener is not None:
            self._unpark(connection)
        self._open.discard(connection)
        connection.kept = None
        with contextlib.suppress(OSError):  # its peer closed it
            connection.shutdown(socket.SHUT_RDWR)
        connection.close()

    def _sweep(self) -> None:
        """Close what waited too long for a request, and what is too many."""
        while True:
            eventlet.sleep(SWEEP_SECONDS)
            now = time.monotonic()
            for connection in in_turns([one for one in self._parked if one.expires_at < now]):
                if connection in self._parked:
                    self._close(connection)
            for connection in in_turns(self.door.surplus(now)):
                if connection in self._open:
                    self._displace(connection)


OPTIONS = [
    (socket.TCP_NODELAY, 1),  # head and body of an answer are two writes: the second would wait for an ACK, 40 ms
    *(
        (getattr(socket, name), value)
        for name, value in (
            ("TCP_NOTSENT_LOWAT", UNSENT_BYTES), ("TCP_USER_TIMEOUT", int(UNREAD_SECONDS * 1000)),
        )
        if hasattr(socket, name)  # Linux's; elsewhere there is none
    ),
]  # fmt: skip

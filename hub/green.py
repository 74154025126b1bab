"""Everything that touches eventlet by name; the rest of the hub speaks the standard library.

``patch()`` makes the standard library's sockets and threads green and must run before any other import, in an entry
point. A program that only imports ``hub`` is left alone: the feed then runs on native threads.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import logging
import resource
import select
import socket
import struct
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from hub.door import Door
from hub.green_http import KEEPALIVE_SECONDS, MAX_BODY_BYTES, strict_protocol

ASYNC_MODE = "eventlet"  # what Socket.IO's servers call it
URL_LIMIT_BYTES = 8_192
BACKLOG = 4_096  # connections that wait to be accepted: past it, one more waits for a second
TURN_SECONDS = 0.005  # of reading one client, before others have their turn
TOO_LARGE = 1009  # WebSocket close code

WsgiApp = Callable[..., Any]
log = logging.getLogger(__name__)


def patch() -> None:
    """Make the standard library green. Call it first thing in an entry point."""
    # its retirement is known (docs/architecture.md, decision 1); nobody who runs the hub can do anything about it
    warnings.filterwarnings("ignore", message=r"\s*Eventlet is deprecated")
    import eventlet
    from eventlet import tpool

    eventlet.monkey_patch()
    atexit.unregister(tpool.killall)  # it waits for native threads, of which one may hang in a database for ever
    _ask_for_names_anew()


def _ask_for_names_anew() -> None:
    """Have each look-up ask the name servers, those of now.

    eventlet keeps what it heard (that a name is unknown even for ever, where the answer does not say for how long), and
    reads resolv.conf once.
    """
    from eventlet.support import greendns

    class Fresh(greendns.ResolverProxy):
        def query(self, *args: Any, use_network: bool = True, **options: Any) -> Any:
            if use_network:
                self.clear()
            return super().query(*args, use_network=use_network, **options)

    greendns.resolver = Fresh(hosts_resolver=greendns.HostsResolver())


def is_patched() -> bool:
    """Tell whether this process runs on green threads."""
    patcher = sys.modules.get("eventlet.patcher")  # not imported: then nobody can have patched
    return patcher is not None and bool(patcher.is_monkey_patched("socket"))


def native(name: str) -> Any:
    """Return a module of the standard library as it is without the patch: its threads, sleeps and writes are real."""
    if not is_patched():
        return importlib.import_module(name)
    from eventlet import patcher

    return patcher.original(name)


@contextlib.contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """Raise ``TimeoutError`` from the block when ``seconds`` have passed, wherever it waits (DNS included).

    On native threads nothing can interrupt a block from outside, and this does nothing: there the sockets' own
    timeouts and the watchdog bound it.
    """
    if not is_patched():
        yield
        return
    import eventlet

    try:
        # inside the block it is a BaseException, which no library's ``except OSError`` swallows
        with eventlet.Timeout(seconds) as timer:
            yield
    except eventlet.Timeout as fired:
        if fired is not timer:
            raise
        raise TimeoutError(f"not done within {seconds:g} s") from None


def raise_descriptor_limit() -> None:
    """Lift the soft limit on open descriptors to the hard one: a client costs one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == hard:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (ValueError, OSError) as error:
        log.warning("descriptor limit stays at soft=%s hard=%s: %s", soft, hard, error)


def listen(host: str, port: int) -> socket.socket:
    """Open a listening socket; port 0 takes a free one. Raises ``OSError`` if the address is taken or unknown."""
    import eventlet

    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
    # a port shared with another hub would give it half of the clients
    return eventlet.listen((host, port), family, backlog=BACKLOG, reuse_port=False)


def serve(
    sock: socket.socket, app: WsgiApp, door: Door[Any] | None = None, max_body_bytes: int = MAX_BODY_BYTES
) -> None:  # fmt: skip
    """Serve a WSGI application on a listening socket until ``stop_listening``, and the requests under way then.

    ``door`` bounds the connections that wait; without one there may be any number of each address. Longer bodies are
    not read: the application is told of their length alone.
    """
    from eventlet import wsgi

    from hub.green_connection import Connection
    from hub.green_server import Acceptor

    strict = strict_protocol(max_body_bytes)
    server = wsgi.Server(
        sock, sock.getsockname(), app, keepalive=KEEPALIVE_SECONDS, log_output=False,
        url_length_limit=URL_LIMIT_BYTES, debug=False,
    )  # fmt: skip

    def handle(connection: Connection) -> bool:
        return not strict([connection.address, connection, wsgi.STATE_IDLE], server).close_connection

    acceptor = Acceptor(Door() if door is None else door, handle)
    acceptor.run(sock)
    acceptor.stop()


def stop_listening(sock: socket.socket) -> None:
    """Take no more connections on a listening socket. (To close it would not wake the thread that accepts.)"""
    with contextlib.suppress(OSError):  # it was closed already: that is what was wanted
        sock.shutdown(socket.SHUT_RDWR)


def websocket_app(handler: Callable[[Any], None], max_message_bytes: int) -> WsgiApp:
    """Return a WSGI application that upgrades to a WebSocket and runs ``handler(ws)``; ``ws.wait()``, ``ws.send()``."""
    from eventlet.websocket import WebSocketWSGI

    def upgraded(ws: Any) -> None:
        _let_go(ws.socket)
        handler(ws)

    return WebSocketWSGI(upgraded, max_frame_length=max_message_bytes)


def _let_go(sock: Any) -> None:
    """Have what bounds requests no longer bound a connection that became a WebSocket."""
    if (upgrade := getattr(sock, "upgrade", None)) is not None:  # one that our own servers accepted
        upgrade()


def sender(ws: Any) -> Callable[[bytes | memoryview], int]:
    """Return what writes as much as an accepted socket takes at once, and returns how many bytes.

    It never waits: ``BlockingIOError`` if the socket is full, another ``OSError`` if it is gone.
    """
    send: Callable[[bytes | memoryview], int] = ws.socket.fd.send  # the plain socket beneath, which does not block
    return send


def send_some(ws: Any, data: bytes | memoryview) -> int:
    """Write what an accepted socket takes at once and return how many bytes; never waits. ``OSError`` if it is gone."""
    try:
        return sender(ws)(data)
    except BlockingIOError:
        return 0


def wait_writable(ws: Any, timeout_seconds: float) -> bool:
    """Wait until an accepted socket takes more; False if it did not within the time. ``OSError`` if it is gone.

    Not to be asked by sending: ``send`` fills the kernel's buffer past the bound that ``tune`` sets.
    """
    from eventlet import hubs

    try:
        hubs.trampoline(ws.socket.fd, write=True, timeout=timeout_seconds, timeout_exc=TimeoutError)
    except TimeoutError:  # or the hub itself stood still meanwhile
        poll = native("select").poll()
        poll.register(ws.socket.fd, select.POLLOUT)
        return bool(poll.poll(0))
    return True


def end_sending(ws: Any) -> None:
    """Shut an accepted WebSocket's sending side: its client reads what was sent, then the end."""
    with contextlib.suppress(OSError):  # it is gone already: that is what was wanted
        ws.socket.shutdown(socket.SHUT_WR)


def own_writer(ws: Any, write: Callable[[bytes], None]) -> None:
    """Let ``write`` send what the WebSocket itself wants to say (pongs, the close frame), as finished frames.

    For a room that keeps its own buffer: nothing may come between the parts of a frame that was sent in part. The
    descriptor stays open until the handler returns, whatever the WebSocket thinks: the writer may wait on it.
    """
    ws._send = write
    ws.close = lambda close_data=None: close_websocket(ws, *(close_data or (1000, "")))


def tune(ws: Any, unsent_bytes: int) -> None:
    """Have the kernel send at once, and take no more than ``unsent_bytes`` beyond what the peer has room for.

    Its send buffer grows to megabytes otherwise: minutes of old prices for a slow reader, and room in it is only
    reported when a third is free. (That bound is Linux's and macOS's; elsewhere it stays.)
    """
    _let_go(ws.socket)
    with contextlib.suppress(OSError):  # no TCP, or gone already: it is a help, no need
        ws.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if (option := getattr(socket, "TCP_NOTSENT_LOWAT", None)) is not None:
            ws.socket.setsockopt(socket.IPPROTO_TCP, option, unsent_bytes)


def guard_reading(
    ws: Any, max_bytes: int, max_frames: int, allow_control: Callable[[], bool], refused: Callable[[str], None]
) -> None:
    """Bound what reading an accepted WebSocket may cost everybody else.

    - What the fragments of one message add up to: eventlet bounds each frame alone.
    - Pings and pongs: ``allow_control()`` is asked for each, they cost the loop as much as messages do.
    - Turns: while there is data, eventlet's reader never lets others run.
    - Unmasking: eventlet's takes 3 ms a 16 KiB.

    ``refused(reason)`` is told what ends a WebSocket: ``too_large`` or ``frames`` (against the protocol).
    """
    import eventlet
    from eventlet.websocket import FailedConnectionError

    receive = ws._recv_frame
    seen = held = frames = 0
    turn_began = time.monotonic()

    def receive_guarded(message: Any = None) -> Any:
        nonlocal seen, held, frames, turn_began
        if time.monotonic() - turn_began > TURN_SECONDS:
            eventlet.sleep(0)
            turn_began = time.monotonic()
        try:
            found = receive(message=message)
        except FailedConnectionError as error:
            refused("too_large" if error.status == TOO_LARGE else "frames")
            raise
        if found.opcode & 8:  # a control frame may come between fragments
            if found.opcode != 8 and not allow_control():
                raise FailedConnectionError(1008, "too many control frames")
            return found
        held += sum(map(len, found.data[seen:]))
        seen, frames = len(found.data), frames + 1
        if held > max_bytes or frames > max_frames:
            refused("too_large")
            raise FailedConnectionError(TOO_LARGE, "the fragments of one message are too many or too large")
        if found.finished:
            seen = held = frames = 0
        return found

    ws._recv_frame = receive_guarded
    ws._apply_mask = _unmask


def _unmask(data: bytes, mask: tuple[int, ...], length: int | None = None, offset: int = 0) -> bytes:
    """Undo the mask of a frame's part that begins at ``offset``, all of it at once."""
    size = len(data) if length is None else length
    at = offset % 4
    turned = bytes(mask[at:] + mask[:at])
    key = (turned * (size // 4 + 1))[:size]
    return (int.from_bytes(data[:size]) ^ int.from_bytes(key)).to_bytes(size)


def cut(ws: Any, unsent: bool = True) -> None:
    """Shut an accepted WebSocket's raw socket both ways, which wakes whoever reads or writes it.

    Without ``unsent``, what the kernel still holds is dropped and the peer is reset when the socket is closed: a peer
    that does not read would never see the end, and the kernel would keep it all for minutes.
    """
    with contextlib.suppress(OSError):  # it is gone already: that is what was wanted
        if not unsent:
            ws.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        ws.socket.shutdown(socket.SHUT_RDWR)


def adopt(sock: socket.socket) -> socket.socket:
    """Take over a socket that was opened before ``patch()``, and return it green; the old object is empty after."""
    from eventlet.greenio import GreenSocket

    green: socket.socket = GreenSocket(sock.family, sock.type, sock.proto, fileno=sock.detach())
    return green


def spawn(function: Callable[..., Any], *args: Any) -> Any:
    """Run ``function`` on a green thread; ``.kill()`` on what is returned ends it."""
    import eventlet

    return eventlet.spawn(function, *args)


def socket_was_taken() -> bool:
    """Tell whether the request of this thread became a WebSocket: nothing must be written to its socket any more."""
    from eventlet import wsgi

    return bool(getattr(wsgi.WSGI_LOCAL, "already_handled", False))


def close_websocket(ws: Any, code: int, reason: str = "") -> None:
    """Send a WebSocket close frame with a status code and shut the sending side; a dead socket is no error."""
    with contextlib.suppress(OSError):  # it is gone already: that is what was wanted
        # not ws.close(), which gives up the descriptor under the reader, who then sleeps for ever
        ws._send_closing_frame(close_data=(code, reason))
        ws.socket.shutdown(socket.SHUT_WR)


def call_native(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call what blocks (a database) on a native thread while green ones go on; on native threads, call it here."""
    if not is_patched():
        return function(*arguments)
    from eventlet import tpool

    return tpool.execute(function, *arguments)

"""The way to a host, before any protocol of ours: its name, TCP, a proxy's tunnel, TLS; and a word for what fails."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from hub.feed import proxy, tls
from hub.feed.bounded_socket import BoundedSocket, SecuredSocket, TooMuch

NAME, TCP, TUNNEL, TLS, HANDSHAKE = "name", "tcp", "proxy", "tls", "handshake"
TUNNEL_BYTES = 65_536  # of a proxy's answer
TLS_BYTES = 262_144  # of its handshake
TRIES = 2  # addresses of a host: each is a connect that the exchange may count


class TransportError(Exception):
    """The socket is of no use any more. ``cause`` is a bounded label; ``retry_after_seconds`` the exchange's wish."""

    def __init__(self, cause: str, detail: str = "", retry_after_seconds: float = 0.0) -> None:
        super().__init__(f"{cause}: {detail}" if detail else cause)
        self.cause = cause
        self.detail = detail
        self.retry_after_seconds = retry_after_seconds


class Dial:
    """One attempt to reach the host of a URL: ``look_up``, then ``connect``, within deadlines that the caller sets.

    ``raw`` is the socket of the moment, which another thread may shut, ``secured`` the TLS on it; ``steps`` are those
    that were begun, in order, with the monotonic second of each; ``proxy`` is what stands in between.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._url = url
        self.secure = parts.scheme in ("wss", "https")
        self.host, self.port = parts.hostname or "", parts.port or (443 if self.secure else 80)
        self.proxy: proxy.Proxy | None = None
        self.raw: socket.socket | None = None
        self.secured: SecuredSocket | None = None
        self.steps: dict[str, float] = {}
        self._addresses: list[Any] = []

    def begin(self, step: str) -> None:
        """Note that a step begins."""
        self.steps[step] = time.monotonic()

    def look_up(self) -> None:
        """Find the addresses of the host, or of the proxy on the way to it (which finds the host's itself)."""
        self.begin(NAME)
        self.proxy = proxy.find(self._url)
        host, port = (self.proxy.host, self.proxy.port) if self.proxy else (self.host, self.port)
        self._addresses = few(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))

    def connect(
        self, timeout_seconds: float, context: ssl.SSLContext | None, before_another: Callable[[], bool] = lambda: True
    ) -> BoundedSocket:
        """Return an open socket; ``before_another`` is asked before each further address."""
        self.begin(TCP)
        sock = self._tcp(timeout_seconds, before_another)
        if self.proxy is not None:
            self.begin(TUNNEL)
            proxy.tunnel(BoundedSocket(sock, TUNNEL_BYTES, timeout_seconds), self.proxy, self.host, self.port)
        if self.secure:
            self.begin(TLS)
            if context is None:
                raise TransportError("tls", "no TLS context")
            self.secured = SecuredSocket(sock, context, self.host, TLS_BYTES, timeout_seconds)
            self.secured.do_handshake()
            self.secured.bound()
            return self.secured
        return BoundedSocket(sock)

    def _tcp(self, timeout_seconds: float, before_another: Callable[[], bool]) -> socket.socket:
        problem: OSError = OSError("the host name has no address")
        give_up_at = time.monotonic() + timeout_seconds
        for index, (family, kind, protocol, _, address) in enumerate(self._addresses):
            if index and not before_another():
                break
            left = max(0.1, give_up_at - time.monotonic())
            sock = self.raw = socket.socket(family, kind, protocol)
            try:
                sock.settimeout(left / (len(self._addresses) - index))  # one that is dead leaves time for the next
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.connect(address)
            except OSError as error:
                sock.close()
                problem = error
            else:
                sock.settimeout(left)
                return sock
        raise problem

    def shut(self) -> None:
        """Shut the raw socket both ways: what wakes a blocked reader, where ``close`` does not. Idempotent."""
        if self.raw is not None:
            with contextlib.suppress(OSError, ValueError):  # it is gone already: that is what was wanted
                self.raw.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Give the descriptor back. Idempotent; for the owning thread."""
        if self.raw is not None:
            with contextlib.suppress(OSError, ValueError):
                self.raw.close()
            self.raw = None

    def explain(self, error: Exception) -> TransportError:
        """Return what went wrong on the way, in words."""
        step, there = next(reversed(self.steps), NAME), f"{self.host}:{self.port}"
        if self.proxy is not None and step in (NAME, TCP, TUNNEL):
            there = f"proxy {self.proxy.host}:{self.proxy.port}"
        match error:
            case TransportError():
                return error
            case proxy.ProxyError():
                status = error.status or 0
                cause = f"proxy_{status}" if 100 <= status < 600 else "proxy"
                return TransportError(cause, f"{there}: {error}"[:200])
            case socket.gaierror():
                return TransportError("dns", f"{there}: {error}"[:200])
            case TimeoutError() if step == NAME:
                return TransportError("dns", f"{there}: no name server answered in time")
            case TimeoutError():
                return TransportError("connect_timeout", f"{there}: no answer in time to {step}")
        return explain(error, there)


def explain(error: Exception, there: str = "") -> TransportError:
    """Return the word for a failure of the network."""
    where = f"{there}: " if there else ""
    match error:
        case TooMuch():
            return TransportError("too_much", f"{where}{error}"[:200])
        case ssl.SSLError():
            return TransportError("tls", f"{where}{tls.why(error)}"[:300])
        case TimeoutError():
            return TransportError("connect_timeout", f"{where}{error}"[:200])
        case ConnectionRefusedError():
            return TransportError("refused", f"{where}{error}"[:200])
        case ConnectionResetError() | BrokenPipeError():
            return TransportError("reset", f"{where}{error}"[:200])
        case _:
            return TransportError("socket", f"{where}{type(error).__name__}: {error}"[:200])


def few(addresses: list[Any]) -> list[Any]:
    """Return those to try: the first, and one of the other family; else a machine without IPv6 would never try IPv4."""
    others = [item for item in addresses if item[0] != addresses[0][0]] + addresses[1:]
    return addresses[:1] + others[: TRIES - 1]

"""One POST to a checked address: within a deadline, without redirects, proxies or a second look at the name.

Written on ``http.client``: the connection is opened here, to the address that was checked, with the original name in
``Host``, SNI and the certificate's check. Libraries above it would read ``HTTPS_PROXY`` from the environment; a proxy
resolves names by itself, so the check would say nothing. Nothing that is raised or logged here holds a URL.
"""

from __future__ import annotations

import contextlib
import functools
import http.client
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import orjson

from hub import green
from hub.alerts.targets import Resolver, Target, TargetError, addresses_of
from hub.feed import tls
from hub.feed.bounded_socket import BoundedSocket, SecuredSocket, TooMuch
from hub.feed.dial import few

STEP_TIMEOUT_SECONDS = 4.0  # to connect, and from one byte to the next
TOTAL_TIMEOUT_SECONDS = 8.0
MAX_BODY_BYTES = 4_096  # of an answer, of which only "try again later" is read
MAX_ANSWER_BYTES = 65_536  # TLS, and its head, `100 Continue`s before it and trailers among them
MAX_RETRY_AFTER_SECONDS = 120.0


class PostError(Exception):
    """A delivery that failed. ``reason`` is one of a bounded set of labels; ``final``: to try again would not help."""

    def __init__(self, reason: str, final: bool = False, retry_after_seconds: float = 0.0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.final = final
        self.retry_after_seconds = retry_after_seconds


class Limits(NamedTuple):
    """Seconds: for one step, and for all of them together."""

    step_seconds: float = STEP_TIMEOUT_SECONDS
    total_seconds: float = TOTAL_TIMEOUT_SECONDS


class _Connection(http.client.HTTPConnection):
    """Speaks HTTP to an address that is given; ``host`` is only the name of it."""

    def __init__(self, target: Target, address: tuple[int, Any], timeout_seconds: float, total_seconds: float) -> None:
        self.default_port = 443 if target.secure else 80  # which Host need not name
        super().__init__(target.host, target.port, timeout=timeout_seconds)
        self._target = target
        self._address = address
        self._seconds = total_seconds

    def connect(self) -> None:
        family, address = self._address
        self.sock: Any = socket.socket(family, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(address)
        bounds = (MAX_ANSWER_BYTES, self._seconds)
        if self._target.secure:
            self.sock = SecuredSocket(self.sock, _tls(), self._target.host, *bounds)
            self.sock.do_handshake()
        else:
            self.sock = BoundedSocket(self.sock, *bounds)

    def shut(self) -> None:
        if self.sock is not None:
            with contextlib.suppress(OSError):  # it is gone already: that is what was wanted
                self.sock.shutdown(socket.SHUT_RDWR)


_tls = functools.cache(tls.context)  # it reads all roots: once is enough


class Poster:
    """Posts JSON to one target; thread-safe. ``cut`` ends what is under way."""

    def __init__(self, target: Target, limits: Limits = Limits(), resolver: Resolver = socket.getaddrinfo) -> None:  # noqa: B008
        self._target = target
        self._limits = limits
        self._resolver = resolver
        self._open: set[_Connection] = set()

    def post(self, body: bytes) -> None:
        """Deliver a body. Raises ``PostError`` for everything but a status of 2xx."""
        try:
            with green.deadline(self._limits.total_seconds):
                self._post(body)
        except TargetError as error:
            raise PostError(error.reason, final=True) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise PostError(_reason(error)) from None

    def cut(self) -> None:
        """Shut every socket that is open, which wakes whoever waits on it."""
        for connection in list(self._open):
            connection.shut()

    def _post(self, body: bytes) -> None:
        give_up_at = time.monotonic() + self._limits.total_seconds
        addresses = few(addresses_of(self._target, self._resolver))
        for number, address in enumerate(addresses, 1):
            left = give_up_at - time.monotonic()
            if left <= 0:  # on native threads nothing interrupts the resolver
                raise TimeoutError
            with self._connection(address, left) as connection:
                try:
                    connection.connect()
                except OSError:
                    if number == len(addresses):
                        raise
                    continue
                self._ask(connection, body)
                return
        raise OSError("the name has no address")

    @contextlib.contextmanager
    def _connection(self, address: tuple[int, Any], seconds: float) -> Iterator[_Connection]:
        """Yield a connection that is shut when the time is over, for native threads, and closed in any case."""
        connection = _Connection(self._target, address, min(seconds, self._limits.step_seconds), seconds)
        late = threading.Event()

        def end() -> None:
            late.set()
            connection.shut()

        timer = threading.Timer(seconds, end)
        timer.daemon = True
        timer.start()
        self._open.add(connection)
        try:
            yield connection
        except (OSError, http.client.HTTPException, ValueError):
            if late.is_set():
                raise TimeoutError from None
            raise
        finally:
            timer.cancel()
            self._open.discard(connection)
            connection.close()

    def _ask(self, connection: _Connection, body: bytes) -> None:
        headers = {
            "Content-Type": "application/json", "User-Agent": "price-hub", "Accept-Encoding": "identity",
            "Connection": "close",
        }  # fmt: skip
        connection.request("POST", self._target.path, body, headers)
        answer = connection.getresponse()
        status = answer.status
        if 200 <= status < 300:
            return
        final = status < 500 and status not in (408, 429)  # a redirect, too: it is not followed
        later = _retry_after(answer) if status in (429, 503) else 0.0
        raise PostError(f"http_{status}" if 100 <= status < 600 else "http_other", final, later)


def _retry_after(answer: http.client.HTTPResponse) -> float:
    """Return the seconds that the receiver wants to be left alone for, in bounds: as header, or in Telegram's body."""
    wish: Any = answer.headers.get("Retry-After")
    if wish is None:
        try:
            wish = orjson.loads(answer.read(MAX_BODY_BYTES))["parameters"]["retry_after"]
        except (ValueError, TypeError, KeyError):
            return 0.0
    try:
        seconds = float(wish)
    except (TypeError, ValueError):
        return 0.0  # a date, or no answer at all: the backoff decides
    return min(max(0.0, seconds), MAX_RETRY_AFTER_SECONDS) if seconds == seconds else 0.0


def _reason(error: Exception) -> str:
    match error:
        case TooMuch():
            return "too_much"
        case ssl.SSLError():
            return "tls"
        case socket.gaierror():
            return "dns"
        case TimeoutError():
            return "timeout"
        case ConnectionRefusedError():
            return "refused"
        case ConnectionError() | http.client.RemoteDisconnected():
            return "reset"
        case http.client.HTTPException():
            return "protocol"
        case _:
            return "network"

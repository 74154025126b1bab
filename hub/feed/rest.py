"""The exchange's REST interface: one request at a time, in time, in bounds, strict JSON."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections import Counter, deque
from typing import Any

import orjson
import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

from hub import green
from hub.feed import tls
from hub.feed.dial import Dial

REQUESTS_PER_SECOND = 8  # the exchange allows 10 a second and address; repairs and people share the address
CONNECT_TIMEOUT_SECONDS = 5.0
READ_TIMEOUT_SECONDS = 10.0
TOTAL_TIMEOUT_SECONDS = 20.0
MAX_PENALTY_SECONDS = 8.0
MAX_BODY_BYTES = 8_388_608  # the Exchange's list of 10,000 products has 4.2 MB, today's of Advanced Trade 1.2 MB
# Commas and brackets of a body bound the values in it. Nothing but brackets would take 20 times their size.
MAX_ANSWER_BYTES = 2 * MAX_BODY_BYTES  # on the wire: its head, and what stands between the parts of a body
MAX_VALUES = 300_000  # the Exchange's list of 10,000 products has 190,000
THROTTLED = (429, 503)  # statuses that say that it is too much for the exchange


class RestError(Exception):
    """A request that brought nothing to be believed; the text says what was asked and what came.

    ``status``: that of the answer, None where it is not what is wrong.
    """

    def __init__(self, text: str, status: int | None = None) -> None:
        super().__init__(text)
        self.status = status


class _Http(HTTPConnection):
    """A connection that is reached as the WebSockets are, and whose answers have bounds."""

    scheme = "http"
    ssl_context: Any = None

    def connect(self) -> None:
        """Open it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        dial = Dial(f"{self.scheme}://{host}:{self.port}")
        dial.look_up()
        try:
            self.sock: Any = dial.connect(CONNECT_TIMEOUT_SECONDS, self.ssl_context if dial.secure else None)
        except BaseException:
            dial.close()
            raise
        self.sock.bound(MAX_ANSWER_BYTES, TOTAL_TIMEOUT_SECONDS)
        self.is_verified = dial.secure

    def request(self, *args: Any, **options: Any) -> None:
        """Send a request; its answer has bounds of its own."""
        if self.sock is not None:
            self.sock.bound(MAX_ANSWER_BYTES, TOTAL_TIMEOUT_SECONDS)
        super().request(*args, **options)


class _Https(_Http, HTTPSConnection):
    scheme = "https"


class _HttpPool(HTTPConnectionPool):
    ConnectionCls = _Http


class _HttpsPool(HTTPSConnectionPool):
    ConnectionCls = _Https


class _Adapter(HTTPAdapter):
    """Has ``requests`` reach hosts as the WebSockets do: the same roots, proxies and addresses to try."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        """Make the connections."""
        super().init_poolmanager(*args, ssl_context=tls.context(), **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _HttpPool, "https": _HttpsPool}

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Leave it to the context."""


class RestClient:
    """GET requests to one base URL, within the request budget. Thread-safe."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url
        self._session = requests.Session()
        self._session.headers["User-Agent"] = "price-hub"
        self._session.trust_env = False  # no .netrc goes to the exchange
        self._session.headers["Accept-Encoding"] = "identity"  # what is small packed may be large unpacked
        self._session.mount(base_url.partition(":")[0] + "://", _Adapter())
        self._turn = threading.Lock()  # one request at a time: the session is shared, and so is the budget
        self._next = 0.0
        self._penalty = 0.0
        self._asked: deque[float] = deque(maxlen=REQUESTS_PER_SECOND)  # when, in monotonic seconds
        self.outcomes = Counter(ok=0, throttled=0, failed=0)  # of the requests since the start
        self.simulated = False  # whether an answer carried the simulator's mark

    def get_json(self, path: str) -> Any:
        """Return the parsed body of ``GET path``. Raises ``RestError`` for everything but a 200 with strict JSON."""
        with self._turn:
            time.sleep(max(0.0, self._next - time.monotonic()))
            self._asked.append(time.monotonic())
            self._next = self._asked[-1] + 1 / REQUESTS_PER_SECOND
            outcome = "failed"
            try:
                with green.deadline(TOTAL_TIMEOUT_SECONDS):
                    status, body = self._get(self._base_url + path)
                self._ease(status)
                outcome = "ok" if status == 200 else "throttled" if status in THROTTLED else "failed"
            except (OSError, requests.RequestException, HTTPError) as error:
                raise RestError(f"GET {path}: {type(error).__name__}: {_innermost(error)[:300]}") from error
            finally:
                self.outcomes[outcome] += 1
        if status != 200:
            raise RestError(f"GET {path}: status {status}", status)
        values = body.count(b",") + body.count(b"[") + body.count(b"{")
        if values > MAX_VALUES:
            raise RestError(f"GET {path}: {values} values in the body, at most {MAX_VALUES} are taken")
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise RestError(f"GET {path}: no JSON: {error}") from error

    def _ease(self, status: int) -> None:
        """Ask more slowly while the exchange says that it is too much for it."""
        self._penalty = min(MAX_PENALTY_SECONDS, max(1.0, self._penalty * 2)) if status in THROTTLED else 0.0
        self._next = max(self._next, time.monotonic() + self._penalty)

    @property
    def requests_left(self) -> int:
        """How many requests the budget has left for this second; 0 while the exchange says that it is too much."""
        now = time.monotonic()
        if self._penalty and self._next > now:
            return 0
        return REQUESTS_PER_SECOND - sum(now - at < 1.0 for at in list(self._asked))

    def close(self) -> None:
        """Close idle connections."""
        self._session.close()

    def _get(self, url: str) -> tuple[int, bytearray]:
        give_up_at = time.monotonic() + TOTAL_TIMEOUT_SECONDS
        timeout = (CONNECT_TIMEOUT_SECONDS, READ_TIMEOUT_SECONDS)
        with self._session.get(url, timeout=timeout, stream=True, allow_redirects=False) as response:
            self.simulated = self.simulated or "X-Simulated" in response.headers
            body = bytearray()
            # as it comes: raises for a body that is cut off, and unpacks nothing
            for chunk in response.raw.stream(65_536, decode_content=False):
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    raise RestError(f"GET {url}: body over {MAX_BODY_BYTES} bytes")
                if time.monotonic() > give_up_at:  # on native threads, where no deadline interrupts
                    raise RestError(f"GET {url}: body not complete within {TOTAL_TIMEOUT_SECONDS:g} s")
            return response.status_code, body


def _innermost(error: BaseException) -> str:
    """Return what the network said, beneath what the libraries made of it."""
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, ssl.SSLError):
            return tls.why(inner)
        if isinstance(inner, socket.gaierror):
            return f"the host's name can't be found: {inner}"
        inner = inner.__context__
    return str(error)

"""Connections that ask without an end, read nothing, say nothing or say it slowly: under both servers."""

from __future__ import annotations

import contextlib
import resource
import selectors
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hub import green
from tests.conftest import HubProcess, eventually
from tests.support.attack import Target, under_attack
from tests.support.gunicorn_hub import gunicorn_hubs

SERVERS = ("app", "gunicorn")
TOKEN = "a-token-of-the-tests"
ADDRESSES = tuple(f"127.0.0.{number}" for number in range(3, 8))  # others than the harness has
HEAD = "Host: 127.0.0.1\r\n\r\n"


@pytest.fixture(autouse=True)
def _descriptors() -> None:
    green.raise_descriptor_limit()  # for this end of the crowds


@pytest.fixture
def factory(
    request: pytest.FixtureRequest, hub_factory: Callable[..., HubProcess], tmp_path: Path
) -> Iterator[Callable[..., Any]]:
    """What starts hubs under the server that the test names."""
    if request.param == "app":
        yield hub_factory
    else:
        with gunicorn_hubs(tmp_path) as start:
            yield start


only_app = pytest.mark.parametrize("factory", ["app"], indirect=True)  # what both do alike, and takes long
both = pytest.mark.parametrize("factory", SERVERS, indirect=True)


def connected(target: Target, address: str = ADDRESSES[0], receive_bytes: int = 0) -> socket.socket:
    """Return a connection from an address; ``receive_bytes`` bounds what the kernel takes in for it."""
    sock = socket.socket()
    if receive_bytes:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    sock.settimeout(10)
    sock.bind((address, 0))
    sock.connect(("127.0.0.1", target.hub.port))
    return sock


def pipeline(target: Target, data: bytes, connections: int, seconds: float) -> int:
    """Send on each connection, without an end, and read all answers; return how many bytes came.

    One that was closed is opened again.
    """
    came = 0
    until = time.monotonic() + seconds
    with selectors.DefaultSelector() as selector, contextlib.ExitStack() as stack:

        def add() -> None:
            sock = stack.enter_context(connected(target))
            sock.setblocking(False)
            selector.register(sock, selectors.EVENT_READ | selectors.EVENT_WRITE)

        for _ in range(connections):
            add()
        while time.monotonic() < until:
            for key, events in selector.select(0.1):
                sock: Any = key.fileobj
                try:
                    if events & selectors.EVENT_WRITE:
                        sock.send(data)
                    if events & selectors.EVENT_READ:
                        if not (answer := sock.recv(1 << 20)):
                            raise ConnectionResetError
                        came += len(answer)
                except BlockingIOError:
                    continue
                except OSError:
                    selector.unregister(sock)
                    sock.close()
                    add()
    return came


ASKED = {
    "prices": f"GET /prices HTTP/1.1\r\n{HEAD}",
    "unknown": f"GET /nonsense HTTP/1.1\r\n{HEAD}",
    "file": f"GET /static/dashboard.js HTTP/1.1\r\n{HEAD}",
    "poll": f"POST /socket.io/?EIO=4&transport=polling&sid=x HTTP/1.1\r\nContent-Length: 2\r\n{HEAD}40",
    "chunks": f"POST /alert HTTP/1.1\r\nTransfer-Encoding: chunked\r\n{HEAD}" + 900 * "1\r\nx\r\n" + "0\r\n\r\n",
    "no request": "NONSENSE\r\n\r\n",
}


@both
@pytest.mark.parametrize(
    ("asked", "environment"),
    [
        *((asked, {}) for asked in ASKED),
        ("prices", {"API_TOKENS": TOKEN}),  # 401s
        ("prices", {"RATE_LIMIT_PER_SECOND": "0"}),  # no 429s
    ],
    ids=[*ASKED, "no token", "no limit"],
)
def test_requests_without_an_end_stop_nobody(
    factory: Callable[..., Any], asked: str, environment: dict[str, str]
) -> None:
    with under_attack(factory, **environment) as target, target.attack():
        assert pipeline(target, ASKED[asked].encode() * 100, connections=20, seconds=4) > 1_000


def paced(count: int, per_second: float = 2_000) -> Iterator[int]:
    """Yield numbers at a pace. Connections that come faster than they are accepted have all others wait behind them."""
    begun = time.monotonic()
    for number in range(count):
        yield number
        time.sleep(max(0.0, begun + number / per_second - time.monotonic()))


def held_by_the_kernel(port: int) -> int:
    """Return how many bytes wait unsent, or unconfirmed, on the hub's side of its connections."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    fields = (line.split() for line in lines)
    return sum(int(found[4].partition(":")[0], 16) for found in fields if found[1].endswith(f":{port:04X}"))


@both
def test_answers_that_nobody_reads_are_given_up(factory: Callable[..., Any]) -> None:
    with under_attack(factory, RATE_LIMIT_PER_SECOND="0") as target:
        usual = target.descriptors()
        with target.attack(), contextlib.ExitStack() as stack:
            for number in paced(1_000):
                sock = stack.enter_context(connected(target, ADDRESSES[number % 5], receive_bytes=4_096))
                sock.sendall(f"GET /tickers HTTP/1.1\r\n{HEAD}".encode() * 3)
            eventually(lambda: held_by_the_kernel(target.hub.port) > 1_000_000)
            most = 0
            until = time.monotonic() + 3
            while time.monotonic() < until:
                most = max(most, held_by_the_kernel(target.hub.port))
                time.sleep(0.2)
            print(f"the kernel holds {most / 1e6:.1f} MB", flush=True)
            assert most < 1_000 * 64_000
            eventually(lambda: target.descriptors() <= usual + 10, 20)  # nobody hung up but the hub
            eventually(lambda: held_by_the_kernel(target.hub.port) == 0, 5)


@both
@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\nX", f"GET /health/live HTTP/1.1\r\n{HEAD}".encode()],
                         ids=["nothing", "half a head", "one request"])  # fmt: skip
def test_idle_connections_of_an_address_are_few(factory: Callable[..., Any], said: bytes) -> None:
    with under_attack(factory) as target:
        usual = target.descriptors()
        with target.attack(), contextlib.ExitStack() as stack:
            for _ in paced(3_000):
                sock = stack.enter_context(connected(target))
                with contextlib.suppress(ConnectionResetError):  # displaced at once
                    sock.sendall(said)
            eventually(lambda: target.descriptors() <= usual + 210, 9)  # a crowd has 5 s
            for _ in range(20):
                assert target.hub.get("/health").status_code == 200
            if said[-4:] != b"\r\n\r\n":
                eventually(lambda: target.descriptors() <= usual + 10, 12)  # 10 s for a request


@both
def test_an_idle_connection_keeps_nothing_of_its_last_request(factory: Callable[..., Any]) -> None:
    """Heads of 770 KB: app.py refuses them, gunicorn takes 100 headers of 8 KB."""
    with under_attack(factory) as target:
        head = "".join(f"X-{number}: {'x' * 8_000}\r\n" for number in range(95))
        with target.attack(), contextlib.ExitStack() as stack:
            for _ in range(100):
                sock = stack.enter_context(connected(target))
                with contextlib.suppress(ConnectionError):
                    sock.sendall(f"GET /health/live HTTP/1.1\r\n{head}{HEAD}".encode())
                    assert sock.recv(4_096).startswith(b"HTTP/1.1 ")


@only_app
def test_idle_connections_of_many_addresses_are_bounded(factory: Callable[..., Any]) -> None:
    with under_attack(factory) as target:
        usual = target.descriptors()
        with target.attack(), contextlib.ExitStack() as stack:
            for number in paced(6_000):
                stack.enter_context(connected(target, f"127.0.1.{number % 200 + 1}"))
            eventually(lambda: target.descriptors() <= usual + 2_050, 9)
            assert target.hub.get("/health").status_code == 200


def slots(target: Target) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = target.get("/connections")["connections"]
    return found


@only_app
def test_the_feed_comes_back_while_strangers_hold_all_descriptors(factory: Callable[..., Any]) -> None:
    with under_attack(factory) as target:
        used = target.descriptors()
        resource.prlimit(target.hub.process.pid, resource.RLIMIT_NOFILE, (400, 400))
        with target.attack(reconnects=22), contextlib.ExitStack() as stack:
            for number in range(600):  # some of them with a request that is never whole
                sock = stack.enter_context(connected(target, f"127.0.1.{number % 200 + 1}"))
                with contextlib.suppress(OSError):
                    sock.sendall((b"", b"GET / HTTP/1.1\r\nX")[number % 2])
            eventually(lambda: target.descriptors() > 340)
            target.hub.simulator.control("fault", {"kind": "kill", "connections": "all"})
            eventually(lambda: sum(slot["reconnects"] for slot in slots(target)) >= 22, 15)
            eventually(lambda: all(slot["status"] == "connected" for slot in slots(target)), 15)
            assert target.descriptors() <= 400
            assert target.get("/health")["counters"]["connections_displaced"] > 200
        assert used < 340


def trickle(target: Target, begun: bytes, seconds: float) -> float:
    """Send a request's begin, then a byte each half second; return after how many seconds the hub hung up."""
    at = time.monotonic()
    with connected(target) as sock, contextlib.suppress(OSError):
        sock.settimeout(0.5)
        sock.sendall(begun)
        while time.monotonic() < at + seconds:
            sock.sendall(b"x")
            with contextlib.suppress(TimeoutError):
                if not sock.recv(4_096):
                    break
    return time.monotonic() - at


@both
def test_requests_that_trickle_in_are_cut_off(factory: Callable[..., Any]) -> None:
    """A head in 10 s; a body in 30 s, which is tried with the servers' own constants elsewhere."""
    with under_attack(factory) as target, target.attack():
        assert 9 < trickle(target, f"GET / HTTP/1.1\r\n{HEAD}GET /".encode(), 20) < 12

"""What the shipped nginx lets one address ask for: handshakes, requests, connections; a /64 of IPv6 is one address."""

from __future__ import annotations

import contextlib
import http.client
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
import socketio

from tests import nginx
from tests.conftest import HubProcess

HANDSHAKE = "/socket.io/?EIO=4&transport=polling"
SLOW = {  # the bursts alone count: what comes back meanwhile is less than one
    "zone=price_hub_handshakes:10m rate=50r/s": "zone=price_hub_handshakes:10m rate=1r/m",
    "zone=price_hub_requests:10m rate=500r/s": "zone=price_hub_requests:10m rate=1r/m",
    "zone=price_hub_handshakes burst=1000": "zone=price_hub_handshakes burst=9",
    "zone=price_hub_requests burst=5000": "zone=price_hub_requests burst=19",
}
NAMED = ("set_real_ip_from 127.0.0.1;\nreal_ip_header X-Forwarded-For;\n",)


@pytest.fixture
def few(hub: HubProcess, tmp_path: Path) -> Iterator[str]:
    """A site with bursts of 10 handshakes and 20 requests, which believes the address that a test names."""
    (tmp_path / "price-hub.d").mkdir()
    (tmp_path / "price-hub.d/named.conf").write_text(*NAMED, encoding="utf-8")
    with nginx.running(tmp_path, hub.port, SLOW) as url:
        yield url


def statuses(site: str, paths: list[str], address: Callable[[int], str] = lambda _: "192.0.2.1") -> Counter[int]:
    """Ask for each on one connection; count the answers."""
    connection = http.client.HTTPConnection("127.0.0.1", int(site.rsplit(":", 1)[1]), 10)
    found: Counter[int] = Counter()
    with contextlib.closing(connection):
        for number, path in enumerate(paths):
            connection.request("GET", path, headers={"X-Forwarded-For": address(number)})
            answer = connection.getresponse()
            answer.read()
            found[answer.status] += 1
    return found


def test_handshakes_are_counted_whatever_else_they_say(few: str) -> None:
    spelled = [
        HANDSHAKE, HANDSHAKE + "&sid=", HANDSHAKE + "&sid", "//socket.io/?EIO=4&transport=polling",
        "/%73ocket.io/?EIO=4&transport=polling", "/socket.io/x?EIO=4&transport=polling",
        HANDSHAKE + "&SID=abc",  # which is no sid to the hub
        HANDSHAKE + "&xsid=abc", "/socket.io/%3Fsid=abc?EIO=4&transport=polling", HANDSHAKE + "#&sid=abc",
    ]  # fmt: skip
    for path in spelled:
        assert statuses(few, [path], lambda _: "192.0.2.77")[429] == 0, path
    for path in spelled:
        assert statuses(few, [path], lambda _: "192.0.2.77") == {429: 1}, path


def test_a_session_under_way_is_no_handshake(few: str) -> None:
    assert statuses(few, [HANDSHAKE] * 30) == {200: 10, 429: 20}
    assert statuses(few, [HANDSHAKE + "&sid=unknown"] * 30) == {400: 30}, "the hub's own answer"
    assert statuses(few, ["/health"]) == {200: 1}, "requests are counted apart"


def test_requests_are_counted_and_told_in_json(few: str) -> None:
    assert statuses(few, ["/api/prices?limit=1", "/health"] * 20) == {200: 20, 429: 20}
    refused = requests.get(few + "/health", headers={"X-Forwarded-For": "192.0.2.1"}, timeout=5)
    assert refused.json() == {"error": "Too many requests of one address"}
    assert refused.headers["Retry-After"] == "1"


def test_addresses_of_one_network_are_one_address(few: str) -> None:
    health = ["/health"] * 30
    assert statuses(few, health, lambda number: f"2001:db8:1:2::{number:x}") == {200: 20, 429: 10}
    assert statuses(few, health, lambda number: f"2001:db8:1:2:{number:x}:a:b:c") == {429: 30}, "the same /64"
    assert statuses(few, health[:20], lambda number: f"2001:db8:1:3::{number:x}") == {200: 20}, "the next one"
    assert statuses(few, health, lambda number: f"2001:db8:2:{number:x}::1") == {200: 30}, "each a network of its own"
    assert statuses(few, health, lambda number: f"192.0.2.{number + 100}") == {200: 30}, "of IPv4, each is one"
    assert statuses(few, health[:20], lambda _: "::ffff:192.0.2.9") == {200: 20}
    assert statuses(few, health[:10], lambda _: "192.0.2.9") == {429: 10}, "the same address"
    assert statuses(few, health[:20], lambda _: "::ffff:192.0.2.8") == {200: 20}


def test_connections_of_one_network_are_those_of_one_address(hub: HubProcess, tmp_path: Path) -> None:
    (tmp_path / "price-hub.d").mkdir()
    (tmp_path / "price-hub.d/named.conf").write_text(*NAMED, encoding="utf-8")
    with nginx.running(tmp_path, hub.port, {"price_hub_clients 2000;": "price_hub_clients 3;"}) as site:
        clients = [socketio.Client(reconnection=False) for _ in range(5)]
        try:
            for number, client in enumerate(clients[:3]):
                named = {"X-Forwarded-For": f"2001:db8::{number:x}"}
                client.connect(site, headers=named, transports=["websocket"])
            with pytest.raises(socketio.exceptions.ConnectionError):
                clients[3].connect(site, headers={"X-Forwarded-For": "2001:db8::9"}, transports=["websocket"])
            clients[4].connect(site, headers={"X-Forwarded-For": "2001:db8:0:1::9"}, transports=["websocket"])
        finally:
            for client in clients:
                client.disconnect()


def test_a_crowd_of_one_address_is_let_in_at_once_and_a_flood_is_not(hub: HubProcess, tmp_path: Path) -> None:
    with nginx.running(tmp_path, hub.port) as site:
        # of a protocol that the hub refuses: the answer costs it little
        found = statuses(site, ["/socket.io/?EIO=3&transport=polling"] * 2_500)
    assert found[400] >= 1_000
    assert found[429] >= 500, found

"""Servers that the hub connects to, and whose answers have no end: each costs its own answer, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from hub.feed.aliases import LIST
from tests.conftest import HubProcess, eventually
from tests.support.attack import USUAL_LOAD, under_attack
from tests.support.endless import Endless, Tickets
from tests.tls import make_certificates

TOKEN = "a-token-for-the-tests"
ADMIN = "canary-of-the-admin-0123456789"
HTTP_ANSWERS = {
    "100 Continue": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "headers": (b"HTTP/1.1 200 OK\r\n", b"A: b\r\n"),
    "one header": (b"HTTP/1.1 200 OK\r\nA: ", b"b"),
    "a body": (b"HTTP/1.1 200 OK\r\n\r\n", b"[]"),
    "chunks of a byte": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n[\r\n"),
    "one chunk's head": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"x"),
    "trailers": (b"HTTP/1.1 429 Wait\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n0\r\n", b"A: b\r\n"),
}
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
OPEN = SWITCH + b"Sec-WebSocket-Accept: {accept}\r\n\r\n"
WEBSOCKETS = {
    "headers": (SWITCH, b"A: b\r\n"),
    "one header": (SWITCH + b"A: ", b"b"),
    "pings": (OPEN, b"\x89\x00"),
    "pongs": (OPEN, b"\x8a\x00"),
    "empty fragments": (OPEN + b"\x01\x00", b"\x00\x00"),
    "fragments of a byte": (OPEN + b"\x01\x01x", b"\x00\x01x"),
    "empty texts": (OPEN, b"\x81\x00"),
    "texts of a byte": (OPEN, b"\x81\x01x"),
}


# the next request after a good one comes within a second, where failures in a row are waited for longer and longer
GOOD_LIST = b'{"products":[{"product_id":"BTC-USD","status":"online","base_currency_id":"B","quote_currency_id":"U"}]}'
GOOD = (b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(GOOD_LIST), GOOD_LIST), b" ")


def send_test_alert(hub: HubProcess) -> int:
    """Have the hub post to its receivers; return the status of the action."""
    headers = {"Authorization": f"Bearer {ADMIN}"}
    return requests.post(f"{hub.url}/alerts/test", headers=headers, timeout=20).status_code


def test_a_receiver_of_alerts_whose_answers_have_no_end(hub_factory: Callable[..., HubProcess]) -> None:
    with (
        Endless(*HTTP_ANSWERS["headers"]) as receiver,
        under_attack(
            hub_factory, API_TOKENS=TOKEN, ADMIN_TOKEN=ADMIN, WEBHOOK_URL=f"http://127.0.0.1:{receiver.port}/",
            WEBHOOK_ALLOWED_HOSTS="127.0.0.1",
        ) as target,
        target.attack(),
    ):  # fmt: skip
        for answer in HTTP_ANSWERS.values():
            receiver.answer, before = answer, receiver.served
            eventually(lambda: send_test_alert(target.hub) == 200)  # five a second are let through
            assert receiver.served > before


def test_the_exchanges_rest_whose_answers_have_no_end(hub_factory: Callable[..., HubProcess]) -> None:
    with (
        Endless(*GOOD) as rest,
        under_attack(
            hub_factory, API_TOKENS=TOKEN, FEED="both", ADVANCED_TRADE_REST_URL=f"http://127.0.0.1:{rest.port}",
            CATALOGUE_REFRESH_SECONDS="1",
        ) as target,
    ):  # fmt: skip
        slots = lambda: target.get("/connections")["connections"]  # noqa: E731
        eventually(lambda: all(slot["status"] == "connected" for slot in slots()), 20)  # each takes a descriptor
        with target.attack():
            for answer in HTTP_ANSWERS.values():
                for one in (answer, GOOD):
                    rest.answer, before = one, rest.served
                    eventually(lambda before=before: rest.served > before, 30)
        assert f"no product list of Advanced Trade: GET {LIST}" in target.hub.log()


@pytest.mark.parametrize("names", [list(WEBSOCKETS)[:4], list(WEBSOCKETS)[4:]], ids=lambda names: names[0])
def test_a_websocket_of_the_exchange_that_has_no_end(hub_factory: Callable[..., HubProcess], names: list[str]) -> None:
    with (
        Endless(*WEBSOCKETS[names[0]]) as path,
        under_attack(
            hub_factory, API_TOKENS=TOKEN, FEED="both", ADVANCED_TRADE_WS_URL=f"ws://127.0.0.1:{path.port}",
        ) as target,
        target.attack(reconnects=10_000),  # of the hostile path, whose slots are listed with the others
    ):  # fmt: skip
        for name in names:
            path.answer, before = WEBSOCKETS[name], path.served
            eventually(lambda before=before: path.served > before + 1, 30)
        assert target.get("/health")["paths"]["exchange"]["connected_connections"] == 22


def test_a_proxy_whose_answer_has_no_end(hub_factory: Callable[..., HubProcess]) -> None:
    with (
        Endless(b"HTTP/1.1 200 OK\r\n", b"A: b\r\n") as proxy,
        under_attack(
            hub_factory, simulator=[*USUAL_LOAD], API_TOKENS=TOKEN, FEED="both",
            HTTPS_PROXY=f"http://127.0.0.1:{proxy.port}", ADVANCED_TRADE_WS_URL="wss://exchange.test",
            ADVANCED_TRADE_REST_URL="https://exchange.test",
        ) as target,
        target.attack(reconnects=10_000),
    ):  # fmt: skip
        for answer in ((b"HTTP/1.1 200 OK\r\n", b"A: b\r\n"), (b"", b"HTTP/1.1 100 Continue\r\n\r\n")):
            proxy.answer, before = answer, proxy.served
            eventually(lambda before=before: proxy.served > before + 1, 30)
        assert target.get("/health")["paths"]["exchange"]["connected_connections"] == 22


def test_a_websocket_of_tls_without_data(hub_factory: Callable[..., HubProcess], tmp_path: Path) -> None:
    make_certificates(tmp_path)
    with (
        Tickets(tmp_path / "good.pem", 20_000) as path,
        under_attack(
            hub_factory, API_TOKENS=TOKEN, FEED="both", ADVANCED_TRADE_WS_URL=f"wss://localhost:{path.port}",
            PRODUCTS_PER_CONNECTION="100", SSL_CERT_FILE=str(tmp_path / "ca.pem"),
        ) as target,
        target.attack(reconnects=10_000),
    ):  # fmt: skip
        before = path.served
        eventually(lambda: path.served >= before + 3, 40)
        slots = target.get("/connections")["connections"]
        assert "too_much" in {slot["last_cause"] for slot in slots if slot["connection_id"].startswith("adv")}
        assert "cause=too_much" in target.hub.log()

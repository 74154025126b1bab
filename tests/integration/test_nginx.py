"""The real nginx, with the configuration that is shipped, in front of a real hub."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
import socketio
import websocket

from tests import nginx
from tests.conftest import HubProcess

FOREIGN = "http://elsewhere.example"
POLL = "/socket.io/?EIO=4&transport=polling"


@pytest.fixture(scope="module")
def site(hub: HubProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with nginx.running(tmp_path_factory.mktemp("nginx"), hub.port) as url:
        yield url


def handshake(site: str, origin: str | None, *headers: str, host: str | None = None) -> int:
    """The status of a WebSocket handshake: 101, or the refusal."""
    try:
        connection = websocket.create_connection(
            site.replace("http", "ws", 1) + "/socket.io/?EIO=4&transport=websocket",
            origin=origin,
            suppress_origin=origin is None,
            header=list(headers),
            host=host,
            timeout=5,
        )
    except websocket.WebSocketBadStatusException as refusal:
        return refusal.status_code
    connection.close()
    return 101


def test_paths_pass_unstripped(site: str) -> None:
    health = requests.get(site + "/api/health", timeout=5).json()
    assert health["total_connections"] == 22
    assert requests.get(site + "/health", timeout=5).json()["total_products"] == health["total_products"]
    missing = requests.get(site + "/api/tickers/NONE-USD", timeout=5)
    assert (missing.status_code, missing.json()) == (404, {"error": "Ticker not found"})
    landed = requests.get(site + "/", headers={"Accept": "text/html"}, timeout=5)
    assert landed.url == site + "/dashboard", "a redirect leads to nginx's own address"
    assert landed.status_code == 200


@pytest.mark.parametrize("transports", [None, ["websocket"], ["polling"]], ids=["default", "websocket", "polling"])
def test_tickers_come_through_by_each_transport(site: str, transports: list[str] | None) -> None:
    client = socketio.Client()
    tickers: list[dict] = []
    client.on("ticker_update", tickers.append)
    client.connect(site, transports=transports)
    try:
        end = time.monotonic() + 20
        while len(tickers) < 50:
            assert time.monotonic() < end, f"{len(tickers)} tickers"
            time.sleep(0.05)
        assert client.transport() == (transports or ["websocket"])[0]
    finally:
        client.disconnect()


def test_a_page_of_the_site_may_connect_and_a_foreign_one_may_not(site: str) -> None:
    assert handshake(site, site) == 101
    assert handshake(site, None) == 101, "bots send no Origin"
    assert handshake(site, FOREIGN) in (400, 403)
    assert requests.get(site + POLL, headers={"Origin": site}, timeout=5).status_code == 200
    refused = requests.get(site + POLL, headers={"Origin": FOREIGN}, timeout=5)
    assert refused.status_code in (400, 403)
    assert FOREIGN not in refused.headers.get("Access-Control-Allow-Origin", "")


def test_what_a_client_claims_about_the_host_is_not_believed(site: str) -> None:
    assert handshake(site, FOREIGN, "X-Forwarded-Host: elsewhere.example") in (400, 403)


def test_a_site_behind_tls_may_connect(site: str) -> None:
    origin = site.replace("http", "https", 1)
    assert handshake(site, origin) == 101, "a tunnel ends TLS, and nginx tells the hub of plain HTTP"
    assert handshake(site, origin, "X-Forwarded-Proto: https") == 101


def test_a_public_name_behind_a_tunnel_that_ends_tls(site: str) -> None:
    name = "prices.example.com"
    assert handshake(site, f"https://{name}", host=name) == 101
    assert handshake(site, f"http://{name}", host=name) == 421, "what a page that rebinds its name sends"
    page = {"Host": name, "Sec-Fetch-Site": "same-origin"}
    assert requests.get(site + "/api/prices", headers=page, timeout=5).status_code == 200
    assert requests.get(site + POLL, headers=page, timeout=5).status_code == 200


def test_nginx_starts_before_the_hub_has_a_name(tmp_path: Path) -> None:
    assert nginx.check(tmp_path, nginx.write_config(tmp_path, None, 18080)) == ""


def test_null_and_claimed_origins_are_refused(site: str) -> None:
    for origin, header in (
        ("null", "X-Forwarded-Host: null"), (FOREIGN, "Forwarded: host=elsewhere.example"),
        (FOREIGN, "X-Forwarded-Host: elsewhere.example, elsewhere.example"), (f"{site}.elsewhere.example", "X: y"),
        (FOREIGN, "X-Original-Host: elsewhere.example"),
    ):  # fmt: skip
        assert handshake(site, origin, header) in (400, 403), (origin, header)
        name, value = header.split(": ")
        for path, status in (("/api/prices", 403), (POLL, 400)):
            refused = requests.get(site + path, headers={"Origin": origin, name: value}, timeout=5)
            assert refused.status_code == status
            assert "Access-Control-Allow-Origin" not in refused.headers


def test_rest_tells_its_own_page_alone_that_it_may_read(site: str) -> None:
    own = requests.get(site + "/api/prices", headers={"Origin": site}, timeout=5)
    assert own.headers["Access-Control-Allow-Origin"] == site
    assert "Origin" in own.headers["Vary"]
    asked = {"Origin": site, "Access-Control-Request-Method": "PUT"}
    assert requests.options(site + "/api/priority-pairs", headers=asked, timeout=5).status_code == 200
    asked["Origin"] = FOREIGN
    assert requests.options(site + "/api/priority-pairs", headers=asked, timeout=5).status_code == 403


def test_a_configured_front_end_may_connect_from_its_own_site(
    hub_factory: Callable[..., HubProcess], tmp_path: Path
) -> None:
    front = "https://prices.example.com"
    hub = hub_factory(["--products", "20"], FRONTEND_URL=front, TRUSTED_PROXIES="127.0.0.1", MAX_CLIENTS_PER_IP="1")
    with nginx.running(tmp_path, hub.port) as site:
        assert handshake(site, front) == 101
        assert handshake(site, "http://prices.example.com") in (400, 403), "another scheme"
        assert handshake(site, front + ".evil.example") in (400, 403)
        answer = requests.get(site + "/api/prices", headers={"Origin": front}, timeout=5)
        assert answer.headers["Access-Control-Allow-Origin"] == front
        # nginx names the address, whatever the client claims: two from here are two of one address
        requests.get(site + POLL, headers={"X-Forwarded-For": "198.51.100.7"}, timeout=5)
        second = requests.get(site + POLL, headers={"X-Forwarded-For": "198.51.100.8"}, timeout=5)
        assert (second.status_code, second.json()) == (503, {"error": "too_many_clients_of_ip"})


def test_a_smuggled_request_does_not_pass_nginx_and_the_hub(site: str) -> None:
    inner = "GET /api/health HTTP/1.1\r\nHost: x\r\n\r\n"
    for head in ("Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                 "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", "Content-Length: +2\r\n\r\n{}"):  # fmt: skip
        with socket.create_connection(("127.0.0.1", int(site.rsplit(":", 1)[1])), timeout=5) as sock:
            sock.sendall(f"POST /api/alert HTTP/1.1\r\nHost: x\r\n{head}{inner}".encode())
            sock.shutdown(socket.SHUT_WR)
            received = b"".join(iter(lambda sock=sock: sock.recv(65_536), b""))
        assert b"total_connections" not in received
        assert received.split(b" ")[1] in (b"400", b"501", b"411")

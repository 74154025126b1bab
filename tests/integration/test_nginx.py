"""The real nginx, with the configuration that is shipped, in front of a real hub."""

from __future__ import annotations

import time
from collections.abc import Iterator
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


def handshake(site: str, origin: str | None, *headers: str) -> int:
    """The status of a WebSocket handshake: 101, or the refusal."""
    try:
        connection = websocket.create_connection(
            site.replace("http", "ws", 1) + "/socket.io/?EIO=4&transport=websocket",
            origin=origin,
            suppress_origin=origin is None,
            header=list(headers),
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
    assert handshake(site, origin) in (400, 403), "another scheme is another origin"
    assert handshake(site, origin, "X-Forwarded-Proto: https") == 101


def test_nginx_starts_before_the_hub_has_a_name(tmp_path: Path) -> None:
    assert nginx.check(tmp_path, nginx.write_config(tmp_path, None, 18080)) == ""

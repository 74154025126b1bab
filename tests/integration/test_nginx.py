"""The real nginx, with the configuration that is shipped, in front of a real hub."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import socketio
import websocket

from tests.conftest import HubProcess, need

CONFIG = Path(__file__).parents[2] / "docker/nginx.conf"
FOREIGN = "http://elsewhere.example"
POLL = "/socket.io/?EIO=4&transport=polling"


def write_config(folder: Path, backend_port: int | None, port: int) -> Path:
    """The shipped file with other addresses and folders; that each stands in it is asserted."""
    text = CONFIG.read_text(encoding="utf-8")
    changes = {
        "http://backend:5000": f"http://127.0.0.1:{backend_port}" if backend_port else "http://backend:5000",
        "listen 8080;": f"listen 127.0.0.1:{port};",
        " /tmp/": f" {folder}/",
        "worker_processes auto;": "worker_processes 1;",
    }
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    config = folder / "nginx.conf"
    config.write_text(text, encoding="utf-8")
    return config


@pytest.fixture(scope="module")
def nginx() -> str:
    found = shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin")
    return found or need("nginx", "what stands before the hub")


@pytest.fixture(scope="module")
def site(nginx: str, hub: HubProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    tmp_path = tmp_path_factory.mktemp("nginx")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # As root its workers would be "nobody", who can't enter pytest's folder.
    options = "daemon off;" + (" user root;" if os.geteuid() == 0 else "")
    command = [nginx, "-p", str(tmp_path), "-c", str(write_config(tmp_path, hub.port, port)), "-g", options]
    log = tmp_path / "stderr.log"
    with log.open("wb") as stderr:
        process = subprocess.Popen(command, stderr=stderr, stdout=stderr)
    url = f"http://127.0.0.1:{port}"
    try:
        end = time.monotonic() + 10
        while True:
            assert process.poll() is None, log.read_text()
            try:
                requests.get(url + "/nginx-alive", timeout=1)
                break
            except requests.ConnectionError:
                assert time.monotonic() < end, log.read_text()
                time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=10)


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


def test_nginx_starts_before_the_hub_has_a_name(nginx: str, tmp_path: Path) -> None:
    options = "user root;" if os.geteuid() == 0 else ""
    command = [nginx, "-t", "-p", str(tmp_path), "-c", str(write_config(tmp_path, None, 18080)), "-g", options]
    checked = subprocess.run(command, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr

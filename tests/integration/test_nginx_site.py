"""What the shipped nginx adds to the hub: who may ask for what, limits, compression, TLS, and its own answers."""

from __future__ import annotations

import contextlib
import functools
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
import socketio
from requests.adapters import HTTPAdapter

from tests import nginx
from tests.conftest import ROOT, HubProcess, eventually, need


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Path]:
    return lambda: tmp_path_factory.mktemp("nginx")


@pytest.fixture(scope="module")
def site(hub: HubProcess, folder: Callable[[], Path]) -> Iterator[str]:
    with nginx.running(folder(), hub.port) as url:
        yield url


@pytest.fixture(scope="module")
def from_outside() -> requests.Session:
    """Asks from 127.0.0.2, which is loopback, but not one of the addresses that may."""
    class Adapter(HTTPAdapter):
        def init_poolmanager(self, *args: object, **options: object) -> None:
            super().init_poolmanager(*args, source_address=("127.0.0.2", 0), **options)

    session = requests.Session()
    session.mount("http://", Adapter())
    return session


@pytest.mark.parametrize("prefix", ["", "/api"])
@pytest.mark.parametrize(
    "path",
    [
        "/metrics", "/metrics/", "//metrics", "/./metrics", "/%6detrics", "/metrics?a=b", "/drills", "/alerts/test",
        "/connections/conn_000/reconnect", "/connections/conn_000/rotate", "/price/BTC-USD/move",
        "/price/BTC-USD/resubscribe/",
    ],
)  # fmt: skip
def test_what_is_for_operators_is_closed_to_the_world(
    site: str, from_outside: requests.Session, prefix: str, path: str
) -> None:
    request = requests.Request("POST", site, headers={"Authorization": "Bearer of-no-use"}).prepare()
    request.url = site + prefix + path  # as it stands: requests would tidy it
    refused = from_outside.send(request, timeout=5, allow_redirects=False)
    assert refused.status_code == 403
    assert "Only from inside" in refused.json()["error"]


def test_from_inside_the_hub_itself_decides(site: str) -> None:
    refused = requests.post(site + "/connections/conn_000/rotate", timeout=5)
    assert (refused.status_code, refused.json()) == (403, {"error": "actions are off: ADMIN_TOKEN is not set"})


@pytest.mark.parametrize(
    "path", ["/health", "/api/health", "/status", "/connections", "/price/BTC-USD", "/price/BTC-USD/explain", "/gaps"]
)
def test_what_is_for_everybody_stays_open(site: str, from_outside: requests.Session, path: str) -> None:
    assert from_outside.get(site + path, timeout=5).status_code == 200


def test_json_and_scripts_are_compressed_and_the_stream_is_not(site: str) -> None:
    for path in ("/tickers", "/static/dashboard.js", "/static/dashboard.css", "/dashboard"):
        answer = requests.get(site + path, headers={"Accept-Encoding": "gzip"}, timeout=5)
        assert answer.headers.get("Content-Encoding") == "gzip", path
        assert "Accept-Encoding" in answer.headers["Vary"]
    poll = requests.get(site + "/socket.io/?EIO=4&transport=polling", headers={"Accept-Encoding": "gzip"}, timeout=5)
    assert "Content-Encoding" not in poll.headers


def test_what_did_not_change_is_not_sent_again(site: str) -> None:
    first = requests.get(site + "/static/dashboard.js", timeout=5)
    again = requests.get(site + "/static/dashboard.js", headers={"If-None-Match": first.headers["ETag"]}, timeout=5)
    assert (again.status_code, again.content) == (304, b"")


def test_security_headers_come_once_and_no_version_is_told(site: str) -> None:
    with socket.create_connection(("127.0.0.1", int(site.rsplit(":", 1)[1])), timeout=5) as raw:
        raw.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        head = b"".join(iter(lambda: raw.recv(65536), b"")).partition(b"\r\n\r\n")[0].decode().lower()
    for name in ("content-security-policy", "x-content-type-options", "x-frame-options", "referrer-policy"):
        assert head.count(f"\r\n{name}:") == 1
    assert "\r\nserver: nginx\r\n" in head + "\r\n"


def test_an_offer_of_another_protocol_is_not_passed_on(site: str) -> None:
    headers = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAMAAABkAARAAAAAAAIAAAAA"}
    assert requests.get(site + "/health", headers=headers, timeout=5).status_code == 200


def test_a_body_that_is_too_large_is_refused_in_json(site: str) -> None:
    refused = requests.post(site + "/alert", data=b"x" * 70_000, timeout=5)
    assert (refused.status_code, refused.json()) == (413, {"error": "Request Entity Too Large"})


def test_one_address_can_not_take_every_connection(
    hub: HubProcess, folder: Callable[[], Path]
) -> None:
    few = {"limit_conn price_hub_clients 2000;": "limit_conn price_hub_clients 3;"}
    with nginx.running(folder(), hub.port, few) as site:
        clients = [socketio.Client(reconnection=False) for _ in range(4)]
        try:
            for client in clients[:3]:
                client.connect(site, transports=["websocket"])
            with pytest.raises(socketio.exceptions.ConnectionError):
                clients[3].connect(site, transports=["websocket"])
            poll = requests.get(site + "/socket.io/?EIO=4&transport=polling", timeout=5)
            assert (poll.status_code, poll.json()) == (429, {"error": "Too many connections of one address"})
            assert requests.get(site + "/health", timeout=5).status_code == 200, "requests are counted apart"
            clients[0].disconnect()
            eventually(lambda: connected(clients[3], site), 5)
        finally:
            for client in clients:
                client.disconnect()


def connected(client: socketio.Client, site: str) -> bool:
    """Try to connect; tell whether it did."""
    with contextlib.suppress(socketio.exceptions.ConnectionError):
        client.connect(site, transports=["websocket"])
    return bool(client.connected)


def test_the_hub_counts_the_addresses_that_nginx_names(
    hub_factory: Callable[..., HubProcess], folder: Callable[[], Path], from_outside: requests.Session
) -> None:
    hub = hub_factory(
        ["--products", "5"], TRUSTED_PROXIES="127.0.0.1", MAX_CLIENTS_PER_IP="1", ADMIN_TOKEN="operators-only-000",
        DRAIN_SECONDS="0",
    )  # fmt: skip
    everybody = {"default   0;": "default   1;"}
    with nginx.running(folder(), hub.port, everybody) as site:
        client = socketio.Client()
        client.connect(site, transports=["websocket"])
        try:
            lied = {"X-Forwarded-For": "10.1.2.3"}
            poll = site + "/socket.io/?EIO=4&transport=polling"
            assert requests.get(poll, headers=lied, timeout=5).status_code == 503, "a second one of that address"
            assert from_outside.get(poll, headers=lied, timeout=5).status_code == 200
        finally:
            client.disconnect()
        from_outside.post(site + "/connections/conn_000/rotate", timeout=5)
        eventually(lambda: "127.0.0.2" in hub.log())


def test_a_restart_of_the_hub_is_a_503_in_json_and_clients_come_back(
    hub_factory: Callable[..., HubProcess], folder: Callable[[], Path]
) -> None:
    small = ["--products", "5"]
    port = nginx.free_port()
    start = functools.partial(hub_factory, small, ["--port", str(port)], DRAIN_SECONDS="0")
    hub = start()
    with nginx.running(folder(), port) as site:
        client = socketio.Client(reconnection_delay=0.2, reconnection_delay_max=1)
        tickers: list[dict] = []
        client.on("ticker_update", tickers.append)
        client.connect(site)
        try:
            eventually(lambda: tickers)
            assert hub.terminate() == 0
            away = requests.get(site + "/api/prices", timeout=5)
            assert (away.status_code, list(away.json())) == (503, ["error"])
            assert away.headers["Retry-After"] == "2"
            eventually(lambda: not client.connected)
            tickers.clear()
            start()
            eventually(lambda: requests.get(site + "/health", timeout=5).status_code == 200)
            eventually(lambda: tickers, 15)
        finally:
            client.shutdown()


def test_behind_a_proxy_the_clients_keep_their_addresses(hub: HubProcess, folder: Callable[[], Path]) -> None:
    there = folder()
    text = (ROOT / "docker/nginx.d/behind-a-proxy.conf.example").read_text(encoding="utf-8")
    assert "set_real_ip_from 10.213.77.1;" in text
    (there / "price-hub.d").mkdir()
    (there / "price-hub.d/proxy.conf").write_text(text.replace("10.213.77.1", "127.0.0.1"), encoding="utf-8")
    with nginx.running(there, hub.port) as site:
        for claimed, status in (("203.0.113.9", 403), ("127.0.0.1, 203.0.113.9", 403), ("::1", 403)):
            headers = {"X-Forwarded-For": claimed, "Authorization": "Bearer of-no-use"}
            answer = requests.post(site + "/connections/conn_000/rotate", headers=headers, timeout=5)
            assert answer.status_code == status
            by_nginx = "Only from inside" in answer.text
            assert by_nginx == (claimed != "::1"), "what the proxy says is believed; it names the last one it saw"


def test_tls_as_shipped(hub: HubProcess, folder: Callable[[], Path]) -> None:
    openssl = need("openssl", "a certificate")
    there, port = folder(), nginx.free_port()
    key, certificate = there / "key.pem", there / "certificate.pem"
    subprocess.run(
        [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    text = (ROOT / "docker/nginx.d/tls.conf.example").read_text(encoding="utf-8")
    for old, new in (
        ("listen 443 ", f"listen 127.0.0.1:{port} "),
        ("/etc/letsencrypt/live/prices.example.com/fullchain.pem", str(certificate)),
        ("/etc/letsencrypt/live/prices.example.com/privkey.pem", str(key)),
    ):
        assert old in text
        text = text.replace(old, new)
    (there / "price-hub.d").mkdir()
    (there / "price-hub.d/tls.conf").write_text(text, encoding="utf-8")
    with nginx.running(there, hub.port) as plain:
        assert nginx.check(there, there / "nginx.conf") == ""
        site = f"https://localhost:{port}"
        session = requests.Session()
        session.trust_env = False  # a bundle that the environment names would win over this one
        session.verify = str(certificate)
        answer = session.get(site + "/health", timeout=5)
        assert answer.status_code == 200
        assert "max-age" in answer.headers["Strict-Transport-Security"]
        moved = requests.get(plain + "/health", allow_redirects=False, timeout=5)
        assert (moved.status_code, moved.headers["Location"]) == (301, "https://127.0.0.1/health")
        offer = ssl.create_default_context(cafile=str(certificate))
        offer.set_alpn_protocols(["h2", "http/1.1"])
        with (
            socket.create_connection(("127.0.0.1", port), timeout=5) as raw,
            offer.wrap_socket(raw, server_hostname="localhost") as wrapped,
        ):
            assert wrapped.selected_alpn_protocol() == "h2"
        client = socketio.Client(http_session=session)
        client.connect(site)  # its WebSocket names the site as its Origin, as a page does
        try:
            eventually(lambda: client.transport() == "websocket")
        finally:
            client.disconnect()

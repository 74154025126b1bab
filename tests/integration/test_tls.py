"""The live path is TLS; and an endpoint that can't be trusted, or not even be found, fails closed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hub.simulator.launch import SimulatorProcess, launch
from tests.conftest import HubProcess, eventually
from tests.connect_proxy import ConnectProxy
from tests.tls import TlsProxy, make_certificates


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    make_certificates(folder)
    return folder


@dataclass
class Stage:
    """A hub that reaches its simulator by TLS, WebSocket and REST."""

    hub: HubProcess
    simulator: SimulatorProcess
    tls: TlsProxy

    def slots(self) -> list[dict[str, Any]]:
        slots: list[dict[str, Any]] = self.hub.get("/connections").json()["connections"]
        return slots

    def all_connected(self) -> bool:
        slots = self.slots()
        return bool(slots) and all(slot["status"] == "connected" for slot in slots)


@pytest.fixture
def staged(certificates: Path, tmp_path: Path) -> Iterator[Callable[..., Stage]]:
    with contextlib.ExitStack() as stack:

        def start(certificate: str, host: str = "localhost", **environment: str) -> Stage:
            simulator = stack.enter_context(launch(["--products", "20"]))
            port = int(simulator.ws_url.rsplit(":", 1)[1])
            tls = TlsProxy(("127.0.0.1", port), certificates / f"{certificate}.pem")
            stack.callback(tls.close)
            settings = {
                "WS_URL": f"wss://{host}:{tls.port}", "REST_URL": f"https://{host}:{tls.port}",
                "WS_DIALECT": "exchange", "STATE_DIR": str(tmp_path), "CONNECT_TIMEOUT_SECONDS": "1",
                "SSL_CERT_FILE": str(certificates / "ca.pem"), "BACKOFF_CAP_SECONDS": "1", **environment,
            }  # fmt: skip
            hub = HubProcess(simulator, settings, [])
            stack.callback(hub.stop)
            return Stage(hub, simulator, tls)

        yield start


def test_prices_over_tls_and_a_mute_tls_socket_is_replaced(staged: Callable[..., Stage]) -> None:
    stage = staged("good")
    stage.hub.wait_until_covered()
    stage.simulator.control("fault", {"kind": "mute", "connections": "all", "seconds": 600})
    eventually(lambda: stage.slots()[0]["last_cause"] == "silent", 8)
    eventually(stage.all_connected, 8)
    assert stage.hub.health()["refused_frames"] == {}
    assert "bug" not in stage.hub.log()


def test_a_certificate_that_does_not_hold_fails_closed_until_it_is_put_right(
    staged: Callable[..., Stage], certificates: Path
) -> None:
    stage = staged("expired")
    hub = stage.hub
    eventually(lambda: "GET /products: SSLError: certificate has expired (check the clock" in hub.log(), 8)
    assert hub.health()["price_samples"] == 0
    stage.tls.present(certificates / "good.pem")
    hub.wait_until_covered()
    stage.tls.present(certificates / "wrong.pem")
    stage.simulator.control("fault", {"kind": "kill", "connections": "all"})
    eventually(lambda: stage.slots()[0]["last_cause"] == "tls", 8)
    assert hub.health()["connected_connections"] == 0
    assert f"cause=tls detail=tls: localhost:{stage.tls.port}: Hostname mismatch" in hub.log()
    assert "(check the host in the URL; something else may answer in its place)" in hub.log()
    stage.tls.present(certificates / "good.pem")
    eventually(stage.all_connected, 12)
    assert "bug" not in hub.log()


def test_prices_through_a_proxy_and_not_one_connection_beside_it(staged: Callable[..., Stage]) -> None:
    proxy = ConnectProxy({"exchange.test": "127.0.0.1"})  # the hub itself can't find that name
    proxied = {"HTTPS_PROXY": proxy.url.replace("//", "//user:canary@"), "NO_PROXY": "elsewhere.test"}
    stage = staged("good", "exchange.test", **proxied)
    try:
        stage.hub.wait_until_covered()
        proxy.answer = 407
        proxy.cut()
        eventually(lambda: stage.slots()[0]["last_cause"] == "proxy_407", 8)
        said = f"proxy 127.0.0.1:{proxy.port}: it answered 407 (it wants user and password in its URL)"
        assert f"cause=proxy_407 detail=proxy_407: {said}" in stage.hub.log()
        assert stage.hub.health()["connected_connections"] == 0
        proxy.answer = 200
        eventually(stage.all_connected, 12)
        assert proxy.tunnels == len(stage.tls.accepted) >= 5  # 2 WebSockets, twice, and REST
        assert "canary" not in stage.hub.log()
        assert "bug" not in stage.hub.log()
    finally:
        proxy.close()


def test_a_name_that_does_not_resolve_fails_closed(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(["--products", "20"], WS_URL="ws://nobody.invalid:9", CONNECT_TIMEOUT_SECONDS="1")
    eventually(lambda: hub.get("/connections").json()["connections"], 5)
    slot = lambda: hub.get("/connections").json()["connections"][0]  # noqa: E731
    eventually(lambda: slot()["last_cause"] == "dns", 8)
    body = hub.health()
    assert body["connected_connections"] == body["price_samples"] == 0
    assert "bug" not in hub.log()

"""The live path is TLS; and an endpoint that can't be trusted, or not even be found, fails closed."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hub.simulator.launch import launch
from tests.conftest import HubProcess, eventually
from tests.tls import TlsProxy, make_certificates


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    make_certificates(folder)
    return folder


@pytest.fixture
def tls_hub(certificates: Path, tmp_path: Path) -> Iterator[Callable[[str | None], HubProcess]]:
    with contextlib.ExitStack() as stack:

        def start(certificate: str | None) -> HubProcess:
            simulator = stack.enter_context(launch(["--products", "20"]))
            port = int(simulator.ws_url.rsplit(":", 1)[1])
            proxy = TlsProxy(("127.0.0.1", port), certificates / f"{certificate}.pem" if certificate else None)
            stack.callback(proxy.close)
            environment = {
                "WS_URL": f"wss://localhost:{proxy.port}", "REST_URL": simulator.rest_url, "WS_DIALECT": "exchange",
                "STATE_DIR": str(tmp_path), "SSL_CERT_FILE": str(certificates / "ca.pem"),
                "CONNECT_TIMEOUT_SECONDS": "1",
            }  # fmt: skip
            hub = HubProcess(simulator, environment, [])
            stack.callback(hub.stop)
            return hub

        yield start


def test_prices_over_tls_and_a_mute_tls_socket_is_replaced(tls_hub: Callable[..., HubProcess]) -> None:
    hub = tls_hub("good")
    hub.wait_until_covered()
    assert hub.simulator is not None
    slot = lambda: hub.get("/connections").json()["connections"][0]  # noqa: E731
    hub.simulator.control("fault", {"kind": "mute", "connections": "all", "seconds": 600})
    eventually(lambda: slot()["last_cause"] == "silent", 8)
    eventually(lambda: all(s["status"] == "connected" for s in hub.get("/connections").json()["connections"]), 8)
    assert hub.health()["refused_frames"] == {}
    assert "bug" not in hub.log()


@pytest.mark.parametrize(("certificate", "cause"), [("wrong", "tls"), ("expired", "tls"), (None, "connect_timeout")])
def test_a_certificate_that_does_not_hold_fails_closed(
    tls_hub: Callable[..., HubProcess], certificate: str | None, cause: str
) -> None:
    hub = tls_hub(certificate)
    eventually(lambda: hub.get("/connections").json()["connections"], 5)
    slot = lambda: hub.get("/connections").json()["connections"][0]  # noqa: E731
    eventually(lambda: slot()["last_cause"] == cause, 8)
    body = hub.health()
    assert body["connected_connections"] == 0
    assert body["price_samples"] == 0
    assert "bug" not in hub.log()


def test_a_name_that_does_not_resolve_fails_closed(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(["--products", "20"], WS_URL="ws://nobody.invalid:9", CONNECT_TIMEOUT_SECONDS="1")
    eventually(lambda: hub.get("/connections").json()["connections"], 5)
    slot = lambda: hub.get("/connections").json()["connections"][0]  # noqa: E731
    eventually(lambda: slot()["last_cause"] in ("dns", "connect_timeout"), 8)  # the latter: no name server answers
    body = hub.health()
    assert body["connected_connections"] == body["price_samples"] == 0
    assert "bug" not in hub.log()

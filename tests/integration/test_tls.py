"""The live path is TLS: a certificate authority of our own, a proxy that speaks TLS in front of the simulator."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hub.simulator.launch import launch
from tests.conftest import HubProcess, eventually, need


def make_certificates(folder: Path) -> None:
    """Make ca.pem, and good.pem (localhost), wrong.pem (another host), expired.pem, each with its key."""
    openssl = need("openssl", "the TLS test")

    def run(*arguments: str) -> None:
        subprocess.run([openssl, *arguments], cwd=folder, check=True, capture_output=True)

    key = ("-newkey", "rsa:2048", "-nodes")
    run("req", "-x509", *key, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test ca", "-days", "2")
    wanted = (("good", "localhost", "2"), ("wrong", "elsewhere.example", "2"), ("expired", "localhost", "-1"))
    for name, host, days in wanted:
        (folder / f"{name}.ext").write_text(f"subjectAltName=DNS:{host}\n")
        run("req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={host}")
        run("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-out", f"{name}.pem", "-days", days, "-extfile", f"{name}.ext")  # fmt: skip


class TlsProxy:
    """Terminates TLS on a free port and passes the bytes on; with no certificate it accepts and says nothing."""

    def __init__(self, target: tuple[str, int], certificate: Path | None) -> None:
        self._target = target
        self._context = None
        if certificate is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(certificate, certificate.with_suffix(".key"))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        for sock in (self._listener, *self._open):
            sock.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._open.append(client)
                if self._context is not None:
                    threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with (
            contextlib.suppress(OSError),
            self._context.wrap_socket(client, server_side=True) as outer,
            socket.create_connection(self._target) as inner,
        ):
            threading.Thread(target=self._pump, args=(inner, outer), daemon=True).start()
            self._pump(outer, inner)

    @staticmethod
    def _pump(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)


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

"""The way to the exchange: certificates, proxies, names; WebSocket and REST take the same one, and trust the same."""

from __future__ import annotations

import base64
import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hub.feed import tls
from hub.feed.dial import Dial, TransportError
from hub.feed.proxy import find
from hub.feed.rest import RestClient, RestError
from hub.feed.transport import Transport
from hub.simulator.launch import SimulatorProcess, launch
from tests.connect_proxy import ConnectProxy
from tests.tls import TlsProxy, make_certificates

PROXY_NAMES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    make_certificates(folder)
    return folder


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorProcess]:
    with launch(["--products", "5"]) as process:
        yield process


@pytest.fixture
def endpoint(
    simulator: SimulatorProcess, certificates: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., TlsProxy]]:
    """Put TLS in front of the simulator, with a certificate by its name; our CA is trusted."""
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates / "ca.pem"))
    for name in PROXY_NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    with contextlib.ExitStack() as stack:

        def put(certificate: str | None, newest: ssl.TLSVersion | None = None) -> TlsProxy:
            proxy = TlsProxy(("127.0.0.1", int(simulator.ws_url.rsplit(":", 1)[1])), None)
            proxy.present(certificates / f"{certificate}.pem" if certificate else None, newest)
            stack.callback(proxy.close)
            return proxy

        yield put


def connect(url: str, seconds: float = 5.0) -> Transport:
    transport = Transport()
    assert transport.open(url, 1 << 20, seconds, tls.context(), lambda: True)
    return transport


def trouble(url: str, seconds: float = 5.0) -> TransportError:
    with pytest.raises(TransportError) as caught:
        connect(url, seconds)
    return caught.value


def rest_trouble(url: str) -> str:
    client = RestClient(url)
    with pytest.raises(RestError) as caught:
        client.get_json("/products")
    client.close()
    return str(caught.value)


# -- certificates --------------------------------------------------------------------------------------


def test_a_certificate_that_holds(endpoint: Callable[..., TlsProxy]) -> None:
    port = endpoint("good").port
    transport = connect(f"wss://localhost:{port}")
    assert transport.dial is not None
    assert list(transport.dial.steps) == ["name", "tcp", "tls", "handshake"]
    transport.close()
    client = RestClient(f"https://localhost:{port}")
    assert len(client.get_json("/products")) >= 5
    client.close()


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")  # that they are old is what is tried
@pytest.mark.parametrize(
    ("certificate", "newest", "said", "advice"),
    [
        ("expired", None, "certificate has expired", "check the clock of this machine"),
        ("wrong", None, "Hostname mismatch", "check the host in the URL"),
        ("alone", None, "self-signed certificate", "name its certificate in SSL_CERT_FILE"),
        ("good", ssl.TLSVersion.TLSv1_1, "", "nothing newer than TLS 1.1"),
    ],
)
def test_one_that_does_not_hold_fails_closed_and_says_what_to_do(
    endpoint: Callable[..., TlsProxy], certificate: str, newest: ssl.TLSVersion | None, said: str, advice: str
) -> None:
    port = endpoint(certificate, newest).port
    error = trouble(f"wss://localhost:{port}")
    assert error.cause == "tls"
    for text in (str(error), rest_trouble(f"https://localhost:{port}")):
        assert said in text
        assert advice in text
        assert "_ssl.c" not in text.partition("(")[0]


def test_nobody_is_trusted_whom_the_variable_does_not_name(
    endpoint: Callable[..., TlsProxy], certificates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One variable for both sides; the one of ``requests`` alone changes neither."""
    port = endpoint("good").port
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificates / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates / "alone.pem"))
    assert "does SSL_CERT_FILE name the right file?" in str(trouble(f"wss://localhost:{port}"))
    assert "does SSL_CERT_FILE name the right file?" in rest_trouble(f"https://localhost:{port}")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates / "ca.pem"))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificates / "alone.pem"))
    client = RestClient(f"https://localhost:{port}")
    client.get_json("/products")
    client.close()


def test_what_speaks_no_tls(simulator: SimulatorProcess) -> None:
    error = trouble(simulator.ws_url.replace("ws:", "wss:"))
    assert error.cause == "tls"
    assert "check port and scheme" in str(error)


def test_a_handshake_that_stalls_ends_in_time(endpoint: Callable[..., TlsProxy]) -> None:
    begun = time.monotonic()
    error = trouble(f"wss://localhost:{endpoint(None).port}", 0.5)
    assert error.cause == "connect_timeout"
    assert "to tls" in str(error)
    assert time.monotonic() - begun < 2.0


# -- proxies -------------------------------------------------------------------------------------------


@pytest.fixture
def proxy() -> Iterator[ConnectProxy]:
    made = ConnectProxy({"exchange.test": "127.0.0.1"})
    yield made
    made.close()


def test_both_sides_go_through_the_proxy_which_finds_the_host(
    endpoint: Callable[..., TlsProxy], proxy: ConnectProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = endpoint("good")
    monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("//", "//us%40er:canary@"))
    transport = connect(f"wss://exchange.test:{there.port}")
    assert transport.dial is not None
    assert list(transport.dial.steps) == ["name", "tcp", "proxy", "tls", "handshake"]
    assert "canary" not in repr(transport.dial.proxy)
    transport.send(b'{"type":"subscribe","product_ids":["BTC-USD"],"channels":["ticker"]}')
    assert b'"ticker"' in transport.receive()
    transport.close()
    wanted = base64.b64encode(b"us@er:canary").decode()
    assert proxy.headers["Proxy-Authorization"] == f"Basic {wanted}"
    client = RestClient(f"https://exchange.test:{there.port}")
    assert len(client.get_json("/products")) >= 5
    client.close()
    assert proxy.headers["Proxy-Authorization"] == f"Basic {wanted}"
    assert proxy.asked == [f"exchange.test:{there.port}"] * 2
    assert proxy.tunnels == len(there.accepted) == 2


def test_a_websocket_without_tls_takes_a_tunnel_too(
    simulator: SimulatorProcess, proxy: ConnectProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy.url.removeprefix("http://"))  # as some write it
    connect(simulator.ws_url.replace("127.0.0.1", "exchange.test")).close()
    assert proxy.tunnels == 1


@pytest.mark.parametrize(
    ("answer", "cause", "said"),
    [
        (407, "proxy_407", "it wants user and password in its URL"),
        (403, "proxy_403", "it does not let us out to there"),
        (502, "proxy_502", "it answered 502"),
        (0, "connect_timeout", "no answer in time to proxy"),
    ],
)
def test_a_proxy_that_refuses_or_stalls(
    proxy: ConnectProxy, monkeypatch: pytest.MonkeyPatch, answer: int, cause: str, said: str
) -> None:
    proxy.answer = answer
    monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("//", "//user:canary@"))
    begun = time.monotonic()
    error = trouble("wss://exchange.test", 0.5)
    assert time.monotonic() - begun < 2.0
    assert error.cause == cause
    assert said in str(error)
    assert "canary" not in str(error)
    if answer:
        text = rest_trouble("https://exchange.test")
        assert str(answer) in text
        assert "canary" not in text


def test_a_proxy_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    error = trouble("wss://exchange.test")
    assert (error.cause, error.detail[:21]) == ("refused", "proxy 127.0.0.1:1: [E")


@pytest.mark.parametrize("url", ["https://user:canary@proxy.test:3128", "socks5://proxy.test", "http://:3128",
                                 "http://proxy.test:canary"])  # fmt: skip
def test_a_proxy_that_is_not_spoken_fails_closed(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("HTTPS_PROXY", url)
    error = trouble("wss://localhost.test")
    assert error.cause == "proxy"
    for text in (str(error), rest_trouble("https://localhost.test")):
        assert "has to be http://" in text
        assert "canary" not in text


def test_which_hosts_are_reached_directly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.test:3128")
    for url in ("wss://127.0.0.1:1", "https://localhost", "wss://[::1]:1", "ws://exchange.test", "http://exchange.test"):
        assert find(url) is None, url
    for url in ("wss://exchange.test", "https://exchange.test", "wss://10.1.2.3"):
        assert find(url) is not None, url
    monkeypatch.setenv("NO_PROXY", "exchange.test, .inside, 10.0.0.0/8")
    for url in ("wss://exchange.test", "https://ws.exchange.test:8443", "wss://feed.inside", "wss://10.1.2.3"):
        assert find(url) is None, url
    assert find("wss://other.test") is not None


# -- names and addresses -------------------------------------------------------------------------------


def answers(monkeypatch: pytest.MonkeyPatch, *addresses: tuple[str, int]) -> None:
    """Let every name have these addresses."""
    families = {True: socket.AF_INET6, False: socket.AF_INET}
    found = [(families[":" in host], socket.SOCK_STREAM, 6, "", (host, port)) for host, port in addresses]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)


def deaf() -> contextlib.AbstractContextManager[int]:
    """Give a port of 127.0.0.2 that lets connects wait: its queue is full."""

    @contextlib.contextmanager
    def held() -> Iterator[int]:
        with contextlib.ExitStack() as stack:
            listener = stack.enter_context(socket.create_server(("127.0.0.2", 0), backlog=0))
            for _ in range(3):
                sock = stack.enter_context(socket.socket())
                sock.setblocking(False)
                sock.connect_ex(listener.getsockname())
            yield listener.getsockname()[1]

    return held()


def test_a_dead_address_leaves_time_for_the_next(simulator: SimulatorProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    port = int(simulator.ws_url.rsplit(":", 1)[1])
    with deaf() as dead:
        answers(monkeypatch, ("127.0.0.2", dead), ("127.0.0.1", port))
        begun = time.monotonic()
        connect("ws://exchange.test", 2.0).close()
        assert 0.9 < time.monotonic() - begun < 2.0
        answers(monkeypatch, ("127.0.0.2", dead))
        error = trouble("ws://exchange.test", 0.5)
        assert (error.cause, error.detail) == ("connect_timeout", "exchange.test:80: no answer in time to tcp")


def test_a_machine_without_ipv6_gets_to_ipv4(simulator: SimulatorProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    port = int(simulator.ws_url.rsplit(":", 1)[1])
    answers(monkeypatch, ("100::1", port), ("100::2", port), ("127.0.0.1", port))
    asked = []
    transport = Transport()
    assert transport.open("ws://exchange.test", 1 << 20, 5.0, None, lambda: asked.append(1) or True)
    transport.close()
    assert len(asked) == 2, "one permission an address"


def test_a_name_that_nobody_knows() -> None:
    dial = Dial("wss://nobody.invalid")
    with pytest.raises(socket.gaierror) as caught:
        dial.look_up()
    error = dial.explain(caught.value)
    assert error.cause == "dns"
    assert error.detail.startswith("nobody.invalid:443: ")


def test_nothing_of_a_failed_attempt_is_left(proxy: ConnectProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    proxy.answer = 502
    transport = Transport()
    with pytest.raises(TransportError):
        transport.open("wss://exchange.test", 1 << 20, 1.0, tls.context(), lambda: True)
    assert transport.dial is not None
    assert transport.dial.raw is None
    transport.shut()  # the watchdog, who comes late
    transport.close()


def test_whoever_shuts_it_wakes_one_who_waits_for_the_proxy(
    proxy: ConnectProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy.url)
    proxy.answer = 0
    transport = Transport()

    def shut() -> None:
        while not proxy.asked:
            time.sleep(0.01)
        transport.shut()

    threading.Thread(target=shut, daemon=True).start()
    begun = time.monotonic()
    with pytest.raises(TransportError):
        transport.open("wss://exchange.test", 1 << 20, 10.0, tls.context(), lambda: True)
    assert time.monotonic() - begun < 3.0


def test_the_page_of_a_refusal_may_be_long() -> None:
    """Those of a content network are, and the status and its wish count."""
    page = b"x" * 100_000
    head = b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: %d\r\n\r\n" % len(page)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse() -> None:
            client, _ = listener.accept()
            with client:
                client.recv(4_096)
                client.sendall(head + page)

        threading.Thread(target=refuse, daemon=True).start()
        error = trouble(f"ws://127.0.0.1:{listener.getsockname()[1]}")
    assert (error.cause, error.retry_after_seconds) == ("http_503", 7.0)

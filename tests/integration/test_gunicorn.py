"""The hub under gunicorn, run from a folder that holds nothing but what the image holds."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
import socketio
import websocket

from benchmarks.common import CORES, Process, module
from hub import green
from hub.simulator.launch import launch
from tests.conftest import eventually
from tests.gunicorn_process import Gunicorn

STOP_SECONDS = 8.0


@pytest.fixture(scope="module")
def simulator() -> Iterator[object]:
    with launch(["--products", "30", "--rate", "150"]) as simulator:
        yield simulator


@pytest.fixture
def gunicorn(simulator, tmp_path: Path) -> Iterator[Gunicorn]:  # type: ignore[no-untyped-def]
    server = Gunicorn(simulator, tmp_path, WEB_CONCURRENCY="4")  # as some hosts set it: must not matter
    yield server
    server.kill()


def connect(url: str, transports: list[str] | None = None) -> tuple[socketio.Client, list[dict]]:
    client = socketio.Client(reconnection_delay=0.2, reconnection_delay_max=1)
    tickers: list[dict] = []
    client.on("ticker_update", tickers.append)
    client.connect(url, transports=transports)
    return client, tickers


def test_serves_rest_and_every_transport(gunicorn: Gunicorn) -> None:
    gunicorn.start_and_wait()

    def health() -> dict:
        return requests.get(gunicorn.url + "/api/health", timeout=5).json()

    eventually(lambda: health()["connected_connections"] == 2, 10)
    assert health()["total_products"] == 30
    assert health()["total_connections"] == 2, "one worker, so one set of connections"
    for transports, expected in ((None, "websocket"), (["websocket"], "websocket"), (["polling"], "polling")):
        client, tickers = connect(gunicorn.url, transports)
        try:
            eventually(lambda tickers=tickers: len({t["crypto"] for t in tickers}) >= 10, 15)
            eventually(lambda client=client, expected=expected: client.transport() == expected, 5)
            assert all(isinstance(ticker["price"], (int, float)) for ticker in tickers)
        finally:
            client.disconnect()


def test_no_header_moves_a_path_or_a_scheme(gunicorn: Gunicorn) -> None:
    gunicorn.env["FORWARDED_ALLOW_IPS"] = "*"  # gunicorn's own variable, as some hosts set it
    gunicorn.start_and_wait()
    for headers in (
        {"SCRIPT_NAME": "/health"}, {"SCRIPT_NAME": "/elsewhere"}, {"PATH_INFO": "/config"}, {"REMOTE_USER": "root"},
        {"X-Forwarded-Proto": "https", "X-Forwarded-Ssl": "off"}, {"X-Forwarded-Protocol": "ssl"},
    ):  # fmt: skip
        answer = requests.get(gunicorn.url + "/health", headers=headers, timeout=5)
        assert answer.status_code == 200, headers
        assert answer.json()["total_products"] == 30, headers
    moved = requests.get(gunicorn.url + "/x/health", headers={"SCRIPT_NAME": "/x"}, timeout=5)
    assert moved.status_code == 404
    proxied = b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", gunicorn.port), timeout=5) as raw:
        raw.sendall(proxied)
        assert raw.recv(4096).startswith(b"HTTP/1.1 400 ")
    assert "Traceback" not in gunicorn.log.read_text()


def test_a_silent_crowd_does_not_starve_health(gunicorn: Gunicorn) -> None:
    green.raise_descriptor_limit()  # of this process, for its end of the crowd
    gunicorn.start_and_wait()
    crowd = []
    try:
        for _ in range(1_200):  # more than eventlet's and gunicorn's own limits
            crowd.append(socket.create_connection(("127.0.0.1", gunicorn.port), timeout=5))
            crowd[-1].sendall(b"GET /health HTTP/1.1\r\n")  # and the rest never comes
        started = time.monotonic()
        assert requests.get(gunicorn.url + "/health", timeout=5).status_code == 200
        assert time.monotonic() - started < 2
    finally:
        for one in crowd:
            one.close()


@pytest.mark.parametrize(
    ("arguments", "reason"), [(("-w", "2"), "runs in one process"), (("--preload",), "preload_app")]
)
def test_what_would_make_two_hubs_is_refused(gunicorn: Gunicorn, arguments: tuple[str, ...], reason: str) -> None:
    process = gunicorn.start(*arguments)
    assert process.wait(timeout=20) == 2
    log = gunicorn.log.read_text()
    assert len([line for line in log.splitlines() if reason in line]) == 1, log
    assert "Booting worker" not in log


def test_wrong_settings_stop_it_before_it_listens(gunicorn: Gunicorn) -> None:
    gunicorn.env.update(TOP_USD_PAIRS="many", WINDOW_MINUTES="never")
    process = gunicorn.start()
    assert process.wait(timeout=20) == 2
    log = gunicorn.log.read_text()
    assert "TOP_USD_PAIRS" in log
    assert "WINDOW_MINUTES" in log
    assert "Listening" not in log


def test_asked_for_a_second_worker_it_stays_with_one(gunicorn: Gunicorn) -> None:
    gunicorn.start_and_wait()
    assert gunicorn.process is not None
    gunicorn.process.send_signal(signal.SIGTTIN)
    eventually(lambda: "stays at 1 worker" in gunicorn.log.read_text(), 5)
    time.sleep(0.5)
    assert gunicorn.log.read_text().count("Booting worker") == 1


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("transports", [None, ["polling"]], ids=["websocket", "polling"])
def test_it_ends_in_time_and_its_clients_come_back(
    gunicorn: Gunicorn, stop: signal.Signals, transports: list[str] | None
) -> None:
    gunicorn.env["DRAIN_SECONDS"] = "1"
    gunicorn.start_and_wait()
    client, tickers = connect(gunicorn.url, transports)
    try:
        eventually(lambda: tickers, 15)
        idle = requests.Session()  # a keep-alive connection that nobody uses must not delay the end
        idle.get(gunicorn.url + "/health", timeout=5)
        assert gunicorn.process is not None
        started = time.monotonic()
        gunicorn.process.send_signal(stop)
        assert gunicorn.process.wait(timeout=STOP_SECONDS + 2) == 0, gunicorn.log.read_text()
        assert time.monotonic() - started < STOP_SECONDS
        assert "Traceback" not in gunicorn.log.read_text()
        eventually(lambda: not client.connected, 5)
        tickers.clear()
        gunicorn.start_and_wait()
        eventually(lambda: tickers, 15)
    finally:
        client.shutdown()


def test_a_websocket_is_closed_as_by_a_restart(gunicorn: Gunicorn) -> None:
    gunicorn.env["DRAIN_SECONDS"] = "1"
    gunicorn.start_and_wait()
    url = gunicorn.url.replace("http", "ws", 1) + "/socket.io/?EIO=4&transport=websocket"
    client = websocket.create_connection(url, timeout=5)
    client.send("40")
    assert gunicorn.process is not None
    gunicorn.process.send_signal(signal.SIGTERM)
    frames: list[tuple[int, bytes]] = []
    eventually(lambda: frames.append(client.recv_data(control_frame=True)) or frames[-1][0] == 8, 5, 0.0)
    assert int.from_bytes(frames[-1][1][:2]) == 1012, "service restart"
    assert not any(data[:1] in (b"1",) or data[:2] == b"41" for _, data in frames), "either makes clients stop for good"
    client.close()
    assert gunicorn.process.wait(timeout=STOP_SECONDS) == 0


POST, NO_WEBSOCKET = b"POST /alert HTTP/1.1\r\n", b"GET /health HTTP/1.1\r\nUpgrade: websocket\r\n"


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        *((POST, piece) for piece in (b"400\r\n" + b"x" * 1024 + b"\r\n", b"1\r\nx\r\n", b"f" * 1024, b"zz\r\n")),
        (NO_WEBSOCKET, b"400\r\n" + b"x" * 1024 + b"\r\n"),
    ],
)
def test_a_body_without_an_end_stops_nobody(gunicorn: Gunicorn, head: bytes, piece: bytes) -> None:
    gunicorn.start_and_wait()
    sent, slowest = 0, 0.0
    with socket.create_connection(("127.0.0.1", gunicorn.port), timeout=5) as sock:
        sock.sendall(head + b"Host: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        with contextlib.suppress(OSError):
            while sent < 50_000_000:
                sock.sendall(piece * (60_000 // len(piece)))
                sent += 60_000
                slowest = max(slowest, requests.get(gunicorn.url + "/health", timeout=5).elapsed.total_seconds())
    assert sent < 50_000_000
    assert slowest < 2
    with socket.create_connection(("127.0.0.1", gunicorn.port), timeout=5) as sock:
        sock.sendall(b"NONSENSE\r\n\r\n")
        answer = b"".join(iter(lambda: sock.recv(4_096), b""))
    assert answer.endswith(b'{"error":"Bad Request"}')
    assert requests.get(gunicorn.url + "/health", timeout=5).headers["Server"] == "hub"
    assert "Traceback" not in gunicorn.log.read_text()


def test_a_worker_whose_loop_hangs_is_replaced(gunicorn: Gunicorn) -> None:
    gunicorn.env["LOOP_STALL_EXIT_SECONDS"] = "3"
    (gunicorn.folder / "stuck.py").write_text(
        "from wsgi import app, service\nimport signal\nfrom hub import green\n"
        "signal.signal(signal.SIGUSR2, lambda *_: green.native('time').sleep(60))\n"
    )
    gunicorn.start_and_wait("stuck:app")
    assert gunicorn.process is not None
    (worker,) = gunicorn.workers()
    os.kill(worker, signal.SIGUSR2)
    live = lambda: requests.get(gunicorn.url + "/health/live", timeout=1).status_code == 200  # noqa: E731
    eventually(lambda: gunicorn.workers() not in ([worker], []), 10)
    eventually(lambda: quietly(live), 20)
    log = gunicorn.log.read_text()
    assert "does not come back, the process ends" in log
    assert "stuck.py" in log
    assert "WORKER TIMEOUT" not in log, "gunicorn's own bound is later"
    gunicorn.process.send_signal(signal.SIGTERM)
    assert gunicorn.process.wait(timeout=STOP_SECONDS) == 0


def test_a_hurried_stop_is_quick(gunicorn: Gunicorn) -> None:
    gunicorn.env["DRAIN_SECONDS"] = "20"
    gunicorn.start_and_wait()
    client, _ = connect(gunicorn.url)
    assert gunicorn.process is not None
    begun = time.monotonic()
    gunicorn.process.send_signal(signal.SIGTERM)
    eventually(lambda: requests.get(gunicorn.url + "/health/ready", timeout=2).json()["status"] == "draining", 3)
    gunicorn.process.send_signal(signal.SIGTERM)  # which a service manager may send twice
    time.sleep(1.0)
    assert requests.get(gunicorn.url + "/health/live", timeout=2).status_code == 200
    gunicorn.process.send_signal(signal.SIGINT)
    assert gunicorn.process.wait(timeout=5) == 0
    assert time.monotonic() - begun < 6
    assert "Traceback" not in gunicorn.log.read_text()
    client.shutdown()


def test_a_crowd_misses_nothing_and_is_sent_away(gunicorn: Gunicorn) -> None:
    gunicorn.env["DRAIN_SECONDS"] = "1"
    gunicorn.start_and_wait()
    assert gunicorn.process is not None
    with Process(module("benchmarks.clients", gunicorn.port, 100, "sample"), CORES[-1]) as crowd:
        crowd.answer()
        begun = time.monotonic()
        seen = crowd.ask("expect 1000")
        assert seen["out_of_order"] == 0
        assert time.monotonic() - begun < 10
        assert requests.get(gunicorn.url + "/health", timeout=5).json()["clients"] == 100
        crowd.tell("ends")
        started = time.monotonic()
        gunicorn.process.send_signal(signal.SIGTERM)
        ended = crowd.answer()
        assert gunicorn.process.wait(timeout=STOP_SECONDS) == 0
        assert time.monotonic() - started < STOP_SECONDS
    assert ended["told"] == ended["restarts"] == 100


def quietly(ask: Callable[[], bool]) -> bool:
    try:
        return ask()
    except requests.RequestException:
        return False

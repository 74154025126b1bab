"""The log of a real hub: nothing that reads it badly stops the feed, and nobody can forge a line of it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests

from tests.conftest import ROOT, HubProcess, eventually, full_pipe
from tests.integration.test_socketio import Listener

START = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (DEBUG|INFO|WARNING|ERROR) [a-z_.]+ ")


@pytest.fixture
def blocked() -> Iterator[int]:
    with full_pipe() as write:
        yield write


def make_it_log(url: str) -> None:
    """Do what leaves lines at DEBUG, and some at WARNING."""
    for body in ("x", "4{", '42["spike_alert",1]') * 3:
        poll = url + "/socket.io/?EIO=4&transport=polling"
        sid = json.loads(requests.get(poll, timeout=5).text[1:])["sid"]
        for data in ("40", body):
            requests.post(f"{poll}&sid={sid}", data=data, timeout=5)


@pytest.mark.parametrize("line_format", ["text", "json"])
def test_a_pipe_that_nobody_reads_stops_nothing(
    hub_factory: Callable[..., HubProcess], blocked: int, line_format: str
) -> None:
    hub = hub_factory(["--products", "20"], stderr=blocked, LOG_LEVEL="DEBUG", LOG_FORMAT=line_format)
    hub.wait_until_covered()
    make_it_log(hub.url)
    listener = Listener(hub.url, ["websocket"])
    ticks = listener.events["ticker_update"]
    eventually(lambda: len(ticks) > 200)
    for _ in range(10):
        assert hub.get("/health").elapsed.total_seconds() < 0.5
    count = len(ticks)
    eventually(lambda: len(ticks) > count + 200)
    assert listener.connects == 1
    listener.close()
    begun = time.monotonic()
    assert hub.terminate() == 0
    assert time.monotonic() - begun < 8


def test_a_full_disk_is_counted_and_stops_nothing(hub_factory: Callable[..., HubProcess]) -> None:
    with open("/dev/full", "wb") as full:
        hub = hub_factory(["--products", "20"], stderr=full.fileno(), LOG_LEVEL="DEBUG")
    hub.wait_until_covered()
    counters = hub.health()["counters"]
    assert counters["log_write_failures"] > 0
    assert counters["log_lines_dropped"] >= counters["log_write_failures"]
    received = hub.health()["total_messages_received"]
    eventually(lambda: hub.health()["total_messages_received"] > received + 100)
    assert hub.terminate() == 0


def test_under_gunicorn_neither_master_nor_worker_waits_for_its_output(tmp_path: Path, blocked: int) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = {"PATH": os.environ["PATH"], "PORT": str(port), "STATE_DIR": str(tmp_path), "SIMULATE": "1",
           "SIMULATE_PRODUCTS": "20", "LOG_LEVEL": "DEBUG"}  # fmt: skip
    command = [sys.executable, "-m", "gunicorn", "-c", "docker/gunicorn.conf.py", "wsgi:app"]
    process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=blocked, stderr=blocked, start_new_session=True)
    try:
        url = f"http://127.0.0.1:{port}"

        def covered() -> bool:
            with contextlib.suppress(requests.RequestException):
                return requests.get(url + "/health", timeout=2).json()["coverage_percentage"] == 100
            return False

        eventually(covered, 30)
        make_it_log(url)
        assert covered()
        process.send_signal(signal.SIGTERM)
        assert process.wait(8) == 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


FORGED = "2026-11-20 01:02:03,456 INFO hub forged"
EVIL = f"x\r\n{FORGED}\n\x1b[31m\u2028\u0085{FORGED}\x00\x7f"


@pytest.mark.parametrize("line_format", ["text", "json"])
def test_no_line_can_be_forged(hub_factory: Callable[..., HubProcess], line_format: str) -> None:
    token = "a-token-for-the-actions"
    hub = hub_factory(
        ["--products", "20"], LOG_LEVEL="DEBUG", LOG_FORMAT=line_format, ADMIN_TOKEN=token, TRUSTED_PROXIES="127.0.0.1",
        MAX_CLIENTS_PER_IP="1",
    )  # fmt: skip
    hub.wait_until_covered()
    quoted = requests.utils.quote(EVIL)
    admin = {"Authorization": f"Bearer {token}"}
    latin = "\x1b[31m\x85 " + FORGED  # what a header may hold
    for method, path, headers in (
        ("GET", f"/{quoted}", {}), ("GET", f"/price/{quoted}?limit={quoted}", {}), ("GET", f"/static/{quoted}", {}),
        ("POST", f"/price/{quoted}/move", admin), ("POST", f"/connections/{quoted}/rotate", admin),
        ("POST", "/price/X-Y/move", {"Authorization": f"Bearer {latin}", "X-Forwarded-For": latin}),
        ("GET", "/health", {"Origin": latin, "User-Agent": latin}),
    ):  # fmt: skip
        raw(hub, method, path, headers)
    for _ in range(3):
        raw(hub, "GET", f"/socket.io/?EIO=4&transport=polling&x={quoted}", {"X-Forwarded-For": latin})
    polling = hub.url + "/socket.io/?EIO=4&transport=polling"
    for packet in (f"4{EVIL}", f"42[{json.dumps(EVIL)},1]", f'42["subscribe",{json.dumps([EVIL])}]', EVIL):
        session = requests.Session()
        session.headers["X-Forwarded-For"] = f"198.51.100.{len(packet) % 250}"
        sid = json.loads(session.get(polling, timeout=5).text[1:])["sid"]
        for data in ("40", packet):
            session.post(f"{polling}&sid={sid}", data=data.encode(), timeout=5)
    assert hub.terminate() == 0
    eventually(lambda: "stopped in" in hub.log())
    log = hub.log()
    assert "forged" in log, "it is told"
    lines = [line for line in log.splitlines() if not line.startswith("Price Hub serves")]
    for line in lines:
        assert line.isprintable()
        assert not line.startswith(FORGED)
        if line_format == "json":
            body = json.loads(line)
            assert {"time", "level", "logger", "message"} <= set(body)
        else:
            assert START.match(line), line
    if line_format == "json":
        refused = [json.loads(line) for line in lines if "too_many_clients_of_ip" in line]
        assert refused[0]["reason"] == "too_many_clients_of_ip"
        assert refused[0]["address"] == "127.0.0.1", "what is no address is the peer"
        assert any("forged" in json.loads(line).get("origin", "") for line in lines)
        assert any(json.loads(line).get("connection") == "conn_000" for line in lines)


def raw(hub: HubProcess, method: str, path: str, headers: dict[str, str]) -> None:
    """Send a request with headers that no client would send."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in {"Connection": "close", **headers}.items())
    with socket.create_connection(("127.0.0.1", hub.port), timeout=5) as sock:
        sock.sendall(f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{lines}\r\n".encode("latin-1"))
        while sock.recv(65_536):
            pass

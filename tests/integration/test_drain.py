"""How the hub stops: readiness, what clients are told, who comes back, and what must not keep it from ending."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.conftest import ROOT, eventually
from tests.returners import Returners, Site, came_back, most_within_a_second, stop
from tests.soak.crowds import connect

PYTHON, JAVASCRIPT = (10, 10, 5), 15
BOUND_SECONDS = 8.0
TROUBLED = ("-m", "tests.drills.hub_program")
UPLOAD = "POST /alert HTTP/1.1\r\nHost: hub\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path)
    yield site
    site.close()


def test_all_are_told_and_come_back_to_the_next_process_by_themselves(site: Site) -> None:
    hub = site.start()
    crowd = Returners(hub.url, PYTHON, JAVASCRIPT)
    try:
        seen = stop(hub.process, hub.url)
        ended_at = time.time()
        assert seen.status == 0, hub.log()
        assert seen.took_seconds < BOUND_SECONDS
        assert seen.unready_after_seconds <= 0.5
        assert seen.was_answered == [200] * len(seen.was_answered), "REST goes on"
        assert len(seen.was_answered) > 10
        assert seen.refused_new_client == 503
        for client in crowd.all:
            assert client.told == [{"reconnect": True, "within_ms": 3000}]
        lost = crowd.lost()
        assert lost[-1] - lost[0] > 2.0, "they are sent away one by one"
        assert most_within_a_second(lost) <= 25
        back = came_back(crowd, ended_at, site.start)
        assert most_within_a_second(back) <= 30
        assert "Traceback" not in hub.log()
        assert "not told" not in hub.log()
    finally:
        crowd.close()


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_makes_it_quicker(site: Site, second: signal.Signals) -> None:
    hub = site.start(DRAIN_SECONDS="20")
    crowd = Returners(hub.url, (2, 2, 1), 0)
    try:
        begun = time.monotonic()
        hub.process.send_signal(signal.SIGTERM)
        eventually(lambda: hub.get("/health/ready").json()["status"] == "draining", 2)
        hub.process.send_signal(second)
        assert hub.process.wait(5) == 0
        assert time.monotonic() - begun < 3
        for client in crowd.all:
            eventually(lambda client=client: client.told == [{"reconnect": True, "within_ms": 20_000}], 2)
        assert "Traceback" not in hub.log()
    finally:
        crowd.close()


def test_it_ends_in_time_whatever_hangs(site: Site) -> None:
    """Clients that do not read, a poll and an upload that stand still, a webhook and a disk that never answer."""
    receiver = socket.create_server(("127.0.0.1", 0))
    hook = f"http://127.0.0.1:{receiver.getsockname()[1]}/"
    token = "0123456789abcdef"
    settings = {
        "WEBHOOK_URL": hook, "WEBHOOK_ALLOWED_HOSTS": "127.0.0.1", "ADMIN_TOKEN": token, "TRUSTED_PROXIES": "127.0.0.1"
    }  # fmt: skip
    hub = site.start(program=(*TROUBLED, "store_hangs"), **settings)
    reader = Returners(hub.url, (1, 1, 0), 0)
    mutes = [connect(hub.port) for _ in range(5)]
    for mute in mutes:
        mute.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    poll = f"{hub.url}/socket.io/?EIO=4&transport=polling"
    requests.get(poll, timeout=5)  # a session of which nobody ever hears again
    upload = socket.create_connection(("127.0.0.1", hub.port))
    upload.sendall(f"{UPLOAD}{{".encode())
    headers = {"Authorization": f"Bearer {token}"}
    requests.post(f"{hub.url}/alerts/test", headers=headers, timeout=5).raise_for_status()
    receiver.settimeout(5)
    asked, _ = receiver.accept()
    hub.process.send_signal(signal.SIGUSR1)  # from now on
    eventually(lambda: "the disk hangs" in hub.log(), 5)
    try:
        for number in range(20):  # more than the kernel takes for who does not read, by as many as may send so much
            sender = {"X-Forwarded-For": f"198.51.100.{number}"}
            alert = {"text": "x" * 16_000}
            requests.post(f"{hub.url}/alert", json=alert, headers=sender, timeout=5).raise_for_status()
        begun = time.monotonic()
        assert hub.terminate(BOUND_SECONDS) == 0
        assert time.monotonic() - begun < BOUND_SECONDS
        assert all(client.told for client in reader.all)
        assert "was not told of the stop" in hub.log()
        assert "Traceback" not in hub.log()
    finally:
        reader.close()
        for sock in (*mutes, upload, asked, receiver):
            sock.close()


def test_a_request_under_way_is_answered(site: Site) -> None:
    hub = site.start(DRAIN_SECONDS="0")
    upload = socket.create_connection(("127.0.0.1", hub.port), timeout=5)
    upload.sendall(UPLOAD.encode())
    eventually(lambda: hub.get("/health/live").status_code == 200)
    hub.process.send_signal(signal.SIGTERM)
    eventually(lambda: not listens(hub.port), 3)
    upload.sendall(b"{" + b" " * 97 + b"}")
    assert upload.recv(100).startswith(b"HTTP/1.1 200")
    assert hub.process.wait(5) == 0


def listens(port: int) -> bool:
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def test_a_port_is_never_shared(site: Site, tmp_path: Path) -> None:
    site.start()
    command = [sys.executable, str(ROOT / "app.py"), "--simulate", "--port", str(site.port)]
    second = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False)
    assert second.returncode == 1
    assert "Can't listen" in second.stderr

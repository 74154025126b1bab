"""The hub as a process: settings, the demo's simulator, signals, what is left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import ROOT, HubProcess, eventually


def run(*arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {"PATH": os.environ["PATH"], **environment}
    command = [sys.executable, str(ROOT / "app.py"), *arguments]
    return subprocess.run(command, cwd=cwd, env=clean, capture_output=True, text=True, timeout=30, check=False)


def test_wrong_settings_are_all_named_and_nothing_starts(tmp_path: Path) -> None:
    environment = {"WINDOW_MINUTES": "soon", "WS_URL": "wss://advanced-trade-ws.coinbase.com", "FEED": "both"}
    result = run("--port", "x", cwd=tmp_path, **environment)
    assert result.returncode == 2
    assert result.stdout == ""
    for name in ("PORT", "WINDOW_MINUTES", "FEED"):
        assert name in result.stderr
    assert "Traceback" not in result.stderr


def test_a_taken_port_is_one_clear_line(hub: HubProcess, tmp_path: Path) -> None:
    result = run("--simulate", "--port", str(hub.port), cwd=tmp_path)
    assert result.returncode == 1
    assert f"Can't listen on 127.0.0.1:{hub.port}" in result.stderr
    assert "Traceback" not in result.stderr


def test_check_config_shows_sources_and_hides_secrets(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("TOP_USD_PAIRS=9\nPORT=1\n")
    result = run("--check-config", "--port", "7", cwd=tmp_path, API_TOKENS="canary-of-the-clients", WINDOW_MINUTES="2")
    assert result.returncode == 0
    assert "PORT = 7  (flag)" in result.stdout
    assert "WINDOW_MINUTES = 2.0  (environment)" in result.stdout
    assert "TOP_USD_PAIRS = 9  (.env)" in result.stdout
    assert "PRODUCTS_PER_CONNECTION = 15  (default)" in result.stdout
    assert "canary-of" not in result.stdout + result.stderr


@pytest.fixture
def demo(tmp_path: Path):
    process = HubProcess(None, {"STATE_DIR": str(tmp_path)}, ["--simulate", "--simulate-products", "30"])
    yield process
    process.stop()


def children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]


def alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_hub_and_its_simulator(demo: HubProcess, number: signal.Signals) -> None:
    demo.wait_until_covered()
    assert "SIMULATED prices" in demo.log()
    (simulator,) = children(demo.process.pid)
    begun = time.monotonic()
    demo.process.send_signal(number)
    assert demo.process.wait(10) == 0
    assert time.monotonic() - begun < 8
    eventually(lambda: not alive(simulator), 5)
    assert "Traceback" not in demo.log()


def test_a_killed_hub_takes_its_simulator_along(demo: HubProcess) -> None:
    (simulator,) = children(demo.process.pid)
    demo.process.kill()
    demo.process.wait(5)
    eventually(lambda: not alive(simulator), 5)


def test_nothing_simulated_gets_onto_the_disk(demo: HubProcess, tmp_path: Path) -> None:
    demo.wait_until_covered()
    assert list(tmp_path.iterdir()) == []
    for body in (demo.health(), demo.get("/connections").json(), demo.get("/price/BTC-USD").json()):
        assert body["simulated"] is True
    assert all(payload["simulated"] for payload in demo.get("/tickers").json().values())


def test_descriptors_and_threads_come_back_after_kills(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(simulator=["--products", "60"], BACKOFF_CAP_SECONDS="1")
    hub.wait_until_covered()
    pid = hub.process.pid

    def descriptors() -> int:
        return len(os.listdir(f"/proc/{pid}/fd"))

    before = eventually(lambda: hub.health()["connected_connections"] == 4 and descriptors())
    assert hub.simulator is not None
    for _ in range(5):
        hub.simulator.control("fault", {"kind": "kill", "connections": "all"})
        eventually(lambda: len(hub.simulator.control("connections")["open"]) == 4, 15)
    eventually(lambda: descriptors() <= before, 10)

"""Real parts: the hub and the simulator as subprocesses on loopback, and what waits for them."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import requests

from hub.simulator.launch import SimulatorProcess, launch

ROOT = Path(__file__).resolve().parents[1]
ALONE = {
    "test_benchmarks", "test_board", "test_drain", "test_drills", "test_fanout_clients", "test_gunicorn",
    "test_green", "test_hostile", "test_replay", "test_rotation",
}  # fmt: skip
RECORDINGS = ROOT.parent / "shared" / "recordings"


@pytest.hookimpl(tryfirst=True)  # ahead of xdist, which reads the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep together, where tests run side by side, what shares a hub or a fixture of its file.

    And leave for later what needs both cores for itself: clients by the hundred, a browser, bounds of a second.
    """
    for item in items:
        if item.path.stem in ALONE or item.path.parent.name in ("browser", "hostile"):
            item.add_marker(pytest.mark.alone)
        shared = "hub" in getattr(item, "fixturenames", ())
        item.add_marker(pytest.mark.xdist_group("hub" if shared else item.nodeid.partition("::")[0]))


def eventually(condition: Callable[[], Any], timeout: float = 10.0, interval: float = 0.05) -> Any:
    """Return the condition's first true value; fail with its last one after ``timeout`` seconds."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            pytest.fail(f"not within {timeout:g} s: {condition}, last value {value!r}")
        time.sleep(interval)


def need(program: str, what: str) -> str:
    """Return the program's path; skip the test where it is not installed, but fail in CI, which installs it."""
    path = shutil.which(program)
    if path is None:
        message = f"{what} needs {program}, which is not installed"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return path


@contextlib.contextmanager
def full_pipe() -> Iterator[int]:
    """Give the writing end of a pipe that is full, and that nobody reads."""
    read, write = os.pipe()
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 4_096)
    os.write(write, b"." * 4_096)
    yield write
    os.close(write)
    os.close(read)


@pytest.fixture(scope="session")
def recordings() -> Path:
    """The folder of recorded frames; tests that need it are skipped where it is missing."""
    if not RECORDINGS.is_dir():
        pytest.skip("the folder of recordings (../shared/recordings) is not there")
    return RECORDINGS


class HubProcess:
    """A hub as a subprocess: ``url``, ``simulator`` (None where it has none of the test's), ``log()``, ``stop()``."""

    def __init__(
        self, simulator: SimulatorProcess | None, environment: dict[str, str], arguments: list[str],
        program: Sequence[str] = (str(ROOT / "app.py"),), stderr: int = subprocess.STDOUT,
    ) -> None:  # fmt: skip
        self.simulator = simulator
        clean = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")}
        self.process = subprocess.Popen(
            [sys.executable, "-u", *program, "--port", "0", *arguments],
            env={**clean, **environment},
            cwd=environment["STATE_DIR"],  # no .env of a developer gets in
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        )
        self._lines: deque[str] = deque(maxlen=10_000)
        self._ready = threading.Event()
        self.url = ""
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if not self._ready.wait(30) or not self.url:
            self.stop()
            pytest.fail(f"the hub did not start:\n{self.log()}")

    @property
    def port(self) -> int:
        return int(self.url.rsplit(":", 1)[1])

    def log(self) -> str:
        return "".join(self._lines)

    def get(self, path: str, **options: Any) -> requests.Response:
        return requests.get(self.url + path, timeout=10, **options)

    def health(self) -> dict[str, Any]:
        return self.get("/health").json()

    def wait_until_covered(self, timeout: float = 20.0) -> dict[str, Any]:
        """Wait until every product is active; return /health."""
        return eventually(lambda: (body := self.health())["coverage_percentage"] == 100 and body, timeout)

    def terminate(self, timeout: float = 10.0) -> int:
        """Send SIGTERM; return the exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)  # which is quick, where SIGTERM gives clients their time
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(5)
        self._reader.join(5)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.append(line)
            if found := re.search(r"http://localhost:(\d+)/dashboard", line):
                self.url = f"http://127.0.0.1:{found[1]}"
                self._ready.set()
        self._ready.set()


@contextlib.contextmanager
def running_hub(
    state_dir: Path, simulator_arguments: list[str], arguments: list[str],
    program: Sequence[str] = (str(ROOT / "app.py"),), stderr: int = subprocess.STDOUT, **environment: str,
) -> Iterator[HubProcess]:  # fmt: skip
    """Run a simulator and a hub on it; both are gone afterwards."""
    with launch(simulator_arguments) as simulator:
        settings = {
            "WS_URL": simulator.ws_url, "REST_URL": simulator.rest_url, "WS_DIALECT": "exchange",
            "ADVANCED_TRADE_WS_URL": simulator.advanced_trade_ws_url,
            "ADVANCED_TRADE_REST_URL": simulator.advanced_trade_rest_url, "STATE_DIR": str(state_dir), **environment,
        }  # fmt: skip
        hub = HubProcess(simulator, settings, arguments, program, stderr)
        try:
            yield hub
        finally:
            hub.stop()


@pytest.fixture
def hub_factory(tmp_path: Path) -> Iterator[Callable[..., HubProcess]]:
    """Start hubs on simulators of their own: ``hub_factory(simulator=[…], arguments=[…], **environment)``."""
    with contextlib.ExitStack() as stack:

        def start(
            simulator: list[str] | None = None, arguments: list[str] | None = None,
            stderr: int = subprocess.STDOUT, **environment: str,
        ) -> HubProcess:  # fmt: skip
            state_dir = tmp_path / f"hub{time.monotonic_ns()}"
            state_dir.mkdir(mode=0o700)
            return stack.enter_context(
                running_hub(state_dir, simulator or [], arguments or [], stderr=stderr, **environment)
            )

        yield start


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    """One hub with 326 simulated products on 22 connections, for tests that leave no marks on it."""
    with running_hub(tmp_path_factory.mktemp("hub"), ["--rate", "500"], []) as process:
        process.wait_until_covered()
        slots = lambda: process.get("/connections").json()["connections"]  # noqa: E731
        eventually(lambda: all(slot["last_heartbeat"] for slot in slots()))
        yield process

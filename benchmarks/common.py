"""What the benchmarks share: processes on cores of their own, what they cost, goals, tables, the payloads."""

from __future__ import annotations

import ctypes
import json
import os
import platform
import select
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import requests

ROOT = Path(__file__).resolve().parents[1]
CLOCK_TICK = os.sysconf("SC_CLK_TCK")
CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE, LOAD_CORE = CORES[0], CORES[-1]
STOP_SECONDS = 10.0
SUFFICIENT = 0.95  # of a core: who uses so much of it is the limit
profile_folder: Path | None = None  # where py-spy leaves what the measured processes did; None: not asked for


class Goal(NamedTuple):
    """What a benchmark is to show, what it showed, and whether that is enough."""

    text: str
    value: str
    met: bool

    def row(self) -> str:
        """Return its table row."""
        return f"| {self.text} | {self.value} | {'met' if self.met else '**not met**'} |"


class Result(NamedTuple):
    """A benchmark's chapter of docs/benchmarks.md, and its goals."""

    text: str
    goals: list[Goal]

    def __str__(self) -> str:
        if not self.goals:
            return self.text
        rows = "\n".join(goal.row() for goal in self.goals)
        return f"{self.text}\n| goal | measured | |\n|---|---|---|\n{rows}\n"


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Return a Markdown table."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "".join(f"| {' | '.join(str(cell) for cell in line)} |\n" for line in lines)


def median_of(rounds: Sequence[dict[str, float]]) -> dict[str, float]:
    """Return the median of each figure over the rounds."""
    return {key: statistics.median(one[key] for one in rounds) for key in rounds[0]}


def say(text: str) -> None:
    """Tell whoever waits how far it is."""
    print(f"  {text}", flush=True)


def machine() -> str:
    """Return what the figures were taken on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if "model name" in line), platform.machine())
    pieces = [f"{len(CORES)} cores ({model})", f"{platform.system()} {platform.release().partition('-')[0]}"]
    pieces += [f"Python {platform.python_version()}", f"eventlet {version('eventlet')}"]
    pieces += [f"python-socketio {version('python-socketio')}", f"websocket-client {version('websocket-client')}"]
    if shutil.which("node"):
        asked = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False)
        pieces.append(f"Node {asked.stdout.strip().removeprefix('v')}")
    return ", ".join(pieces)


# -- processes ----------------------------------------------------------------------------------------


def _with_parent() -> None:
    """End with the parent, however it ends (for Linux)."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)


class Process:
    """A child on a core of its own; what it prints are JSON lines. A context manager; ends with its parent too."""

    def __init__(
        self, command: Sequence[str], core: int, environment: dict[str, str] | None = None, nice: int = 0
    ) -> None:
        pinned = ["taskset", "-c", str(core)] if len(CORES) > 1 and shutil.which("taskset") else []
        slowly = ["nice", "-n", str(nice)] if nice else []
        self._popen = subprocess.Popen(
            [*slowly, *pinned, *command], env={**os.environ, **(environment or {})}, cwd=ROOT, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, preexec_fn=_with_parent,  # noqa: PLW1509 - it takes no lock
        )  # fmt: skip
        self._text = b""
        self.pid = self._popen.pid

    def ask(self, line: str, timeout_seconds: float = 60.0) -> Any:
        """Send a line and return the answer."""
        self.tell(line)
        return self.answer(timeout_seconds)

    def tell(self, line: str) -> None:
        """Send a line."""
        assert self._popen.stdin is not None
        self._popen.stdin.write(line.encode() + b"\n")
        self._popen.stdin.flush()

    def answer(self, timeout_seconds: float = 60.0) -> Any:
        """Wait for the next JSON line; raises ``RuntimeError`` if none comes in time."""
        assert self._popen.stdout is not None
        descriptor, give_up_at = self._popen.stdout.fileno(), time.monotonic() + timeout_seconds
        while b"\n" not in self._text:
            if not select.select([descriptor], [], [], max(0.0, give_up_at - time.monotonic()))[0]:
                raise RuntimeError(f"no answer within {timeout_seconds:g} s from {self._popen.args}")
            data = os.read(descriptor, 65_536)
            if not data:
                raise RuntimeError(f"ended early: {self._popen.args}")
            self._text += data
        line, _, self._text = self._text.partition(b"\n")
        return json.loads(line)

    def cpu_seconds(self) -> float:
        """Return the CPU time that it has used, user and system, all threads."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / CLOCK_TICK

    def resident_mb(self) -> float:
        """Return its resident memory in MB (10^6 bytes)."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) * 1024 / 1e6

    def profile(self, name: str, seconds: float) -> None:
        """Have py-spy note what it does for so long, where that was asked for."""
        if profile_folder is not None:
            subprocess.Popen(
                ["py-spy", "record", "-d", str(int(seconds)), "-f", "raw", "-o", str(profile_folder / name), "-p",
                 str(self.pid)],
                env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip

    def __enter__(self) -> Process:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._popen.poll() is None:
            self._popen.terminate()
        try:
            self._popen.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
        for stream in (self._popen.stdin, self._popen.stdout):
            if stream is not None:
                stream.close()


def module(name: str, *arguments: object) -> list[str]:
    """Return the command that runs one of the project's modules."""
    return [sys.executable, "-W", "ignore", "-m", name, *map(str, arguments)]


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def get(url: str, timeout: float = 60.0) -> Any:
    """Return the JSON of a GET; raises ``requests.RequestException``."""
    with requests.Session() as session:
        session.trust_env = False  # a proxy has no business here
        response = session.get(url, timeout=timeout)
        response.raise_for_status()
        return response.json()


def until(condition: Callable[[], Any], what: str, timeout_seconds: float = 60.0) -> Any:
    """Return the condition's first true value; raises ``RuntimeError`` if it does not come in time."""
    give_up_at = time.monotonic() + timeout_seconds
    while time.monotonic() < give_up_at:
        try:
            if value := condition():
                return value
        except requests.RequestException:
            pass
        time.sleep(0.1)
    raise RuntimeError(f"not within {timeout_seconds:g} s: {what}")


def start_exchange(products: int) -> Process:
    """Start ``benchmarks.exchange``; its first answer says where it listens."""
    return Process(module("benchmarks.exchange", products), LOAD_CORE)


def start_hub(ws_url: str, rest_url: str, state: str, port: int, **settings: object) -> Process:
    """Start the hub, as its users run it, on an exchange."""
    environment = {"WS_URL": ws_url, "REST_URL": rest_url, "WS_DIALECT": "exchange", "STATE_DIR": state}
    environment |= {name: str(value) for name, value in settings.items()}
    command = [sys.executable, str(ROOT / "app.py"), "--port", str(port), "--log-level", "WARNING"]
    return Process(command, SERVER_CORE, environment)


def wait_until_full(port: int, products: int, timeout_seconds: float = 90.0) -> None:
    """Wait until a hub has every price."""
    url = f"http://127.0.0.1:{port}/health"
    until(lambda: get(url, 5.0)["price_samples"] >= products, "all prices in the hub", timeout_seconds)

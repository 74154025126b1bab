"""Official clients as they are out there, who come back by themselves; what a stop of the hub looks like to them."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import requests
import socketio

from hub.simulator.launch import launch
from tests.conftest import ROOT, HubProcess, eventually, need

JS = Path(__file__).parent / "integration" / "js"
WAYS = (None, ["websocket"], ["polling"])  # of the Python client; the JavaScript client's are in returners.js


class Returner:
    """What happened to one client, by event: when (seconds of the epoch), and what came with it."""

    def __init__(self) -> None:
        self.at: defaultdict[str, list[float]] = defaultdict(list)
        self.told: list[Any] = []

    def note(self, what: str, at: float, data: Any = None) -> None:
        self.at[what].append(at)
        if what == "hub_stopping":
            self.told.append(data)


class Returners:
    """So many clients of each of ``WAYS`` in Python, and in JavaScript half polling first, half WebSocket alone."""

    def __init__(self, url: str, python: tuple[int, int, int], javascript: int) -> None:
        self.all: list[Returner] = []
        self._clients: list[socketio.Client] = []
        self._node: subprocess.Popen[str] | None = None
        ways = [way for way, count in zip(WAYS, python, strict=True) for _ in range(count)]
        if javascript:
            self._start_javascript(url, javascript)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda way: self._connect(url, way), ways))
        eventually(lambda: all(client.at["tick"] for client in self.all), 60)

    def _connect(self, url: str, way: list[str] | None) -> None:
        client, seen = socketio.Client(), Returner()
        client.on("connect", lambda: seen.note("connect", time.time()))
        client.on("hub_stopping", lambda data: seen.note("hub_stopping", time.time(), data))
        client.on("disconnect", lambda *_: seen.note("disconnect", time.time()))
        client.on("ticker_update", lambda _: seen.at["tick"] or seen.note("tick", time.time()))
        self.all.append(seen)
        self._clients.append(client)
        client.connect(url, transports=way)

    def _start_javascript(self, url: str, count: int) -> None:
        command = [need("node", "the JavaScript clients"), "returners.js", url, str(count)]
        node = self._node = subprocess.Popen(command, cwd=JS, stdout=subprocess.PIPE, text=True)
        clients = [Returner() for _ in range(count)]
        self.all += clients

        def read() -> None:
            assert node.stdout is not None
            for line in node.stdout:
                event = json.loads(line)
                clients[event["id"]].note(event["what"], event["at"], event.get("data"))

        threading.Thread(target=read, daemon=True).start()

    def lost(self) -> list[float]:
        """Wait until all have lost their connection; return when each did, in order."""
        eventually(lambda: all(client.at["disconnect"] for client in self.all))
        return sorted(client.at["disconnect"][0] for client in self.all)

    def close(self) -> None:
        if self._node is not None:
            self._node.kill()
            self._node.wait()
        for client in self._clients:
            client.eio.state = "disconnected"  # no goodbye: there are many of them
            client.shutdown()


class Site:
    """A simulator, and hubs on it one after the other on the same port."""

    def __init__(self, folder: Path) -> None:
        self._stack = contextlib.ExitStack()
        self.simulator = self._stack.enter_context(launch(["--products", "5", "--rate", "20"]))
        self.folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]

    def start(self, *arguments: str, program: tuple[str, ...] | None = None, **settings: str) -> HubProcess:
        settings = {
            "WS_URL": self.simulator.ws_url, "REST_URL": self.simulator.rest_url, "WS_DIALECT": "exchange",
            "STATE_DIR": str(self.folder), "PYTHONPATH": str(ROOT), **settings,
        }  # fmt: skip
        more = {"program": program} if program else {}
        hub = HubProcess(None, settings, ["--port", str(self.port), *arguments], **more)
        self._stack.callback(hub.stop)
        eventually(lambda: hub.get("/health/ready").status_code == 200, 20)
        return hub

    def close(self) -> None:
        self._stack.close()


class Stop(NamedTuple):
    """What a stop looked like from outside; seconds since the signal."""

    status: int
    took_seconds: float
    unready_after_seconds: float
    was_answered: list[int]  # statuses of GET /health until the port was closed
    refused_new_client: int  # status that a new client got


def stop(process: subprocess.Popen[Any], url: str, number: int = signal.SIGTERM) -> Stop:
    """Send the signal and look on until the process has ended."""
    unready, statuses, new = 99.0, [], 0
    with requests.Session() as session:
        session.get(f"{url}/health", timeout=5)
        begun = time.monotonic()
        process.send_signal(number)
        while process.poll() is None and time.monotonic() - begun < 20:
            try:
                if session.get(f"{url}/health/ready", timeout=2).status_code == 503:
                    unready = min(unready, time.monotonic() - begun)
                    new = new or session.get(f"{url}/socket.io/?EIO=4&transport=polling", timeout=2).status_code
                statuses.append(session.get(f"{url}/health", timeout=2).status_code)
            except requests.RequestException:
                time.sleep(0.02)  # the port is closed
            time.sleep(0.02)
        took = time.monotonic() - begun
    return Stop(process.wait(5), took, unready, statuses, new)


def came_back(crowd: Returners, since: float, start_next: Callable[[], object], seconds: float = 60.0) -> list[float]:
    """Start the next process; return when each client had come back to it by itself, in seconds after ``since``."""
    start_next()
    eventually(lambda: all(client.at["connect"][-1] > since for client in crowd.all), seconds)
    return sorted(client.at["connect"][-1] - since for client in crowd.all)


def most_within_a_second(moments: list[float]) -> int:
    """Return how many came in the busiest second; ``moments`` in order."""
    return max(sum(first <= other < first + 1 for other in moments) for first in moments)

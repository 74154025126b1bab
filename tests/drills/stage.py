"""The stage of a drill: a simulator, a hub on it, lookers-on; and the questions that scenarios ask."""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from hub.simulator.launch import SimulatorProcess
from tests.conftest import HubProcess, running_hub
from tests.drills.judge import FINE
from tests.drills.watchers import Collector, Pulse, Sampler, strict

POLL_SECONDS = 0.05
START_SECONDS = 25.0
PRODUCTS, RATE = 30, 100.0  # on two connections
QUIET_BEFORE_SECONDS = 1.5  # of a healthy hub in front of each fault


class Resources:
    """What a process holds: OS threads, sockets, other descriptors that are not files on disk."""

    def __init__(self, pid: int) -> None:
        root = Path(f"/proc/{pid}")
        self.threads = len(list((root / "task").iterdir()))
        targets = []
        for link in (root / "fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                targets.append(os.readlink(link))
        self.sockets = sum(target.startswith("socket:") for target in targets)
        self.descriptors = sum(target.startswith(("pipe:", "anon_inode:", "/dev/")) for target in targets)
        status = (root / "status").read_text()
        self.rss_mb = int(status.split("VmRSS:")[1].split()[0]) / 1024

    @staticmethod
    def least(pid: int, seconds: float = 0.6) -> Resources:
        """Return the least of each within a while: a request that just ends still holds a socket."""
        end = time.monotonic() + seconds
        least = Resources(pid)
        while time.monotonic() < end:
            time.sleep(POLL_SECONDS)
            now = Resources(pid)
            for name in ("threads", "sockets", "descriptors", "rss_mb"):
                setattr(least, name, min(getattr(least, name), getattr(now, name)))
        return least

    def more_than(self, other: Resources) -> dict[str, int]:
        """Return by how much each grew, what did not grow left out."""
        names = ("threads", "sockets", "descriptors")
        return {name: more for name in names if (more := getattr(self, name) - getattr(other, name)) > 0}


class Drill:
    """The stage of one scenario, and the questions that scenarios ask."""

    def __init__(self, hub: HubProcess, settings: dict[str, str]) -> None:
        assert hub.simulator is not None
        self.hub, self.settings = hub, settings
        self.sim: SimulatorProcess = hub.simulator
        self.victims: frozenset[str] = frozenset()
        self.bystanders: frozenset[str] = frozenset()
        self.slots_before: dict[str, dict[str, Any]] = {}
        self.refused_before: dict[str, int] = {}
        self.counters_before: dict[str, int] = {}
        self.resources_before: Resources
        self.begun_at = 0.0
        self.begun_wall = 0.0
        self.victim_slot_id: str = ""
        self.stopped_seconds = 0.0
        self.collector: Collector
        self.sampler: Sampler
        self.pulse: Pulse

    # -- questions

    def get(self, path: str) -> Any:
        return strict(self.hub.get(path).text)

    def health(self) -> dict[str, Any]:
        return self.get("/health")

    def slots(self) -> dict[str, dict[str, Any]]:
        return {row["connection_id"]: row for row in self.get("/connections")["connections"]}

    def victim_slot(self) -> dict[str, Any]:
        return self.slots()[self.victim_slot_id]

    def reconnects(self) -> int:
        """How many connections were replaced since the fault began."""
        return sum(row["reconnects"] - self.slots_before[name]["reconnects"] for name, row in self.slots().items())

    def lost_by(self, *causes: str) -> bool:
        """Tell whether the victims' connection was lost since, for one of these causes."""
        row = self.victim_slot()
        return row["reconnects"] > self.slots_before[self.victim_slot_id]["reconnects"] and row["last_cause"] in causes

    def fell(self, product_id: str, *states: str) -> bool:
        """Tell whether a ``trust_update`` said so since the fault began."""
        return any(
            at >= self.begun_at and body["crypto"] == product_id and body["trust"] in states
            for at, body in list(self.collector.trust_updates)
        )

    def refused(self, reason: str) -> int:
        return self.health()["refused_frames"].get(reason, 0) - self.refused_before.get(reason, 0)

    def counted(self, name: str) -> int:
        return self.health()["counters"].get(name, 0) - self.counters_before.get(name, 0)

    def gaps(self, **parameters: Any) -> list[dict[str, Any]]:
        """Return the gaps opened since the fault began."""
        query = "&".join(f"{name}={value}" for name, value in {"limit": 1000, **parameters}.items())
        rows = self.get(f"/gaps?{query}")["gaps"]
        return [row for row in rows if datetime.fromisoformat(row["opened_at"]).timestamp() >= self.begun_wall - 1]

    def has_gap(self, *causes: str) -> bool:
        return any(row["cause"] in causes for row in self.gaps())

    def trusts(self) -> dict[str, str]:
        return {product_id: row["trust"] for product_id, row in self.get("/tickers").items()}

    def all_fine(self) -> bool:
        """Everything connected, every price live or quiet, no gap open."""
        return (
            all(row["status"] == "connected" for row in self.slots().values())
            and set(self.trusts().values()) <= FINE
            and self.get("/gaps?open=true&limit=1")["count"] == 0
        )

    def connects(self) -> list[float]:
        return [at for at in self.sim.control("connections")["connects"] if at >= self.begun_at]

    # -- actions

    def fault(self, kind: str, **fields: Any) -> None:
        """Break something; a fault that hits nothing is a mistake of the drill."""
        if not self.sim.control("fault", {"kind": kind, **fields})["hit"]:
            raise RuntimeError(f"the fault {kind} hit nothing")

    def stand_still(self, seconds: float) -> None:
        """Stop the hub's process for a while."""
        self.hub.process.send_signal(signal.SIGSTOP)
        try:
            time.sleep(seconds)
        finally:
            self.hub.process.send_signal(signal.SIGCONT)
        self.stopped_seconds += seconds

    def restart_hub(self) -> None:
        """End the hub and start another in its place, on the same port and folder."""
        port = self.hub.port
        self.hub.stop()
        simulator = self.hub.simulator
        self.hub = HubProcess(None, self.settings, ["--port", str(port)])
        self.hub.simulator = simulator


def wait(condition: Callable[[], Any], seconds: float, since: float) -> float | None:
    """Return how long after ``since`` a condition came true; None if it did not within ``seconds`` from now."""
    end = time.monotonic() + seconds
    while True:
        if condition():
            return time.monotonic() - since
        if time.monotonic() > end:
            return None
        time.sleep(POLL_SECONDS)


def _use_rest_once(drill: Drill) -> None:
    """Have one trade fetched, so that the hub holds its connection for that before we count what it holds."""
    drill.fault("drop", product="BTC-USD", count=1)
    if wait(lambda: drill.counted("missing") == 0 and drill.get("/gaps?product=BTC-USD")["count"], 10.0, 0.0) is None:
        raise RuntimeError("a single missing trade was not noted and fetched before the fault")


@contextlib.contextmanager
def staged(seed: int, environment: Mapping[str, str]) -> Iterator[Drill]:
    """Start everything, and wait until all is well."""
    simulator = ["--products", str(PRODUCTS), "--rate", f"{RATE:g}", "--seed", str(seed)]
    with tempfile.TemporaryDirectory(prefix="drill") as folder, contextlib.ExitStack() as stack:
        hub = stack.enter_context(running_hub(Path(folder), simulator, [], **environment))
        assert hub.simulator is not None
        settings = {
            "WS_URL": hub.simulator.ws_url, "REST_URL": hub.simulator.rest_url, "WS_DIALECT": "exchange",
            "STATE_DIR": folder, **environment,
        }  # fmt: skip
        drill = Drill(hub, settings)
        stack.callback(lambda: drill.hub.stop())  # noqa: PLW0108 - a scenario may put another hub in its place
        hub.wait_until_covered(START_SECONDS)
        _use_rest_once(drill)
        drill.collector = Collector(hub.url)
        stack.callback(drill.collector.close)
        drill.resources_before = Resources.least(hub.process.pid)
        stale_after = drill.health()["stale_after_ms"] / 1000
        drill.sampler = stack.enter_context(Sampler(hub.url, hub.simulator, stale_after))
        drill.pulse = stack.enter_context(Pulse(hub.url))
        total = drill.health()["total_products"]
        if wait(lambda: len(drill.collector.live) == total and drill.all_fine(), START_SECONDS, 0.0) is None:
            raise RuntimeError(f"the hub was not well before the fault: {drill.trusts()}")
        time.sleep(QUIET_BEFORE_SECONDS)
        yield drill

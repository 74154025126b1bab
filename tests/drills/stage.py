"""The stage of a drill: a simulator, a hub on it, lookers-on; and the questions that scenarios ask."""

from __future__ import annotations

import contextlib
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hub.simulator.launch import SimulatorProcess, launch
from tests.conftest import ROOT, HubProcess
from tests.drills.judge import FINE
from tests.drills.watchers import Collector, Pulse, Sampler, strict
from tests.tls import TlsProxy, make_certificates

if TYPE_CHECKING:
    from tests.drills.scenario import Scenario

POLL_SECONDS = 0.05
START_SECONDS = 25.0
PRODUCTS, RATE = 30, 100.0  # on two connections
QUIET_BEFORE_SECONDS = 1.5  # of a healthy hub in front of each fault
UNSENT_SECONDS = 0.1  # for which a tick may be on its way to the client, who is cut off in that moment


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

    def __init__(self, simulator: SimulatorProcess, settings: dict[str, str], trouble: str) -> None:
        self.sim, self.settings = simulator, settings
        self._program = ("-m", "tests.drills.hub_program", trouble) if trouble else (str(ROOT / "app.py"),)
        self.hub = HubProcess(simulator, settings, [], self._program)
        self.proxy: TlsProxy | None = None
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
        self.epochs: list[str] = []  # of each hub before the one that runs now
        self.away: list[tuple[float, float]] = []  # wall-clock times in which a trade may leave unseen by our client
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
        """Return when the endpoint was connected to since the fault began (monotonic)."""
        times = self.proxy.accepted if self.proxy else self._connects("exchange")
        return [at for at in times if at >= self.begun_at]

    def connects_beside(self) -> list[float]:
        """Return the same for Advanced Trade's endpoint."""
        return [at for at in self._connects("advanced_trade") if at >= self.begun_at]

    def _connects(self, endpoint: str) -> list[float]:
        times: list[float] = self.sim.control(f"connections?endpoint={endpoint}")["connects"]
        return times

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

    def present(self, certificate: str | None) -> None:
        """Have the endpoint show this certificate from now on; None: it accepts and says nothing."""
        assert self.proxy is not None
        self.proxy.present(Path(self.settings["STATE_DIR"]) / f"{certificate}.pem" if certificate else None)

    def trouble(self, begins: bool) -> None:
        """Begin or end what is wrong in the hub's own process (``hub_program``)."""
        self.hub.process.send_signal(signal.SIGUSR1 if begins else signal.SIGUSR2)

    def restart_hub(self, kill: bool = False, seconds_down: float = 0.0) -> None:
        """End the hub (by SIGTERM or SIGKILL) and start another in its place, on the same port and folder."""
        port, ended_at = self.hub.port, time.time()
        self.epochs.append(self.health()["epoch"])
        connects_before = len(self.sim.control("connections")["connects"])
        if kill:
            self.hub.process.kill()
            self.hub.process.wait(5)
            time.sleep(seconds_down)
        self.hub.stop()
        self.hub = HubProcess(self.sim, self.settings, ["--port", str(port)], self._program)
        if wait(lambda: len(self.collector.connected_at) > len(self.epochs), START_SECONDS, 0.0) is None:
            raise RuntimeError("the client did not come back to the hub")
        back_at = self.sim.control("connections")["connects"][connects_before] - time.monotonic() + time.time()
        self.away = [(ended_at - UNSENT_SECONDS, ended_at), (back_at, self.collector.connected_at[-1] + UNSENT_SECONDS)]


def wait(condition: Callable[[], Any], seconds: float, since: float) -> float | None:
    """Return how long after ``since`` a condition came true; None if it did not within ``seconds`` from now."""
    end = time.monotonic() + seconds
    while True:
        if condition():
            return time.monotonic() - since
        if time.monotonic() > end:
            return None
        time.sleep(POLL_SECONDS)


def _use_rest_once(drill: Drill, endpoints: Sequence[str]) -> None:
    """Have a trade fetched, so that the hub holds its connection for that before we count what it holds."""
    for endpoint in endpoints:  # of two, each makes up for what the other loses: some frames of the same seconds
        drill.fault("drop", endpoint=endpoint, product="BTC-USD", count=1 if len(endpoints) == 1 else 4)
    if wait(lambda: drill.counted("missing") == 0 and drill.counted("fetched"), 10.0, 0.0) is None:
        raise RuntimeError("a single missing trade was not noted and fetched before the fault")


@contextlib.contextmanager
def staged(seed: int, scenario: Scenario) -> Iterator[Drill]:
    """Start everything, and wait until all is well."""
    arguments = ["--products", str(PRODUCTS), "--rate", f"{RATE:g}", "--seed", str(seed)]
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="drill"))
        simulator = stack.enter_context(launch(arguments))
        port = int(simulator.ws_url.rsplit(":", 1)[1])
        settings = {
            "WS_URL": f"ws://{scenario.host}:{port}", "REST_URL": simulator.rest_url, "WS_DIALECT": "exchange",
            "ADVANCED_TRADE_WS_URL": simulator.advanced_trade_ws_url,
            "ADVANCED_TRADE_REST_URL": simulator.advanced_trade_rest_url,
            "STATE_DIR": folder, "PYTHONPATH": str(ROOT), **scenario.environment,
        }  # fmt: skip
        proxy = None
        if scenario.tls:
            make_certificates(Path(folder))
            proxy = TlsProxy(("127.0.0.1", port), Path(folder) / "good.pem")
            stack.callback(proxy.close)
            settings |= {"WS_URL": f"wss://localhost:{proxy.port}", "SSL_CERT_FILE": f"{folder}/ca.pem"}
        drill = Drill(simulator, settings, scenario.trouble)
        drill.proxy = proxy
        stack.callback(lambda: drill.hub.stop())  # noqa: PLW0108 - a scenario may put another hub in its place
        drill.hub.wait_until_covered(START_SECONDS)
        feed = settings.get("FEED", "exchange")
        endpoints = ("exchange", "advanced_trade") if feed == "both" else (feed,)
        if wait(lambda: all(row["status"] == "connected" for row in drill.slots().values()), 10.0, 0.0) is None:
            raise RuntimeError(f"not all connections came up before the fault: {drill.slots()}")
        _use_rest_once(drill, endpoints)
        drill.collector = Collector(drill.hub.url)
        stack.callback(drill.collector.close)
        drill.resources_before = Resources.least(drill.hub.process.pid)
        stale_after = drill.health()["stale_after_ms"] / 1000
        drill.sampler = stack.enter_context(Sampler(drill.hub.url, simulator, stale_after, endpoints=endpoints))
        drill.pulse = stack.enter_context(Pulse(drill.hub.url))
        total = drill.health()["total_products"]
        if wait(lambda: len(drill.collector.live) == total and drill.all_fine(), START_SECONDS, 0.0) is None:
            raise RuntimeError(f"the hub was not well before the fault: {drill.trusts()}")
        time.sleep(QUIET_BEFORE_SECONDS)
        yield drill

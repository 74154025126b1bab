"""Long runs with 2,000 clients of a kind that once cost more than the loop has: readers and /health notice nothing."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable

import requests

from benchmarks.common import CORES, Process, module
from tests.conftest import HubProcess
from tests.soak.crowds import RATE, bystanders
from tests.soak.runs import Report, hub_of

CROWD = 2_000
SECONDS = 20.0
# The crowd's addresses are 20, of loopback; the limits of an address have tests of their own.
SETTINGS = {"MAX_CLIENTS_PER_IP": "0", "RATE_LIMIT_PER_SECOND": "0"}


class Health:
    """Asks for ``/health`` all the while, as the block runs; ``p99_ms`` afterwards."""

    def __init__(self, hub: HubProcess) -> None:
        self._url = f"{hub.url}/health"
        self._waits: list[float] = []
        self._done = threading.Event()
        self._asker = threading.Thread(target=self._ask, daemon=True)

    def __enter__(self) -> Health:
        self._asker.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._asker.join(30)

    @property
    def p99_ms(self) -> float:
        """The 99th percentile of the answers' times."""
        return statistics.quantiles(self._waits, n=100)[98]

    def _ask(self) -> None:
        with requests.Session() as session:
            while not self._done.is_set():
                begun = time.monotonic()
                assert session.get(self._url, timeout=30).status_code == 200
                self._waits.append((time.monotonic() - begun) * 1000)
                self._done.wait(0.02)


def crowd_of(how: str, title: str) -> Report:
    """Let a crowd in and compare what readers see with what they saw before."""
    report = Report(f"{CROWD} {title}, at {RATE} ticks/s")
    with hub_of("--rate", str(RATE), **SETTINGS) as hub, bystanders(hub) as saw:
        quiet = saw(SECONDS)
        # on the readers' core, and behind them: they are what is measured
        with Process(module("tests.soak.crowd_client", hub.port, CROWD, how), CORES[-1], nice=10) as crowd:
            crowd.answer(120)
            cpu_before, began = cpu_seconds(hub), time.monotonic()
            with Health(hub) as health:
                busy = saw(SECONDS)
            cores = (cpu_seconds(hub) - cpu_before) / (time.monotonic() - began)
            still = crowd.ask("open")["open"]
        ratio = busy["ms"]["p99"] / quiet["ms"]["p99"]
        report.row("of them still there at the end", "", str(still), True)
        report.row("`/health`, 99th percentile", "≤ 100 ms", f"{health.p99_ms:.0f} ms", health.p99_ms <= 100)
        report.row("readers' p99, quiet", "", f"{quiet['ms']['p99']} ms", True)
        meanwhile = f"{busy['ms']['p99']} ms ({ratio:.2f} ×)"
        report.row("readers' p99, meanwhile", "≤ 1.3 × that", meanwhile, ratio <= 1.3)
        report.row("ticks that readers missed", "0", str(busy["out_of_order"]), busy["out_of_order"] == 0)
        report.row("the hub's cores", "", f"{cores:.2f}", True)
    return report


def cpu_seconds(hub: HubProcess) -> float:
    """Return the CPU time that the hub has used."""
    with open(f"/proc/{hub.process.pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def lagging_clients() -> Report:
    """Clients that read a twentieth of what there is."""
    return crowd_of("lagging", "clients that lag")


def unpolled_sessions() -> Report:
    """Polling sessions that joined and never poll."""
    return crowd_of("unpolled", "polling sessions that never poll")


def choosing_clients() -> Report:
    """Clients with five products each, all different."""
    return crowd_of("choosing", "clients with choices of their own")


RUNS: tuple[Callable[[], Report], ...] = (lagging_clients, unpolled_sessions, choosing_clients)

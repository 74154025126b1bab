"""Each endpoint gone for minutes, then both of them; a client holds that it misses nothing, a watcher what is stale."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable
from typing import Any

import requests

from tests.conftest import HubProcess
from tests.drills.stage import wait
from tests.drills.watchers import Collector, Watcher, strict
from tests.soak.runs import WARM_UP_SECONDS, Report, accounts, hub_of

RATE = 1_500
ONE_GONE_SECONDS = 120.0
BOTH_GONE_SECONDS = 60.0
MAX_STALE_SECONDS = 3.0
REST_SECONDS = 5.0
BACK_SECONDS = 10.0
BETWEEN_SECONDS = 20.0  # from a path's return to the next fault
REPAIR_SECONDS = 300.0  # a page or more of each product, at 8 requests a second
LOOK_SECONDS = 0.25
PATHS = ("exchange", "advanced_trade")


class Staleness(Watcher):
    """Reads all prices four times a second: for how long each was called stale, and what they came by."""

    def __init__(self, hub: HubProcess) -> None:
        super().__init__("staleness", LOOK_SECONDS)
        self._hub = hub
        self._since: dict[str, float] = {}
        self.longest = 0.0
        self.ever: set[str] = set()
        self.samples = 0
        self.sources: set[str] = set()

    def start_over(self) -> None:
        """Forget what was seen."""
        self.longest, self.samples, self.ever = 0.0, 0, set()

    def look(self, session: requests.Session) -> None:
        """Look once."""
        body = strict(session.get(self._hub.url + "/tickers", timeout=30).text)
        now = time.monotonic()
        self.samples += len(body)
        self.sources = {row["source"] for row in body.values()}
        for product_id, row in body.items():
            if row["trust"] != "stale":
                self._since.pop(product_id, None)
                continue
            self.ever.add(product_id)
            self.longest = max(self.longest, now - self._since.setdefault(product_id, now))


def up(hub: HubProcess, *paths: str) -> bool:
    """Tell whether all connections of these paths are up."""
    rows = hub.health()["paths"]
    return all(rows[one]["connected_connections"] == rows[one]["total_connections"] > 0 for one in paths)


def refuse(hub: HubProcess, endpoint: str) -> float:
    """Have an endpoint (or both) take no connections, and reset those that it has; return when."""
    assert hub.simulator is not None
    hub.simulator.control("fault", {"kind": "refuse", "endpoint": endpoint, "status": 503, "seconds": None})
    hub.simulator.control("fault", {"kind": "kill", "endpoint": endpoint, "connections": "all"})
    return time.monotonic()


def take_again(hub: HubProcess) -> float:
    assert hub.simulator is not None
    hub.simulator.control("clear", {})
    return time.monotonic()


def told(seconds: float | None) -> str:
    return "never" if seconds is None else f"{seconds:.1f} s"


def one_path_gone(hub: HubProcess, path: str, stale: Staleness, report: Report, seconds: float) -> None:
    stale.start_over()
    refuse(hub, path)
    time.sleep(seconds)
    reasons = [reason for reason in hub.health()["reasons"] if f"{path} is gone" in reason]
    by_rest = hub.health()["trust"]
    took = wait(lambda: up(hub, *PATHS), 60.0, take_again(hub))
    report.row(f"{path} refused for {seconds:g} s: a product was `stale` for", f"≤ {MAX_STALE_SECONDS:g} s",
               f"{stale.longest:.1f} s ({len(stale.ever)} ever; {stale.samples:,} samples)",
               stale.longest <= MAX_STALE_SECONDS and stale.samples > 0)  # fmt: skip
    report.row(f"{path} refused: `/health` said so; trust at the end", "", str({k: v for k, v in by_rest.items() if v}),
               bool(reasons))  # fmt: skip
    report.row(f"{path} back: all its connections up after", f"≤ {BACK_SECONDS:g} s", told(took),
               took is not None and took <= BACK_SECONDS)  # fmt: skip
    time.sleep(BETWEEN_SECONDS)


def both_gone(hub: HubProcess, stale: Staleness, report: Report, seconds: float) -> None:
    stale.start_over()
    began = refuse(hub, "both")
    served = wait(lambda: stale.sources == {"rest"}, 30.0, began)
    time.sleep(max(0.0, began + seconds - time.monotonic()))
    status = hub.health()["status"]
    longest, back_at = stale.longest, take_again(hub)
    took = wait(lambda: up(hub, *PATHS), 60.0, back_at)
    quick = wait(lambda: "rest" not in stale.sources, 60.0, back_at)
    report.row(f"both refused for {seconds:g} s: every price by REST after", f"≤ {REST_SECONDS:g} s", told(served),
               served is not None and served <= REST_SECONDS)  # fmt: skip
    report.row("both refused: a product was `stale` for", f"≤ {MAX_STALE_SECONDS:g} s", f"{longest:.1f} s",
               longest <= MAX_STALE_SECONDS)  # fmt: skip
    report.row("both refused: `/health` said", "critical", status, status == "critical")
    report.row("both back: all connections up after", f"≤ {BACK_SECONDS:g} s", told(took),
               took is not None and took <= BACK_SECONDS)  # fmt: skip
    report.row("both back: every price by a socket after", f"≤ {BACK_SECONDS:g} s", told(quick),
               quick is not None and quick <= BACK_SECONDS)  # fmt: skip


def endpoints_gone(one_seconds: float = ONE_GONE_SECONDS, both_seconds: float = BOTH_GONE_SECONDS) -> Report:
    """Refuse the Exchange, then Advanced Trade, then both; hold what a client got against what happened."""
    report = Report(f"Endpoints gone for minutes, with `FEED=both` at {RATE} ticks/s")
    with hub_of("--rate", str(RATE), FEED="both") as hub:
        assert hub.simulator is not None
        wait(lambda: up(hub, *PATHS), 30.0, 0.0)
        collector = Collector(hub.url)
        time.sleep(WARM_UP_SECONDS)
        with Staleness(hub) as stale:
            for path in PATHS:
                one_path_gone(hub, path, stale, report, one_seconds)
            before = int(hub.health()["counters"]["fetched"])
            both_gone(hub, stale, report, both_seconds)
        hub.simulator.control("pause", {})
        begun = time.monotonic()
        repaired = wait(lambda: hub.health()["open_gaps"] == 0 and accounts(hub, collector)[0] == 0,
                        REPAIR_SECONDS, begun)  # fmt: skip
        lost, late = accounts(hub, collector)
        counters: dict[str, Any] = hub.health()["counters"]
        collector.close()
        live = collector.live.values()
        ids = {one: [*found, *collector.backfilled[one]] for one, found in collector.live.items()}
        twice = sum(len(found) - len(set(found)) for found in ids.values())
        disorder = sum(later <= earlier for found in live for earlier, later in itertools.pairwise(found))
        report.row("ticks, and those that came late or by REST", "", f"{sum(map(len, live)):,}, {late:,}",
                   sum(map(len, live)) > RATE * one_seconds)  # fmt: skip
        report.row("of which fetched while one path was gone", "", f"{before:,}", True)
        report.row("trade ids missing after the repair", "0", str(lost), lost == 0)
        report.row("the repair took, from the end of the trades", "", told(repaired), repaired is not None)
        report.row("trade ids that came twice, or out of order", "0", str(twice + disorder), twice + disorder == 0)
        report.row("prices by REST without a trade id; polls, and those that failed", "",
                   f"{collector.by_rest:,}; {counters['rest_polls']}, {counters['rest_poll_failures']}",
                   collector.by_rest > 0)  # fmt: skip
        cut_off = len(collector.connected_at) - 1
        report.row("times that the client was cut off", "0", str(cut_off), cut_off == 0)
        report.problems.extend(stale.problems)
    return report


RUNS: tuple[Callable[[], Report], ...] = (endpoints_gone,)


if __name__ == "__main__":  # a shorter one:  python -m tests.soak.outages 20 15  (seconds of one, of both)
    found = endpoints_gone(float(sys.argv[1]), float(sys.argv[2]))
    print(found.title, *(" | ".join(row) for row in found.rows), *found.problems, sep="\n")
    sys.exit(bool(found.problems))

"""Slots rotated again and again under load, a load that gathers; a client holds that it does not notice."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable
from typing import Any

from tests.conftest import HubProcess
from tests.drills.runner import MAX_CONNECTS_A_SECOND, most_in_a_second
from tests.drills.stage import wait
from tests.drills.watchers import Collector
from tests.soak.runs import Report, accounts, hub_of

RATE = 1_500
ROUNDS = 30
ROUND_SECONDS = 90.0  # at most: a connect, an acknowledgement, a heartbeat of each product, for 22 slots in turn
LOOK_SECONDS = 0.5
SPREAD_SECONDS = 60.0
MOST_SHARE = 0.1  # of all ticks; each of the 15 that gather has a thirtieth
CALM_SECONDS = 600.0
MEASURED_SECONDS = 15.0  # hub.feed.pool: the window of the load


def generations(hub: HubProcess) -> list[int]:
    return [row["generation"] for row in hub.get("/connections").json()["connections"]]


def every_slot_rotated(rounds: int = ROUNDS) -> Report:
    """Rotate each slot so many times, one after the other, without a pause."""
    report = Report(f"All 22 slots rotated {rounds} times, at {RATE} ticks/s")
    with hub_of("--rate", str(RATE), ROTATE_AFTER_SECONDS="1") as hub:
        assert hub.simulator is not None
        collector = Collector(hub.url)
        begun, slots = time.monotonic(), set()
        least = 0
        while least < rounds and time.monotonic() - begun < rounds * ROUND_SECONDS:
            time.sleep(LOOK_SECONDS)
            counts = generations(hub)
            slots.add(len(counts))
            least = min(counts)
        seconds = time.monotonic() - begun
        hub.simulator.control("pause", {})
        wait(lambda: accounts(hub, collector)[0] == 0, 10, 0.0)
        lost, fetched = accounts(hub, collector)
        happened = hub.simulator.control("sent")["products"]
        collector.close()
        live = collector.live.values()
        twice = sum(len(ids) - len(set(ids)) for ids in live)
        disorder = sum(later <= earlier for ids in live for earlier, later in itertools.pairwise(ids)) - twice
        invented = sum(ids[-1] > happened[one]["last_id"] for one, ids in collector.live.items())
        health = hub.health()
        counters = health["counters"]
        failed = {name: count for name, count in counters.items() if name.startswith("rotate_") and count}
        gaps = hub.get("/gaps?limit=100").json()["count"]
        connects = hub.simulator.control("connections")
        most = most_in_a_second(connects["connects"])
        report.row("rotations", f"≥ {rounds * 22}", f"{counters.get('rotated', 0)} in {seconds:.0f} s", least >= rounds)
        report.row("of which were given up", "", str(failed or 0), True)
        report.row("ticks", "", f"{sum(map(len, live)):,}", sum(map(len, live)) > RATE * seconds * 0.8)
        report.row("ticks that a client missed", "0", str(lost + fetched), lost + fetched == 0)
        report.row("ticks that came twice", "0", str(twice + invented), twice + invented == 0)
        report.row("ticks out of order", "0", str(disorder), disorder == 0)
        report.row("gaps in the ledger", "0", str(gaps), gaps == 0)
        report.row("slots that `/connections` showed, at any time", "22", ", ".join(map(str, slots)), slots == {22})
        report.row("connections lost", "0", str(sum(reconnects(hub))), sum(reconnects(hub)) == 0)
        report.row("connects in the busiest second", f"≤ {MAX_CONNECTS_A_SECOND}", str(most), most <= 8)
        left = len(connects["open"])
        report.row("sockets open at the end", "22", str(left), left <= 23)
    return report


def reconnects(hub: HubProcess) -> list[int]:
    return [row["reconnects"] for row in hub.get("/connections").json()["connections"]]


def half_of_all_ticks_on_one(calm_seconds: float = CALM_SECONDS) -> Report:
    """Let half of all trades be of one connection's products; it is spread, and then nothing moves any more."""
    report = Report(f"Half of {RATE} ticks/s gather on one of 22 connections")
    with hub_of("--rate", str(RATE)) as hub:
        assert hub.simulator is not None
        collector = Collector(hub.url)

        def plan() -> dict[str, Any]:
            return hub.get("/plan").json()  # type: ignore[no-any-return]

        def moved() -> int:
            return int(hub.health()["counters"].get("moved", 0))

        wait(lambda: plan()["measured_seconds"] >= MEASURED_SECONDS, 60.0, 0.0)
        time.sleep(MEASURED_SECONDS)
        needless = moved()
        rows = hub.simulator.control("connections")["open"]
        crowded = next(row["products"] for row in rows if "BTC-USD" not in row["products"])
        begun = time.monotonic()
        hub.simulator.control("fault", {"kind": "concentrate", "products": crowded, "share": 0.5})
        each = RATE / 2 / len(crowded)

        def gathered() -> float:
            """Return how many ticks a second the most crowded socket has of those that gathered."""
            rows = hub.simulator.control("connections")["open"]  # type: ignore[union-attr]
            return max(len(set(row["products"]) & set(crowded)) for row in rows) * each

        fullest_before = gathered()
        took = wait(lambda: gathered() <= MOST_SHARE * RATE, SPREAD_SECONDS, begun)
        time.sleep(max(0.0, begun + SPREAD_SECONDS - time.monotonic()))
        count = moved()
        time.sleep(calm_seconds)
        later, after = moved() - count, plan()
        hub.simulator.control("pause", {})
        wait(lambda: accounts(hub, collector) == (0, 0), 10, 0.0)
        lost, fetched = accounts(hub, collector)
        collector.close()
        twice = sum(len(ids) - len(set(ids)) for ids in collector.live.values())
        disorder = sum(b <= a for ids in collector.live.values() for a, b in itertools.pairwise(ids)) - twice
        sizes = sorted({row["products"] for row in after["connections"]})
        report.row("products that moved before", "0", str(needless), needless == 0)
        report.row("of them on that connection, ticks/s", f"{RATE / 2:g}", f"{fullest_before:.0f}",
                   fullest_before == RATE / 2)  # fmt: skip
        report.row(f"no connection has over {MOST_SHARE * RATE:g}/s of them, after", f"≤ {SPREAD_SECONDS:g} s",
                   f"{took:.0f} s" if took else "never", took is not None)  # fmt: skip
        fullest = max(row["ticks_per_second"] for row in after["connections"])
        mean = sum(row["ticks_per_second"] for row in after["connections"]) / len(after["connections"])
        report.row("the fullest connection at the end, and the mean", "", f"{fullest:.0f}, {mean:.0f} ticks/s", True)
        report.row("products that moved", "", str(count), count > 0)
        report.row(f"products that moved in the {calm_seconds:g} s after that minute", "0", str(later), later == 0)
        even = sizes[-1] <= 15 and sizes[-1] <= 4 / 3 * sizes[0]
        report.row("products a connection", "none a third more than another", ", ".join(map(str, sizes)), even)
        report.row("ticks that a client missed", "0", str(lost + fetched), lost + fetched == 0)
        report.row("ticks that came twice, or out of order", "0", str(twice + disorder), twice + disorder == 0)
        report.row("connections lost", "0", str(sum(reconnects(hub))), sum(reconnects(hub)) == 0)
    return report


RUNS: tuple[Callable[[], Report], ...] = (every_slot_rotated, half_of_all_ticks_on_one)


if __name__ == "__main__":  # shorter ones:  python -m tests.soak.rotations 2 60  (rounds, seconds of calm)
    reports = [every_slot_rotated(int(sys.argv[1])), half_of_all_ticks_on_one(float(sys.argv[2]))]
    for found in reports:
        print(found.title, *(" | ".join(row) for row in found.rows), *found.problems, sep="\n")
    sys.exit(any(found.problems for found in reports))

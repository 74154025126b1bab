"""All slots rotated again and again under load; a client that is connected holds that it does not notice."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable

from tests.conftest import HubProcess
from tests.drills.runner import MAX_CONNECTS_A_SECOND, most_in_a_second
from tests.drills.stage import wait
from tests.drills.watchers import Collector
from tests.soak.runs import Report, accounts, hub_of

RATE = 1_500
ROUNDS = 30
ROUND_SECONDS = 90.0  # at most: a connect, an acknowledgement, a heartbeat of each product, for 22 slots in turn
LOOK_SECONDS = 0.5


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


RUNS: tuple[Callable[[], Report], ...] = (every_slot_rotated,)


if __name__ == "__main__":  # a shorter one:  python -m tests.soak.rotations 2
    found = every_slot_rotated(int(sys.argv[1]))
    print(*(" | ".join(row) for row in found.rows), *found.problems, sep="\n")
    sys.exit(bool(found.problems))

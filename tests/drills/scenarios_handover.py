"""Drills of handovers: connections that are replaced before they go, and loads that are spread."""

from __future__ import annotations

from typing import Any

from tests.drills.scenario import NOTHING, VICTIM, Scenario, checks, faults, no_reconnects, reconnects, stays
from tests.drills.stage import Drill, wait

GIVE_UP_SECONDS = 10.0  # hub.feed.transfers
BEATLESS_SECONDS = 10.0  # hub.feed.schedule: after which a slot is rotated for it
ALL_BUT_ONE = 14  # products of a slot that can come over, where one gets no heartbeat
MEASURED_SECONDS = 15.0  # hub.feed.pool: of load
UNEVEN = 0.95  # of all trades on one of two connections


def rotate(drill: Drill) -> None:
    drill.trouble(begins=True)


def no_beat(drill: Drill) -> None:
    """Let BTC-USD have no heartbeats, so that its slot's rotation can't come to its end; rotate."""
    drill.fault("no_heartbeats", product="BTC-USD", seconds=None)
    rotate(drill)


def refused(drill: Drill) -> None:
    drill.fault("refuse", seconds=None, status=503)
    rotate(drill)


def in_the_middle(drill: Drill) -> dict[str, Any]:
    """Wait until a rotation has brought all but BTC-USD over; return its sockets, the old one first."""
    no_beat(drill)

    def well_on() -> bool:
        under_way = drill.get("/plan")["under_way"]
        return bool(under_way and under_way["over"] == ALL_BUT_ONE)

    if wait(well_on, GIVE_UP_SECONDS - 2, 0.0) is None:
        raise RuntimeError(f"the rotation did not come so far: {drill.get('/plan')['under_way']}")
    rows = [row for row in drill.sim.control("connections")["open"] if "BTC-USD" in row["products"]]
    old, new = sorted(row["index"] for row in rows)
    return {"old": old, "new": new}


def successor_dies(drill: Drill) -> None:
    drill.fault("kill", connections=[in_the_middle(drill)["new"]])


def old_one_dies(drill: Drill) -> None:
    drill.fault("kill", connections=[in_the_middle(drill)["old"]])


def gathered(drill: Drill) -> None:
    """Nearly all trades are of the products of one connection."""
    rows = drill.sim.control("connections")["open"]
    products = next(row["products"] for row in rows if "BTC-USD" in row["products"])
    drill.fault("concentrate", products=products, share=UNEVEN)


def spread(drill: Drill) -> bool:
    rates = [row["ticks_per_second"] for row in drill.get("/plan")["connections"]]
    return max(rates) < 0.75 * sum(rates) and drill.all_fine()


def held(drill: Drill) -> list[str]:
    """Return the products that the exchange sends, each once for every socket that it goes to."""
    return [item for row in drill.sim.control("connections")["open"] for item in row["products"]]


def nobody_noticed(drill: Drill) -> list[str]:
    """Hold that the slots are those of before, each on one socket with the products that it had or was given.

    A move that began meanwhile holds some on two sockets until it ends.
    """
    problems = []
    if gaps := drill.gaps():
        problems.append(f"there are gaps: {gaps[:2]}")
    slots = drill.slots()
    if slots.keys() != drill.slots_before.keys() or any(row["status"] != "connected" for row in slots.values()):
        problems.append(f"the slots are {slots}")
    if wait(lambda: len(drill.sim.control("connections")["open"]) == len(slots), 3.0, 0.0) is None:
        problems.append(f"{len(drill.sim.control('connections')['open'])} sockets are open")
    if wait(lambda: len(held(drill)) == len(set(held(drill))) == 30, GIVE_UP_SECONDS + 3, 0.0) is None:
        problems.append(f"{len(held(drill))} subscriptions of {len(set(held(drill)))} products")
    return problems


def slots_stay(drill: Drill) -> list[str]:
    """Hold that there are as many slots as before."""
    count, before = len(drill.slots()), len(drill.slots_before)
    return [] if count == before else [f"{count} slots, not {before}"]


HANDOVERS = [
    Scenario(
        "H1 all slots rotated", rotate, lambda drill: drill.counted("rotated") >= 2, 10.0, victims=NOTHING,
        trouble="rotate_all", check=checks(no_reconnects, stays(), nobody_noticed),
    ),
    Scenario(
        "H2 successor refused", refused, lambda drill: drill.counted("rotate_timeout") >= 1, GIVE_UP_SECONDS + 3,
        victims=NOTHING, trouble="rotate", check=checks(no_reconnects, stays(), nobody_noticed),
    ),
    Scenario(
        "H3 successor dies", successor_dies, lambda drill: drill.counted("rotate_successor_lost") >= 1, 3.0,
        victims=NOTHING, trouble="rotate", check=checks(no_reconnects, stays(), nobody_noticed),
    ),
    Scenario(
        "H4 successor never beats", no_beat, lambda drill: drill.counted("rotate_timeout") >= 1, GIVE_UP_SECONDS + 3,
        victims=NOTHING, trouble="rotate", check=checks(no_reconnects, stays(), nobody_noticed),
    ),
    Scenario(
        "H5 old one dies first", old_one_dies, lambda drill: drill.counted("rotated") >= 1, 3.0,
        victims=("BTC-USD",), trouble="rotate", check=checks(reconnects(1, 1), slots_stay),
    ),
    Scenario(
        "H6 no heartbeats for long", faults({"kind": "no_heartbeats", "seconds": None, **VICTIM}),
        lambda drill: drill.counted("rotated") >= 1, BEATLESS_SECONDS + GIVE_UP_SECONDS,
        healed=lambda drill: drill.all_fine() and not drill.health()["reasons"],
        check=checks(no_reconnects, stays("stale"), slots_stay),
    ),
    Scenario(
        "H7 load gathers on one", gathered, lambda drill: drill.counted("moved") >= 1, 2 * MEASURED_SECONDS,
        healed=spread, heal_within=2 * MEASURED_SECONDS, victims=NOTHING,
        check=checks(no_reconnects, stays(), nobody_noticed),
    ),
]  # fmt: skip

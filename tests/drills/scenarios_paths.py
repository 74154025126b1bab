"""Drills of endpoints that are gone, and of the second path: prices go on by what is left, and say by what.

Nothing caps the backoff here: while no socket of a path is open, one is tried every 4 s, and when it is back the others
follow 130 ms apart. So a path is back 4 s after its endpoint, and what its connects take.
"""

from __future__ import annotations

from collections.abc import Callable

from tests.drills.scenario import EVERYTHING, NOTHING, Scenario, checks, faults, stays
from tests.drills.stage import Drill

BOTH = {"FEED": "both"}
ADVANCED_TRADE_ALONE = {"FEED": "advanced_trade", "WS_URL": "", "WS_DIALECT": ""}
REST_SECONDS = 5.0
BACK_SECONDS = 10.0
STALE_SECONDS = 6.0  # STALE_AFTER_MS, and our own looks
LATE_SECONDS = 5.0  # hub.feed.pool: for which heartbeats may be missing


def gone(endpoint: str) -> Callable[[Drill], None]:
    """Return a cause: an endpoint (or both) resets its connections and takes no others."""
    return faults(
        {"kind": "refuse", "endpoint": endpoint, "status": 503, "seconds": None},
        {"kind": "kill", "endpoint": endpoint, "connections": "all"},
    )  # fmt: skip


def sources(drill: Drill) -> set[str]:
    return {row["source"] for row in drill.get("/tickers").values()}


def by_rest(drill: Drill) -> bool:
    """Tell whether every price is REST's, and says that it can be trusted."""
    return sources(drill) == {"rest"} and set(drill.trusts().values()) <= {"live", "quiet"}


def by_sockets(drill: Drill) -> bool:
    """Tell whether all sockets are open again, and every price is good and a socket's."""
    connected = all(row["status"] == "connected" for row in drill.slots().values())
    return connected and "rest" not in sources(drill) and set(drill.trusts().values()) <= {"live", "quiet"}


def health_says(words: str) -> Callable[[Drill], bool]:
    return lambda drill: any(words in reason for reason in drill.health()["reasons"])


def still_says(words: str) -> Callable[[Drill], list[str]]:
    """Return a check: ``/health`` has a reason with these words."""
    return lambda drill: [] if health_says(words)(drill) else [f"/health says {drill.health()['reasons']}"]


def still_by_rest(drill: Drill) -> list[str]:
    body = drill.health()
    problems = [] if by_rest(drill) else [f"the prices are {sources(drill)}, {set(drill.trusts().values())}"]
    if body["status"] != "critical" or body["counters"]["rest_polls"] < 2:
        problems.append(f"/health says {body['status']}, {body['counters']['rest_polls']} polls")
    if not drill.collector.by_rest:
        problems.append("no price by REST reached a client")
    return problems


def still_stale(drill: Drill) -> list[str]:
    states = set(drill.trusts().values())
    return [] if states == {"stale"} else [f"the prices are {states}"]


def by_the_other(drill: Drill) -> list[str]:
    """Hold that no trade had to be fetched: the other path brought them all."""
    count = drill.counted("fetched")
    return [f"{count} trades were fetched"] if count else []


def exchange_untouched(drill: Drill) -> list[str]:
    rows = [row for name, row in drill.slots().items() if name.startswith("conn_")]
    lost = sum(row["reconnects"] for row in rows)
    return [f"{lost} reconnects of the other path"] if lost else []


def replaced_for_no_data(drill: Drill) -> list[str]:
    row = drill.slots()["conn_000"]
    good = (row["reconnects"], row["last_cause"]) == (1, "no_data")
    return [] if good else [f"{row['reconnects']} reconnects, for {row['last_cause']}"]


ENDPOINTS_GONE = [
    Scenario(
        "U27 the only endpoint gone", gone("exchange"), by_rest, REST_SECONDS, hold=7.0, heal_within=BACK_SECONDS,
        healed=by_sockets, victims=EVERYTHING, while_broken=still_by_rest,
    ),
    Scenario(
        "U27 both endpoints gone", gone("both"), by_rest, REST_SECONDS, hold=7.0, heal_within=BACK_SECONDS,
        healed=by_sockets, victims=EVERYTHING, while_broken=still_by_rest, environment=BOTH,
    ),
    Scenario(
        "U27 REST gone as well", lambda drill: (drill.fault("rest", status=503, seconds=None), gone("both")(drill))[1],
        lambda drill: set(drill.trusts().values()) == {"stale"}, STALE_SECONDS, hold=7.0, heal_within=BACK_SECONDS,
        healed=by_sockets, victims=EVERYTHING, while_broken=still_stale, environment=BOTH,
    ),
]  # fmt: skip

PATHS = [
    Scenario(
        "P1 Exchange gone", gone("exchange"), health_says("exchange is gone"), 3.0, hold=7.0,
        heal_within=BACK_SECONDS, victims=EVERYTHING, while_broken=still_says("exchange is gone"),
        check=checks(stays("behind"), by_the_other), environment=BOTH,
    ),
    Scenario(
        "P2 Advanced Trade gone", gone("advanced_trade"), health_says("advanced_trade is gone"), 3.0, hold=7.0,
        heal_within=BACK_SECONDS, victims=NOTHING, while_broken=still_says("advanced_trade is gone"),
        check=checks(stays(), by_the_other, exchange_untouched), environment=BOTH,
    ),
    Scenario(
        "P3 Advanced Trade loses frames", faults(
            {"kind": "drop", "endpoint": "advanced_trade", "product": "BTC-USD", "count": 3},
        ),
        lambda drill: drill.refused("sequence_gap") >= 1, 5.0, victims=NOTHING,
        check=checks(stays(), by_the_other, exchange_untouched), environment=BOTH,
    ),
    Scenario(
        "P4 the only path loses frames", faults(
            {"kind": "drop", "endpoint": "advanced_trade", "product": "BTC-USD", "count": 3},
        ),
        lambda drill: drill.refused("sequence_gap") >= 1, 5.0, victims=EVERYTHING, heal_within=BACK_SECONDS,
        check=stays("behind"), environment=ADVANCED_TRADE_ALONE,
    ),
    Scenario(
        "P5 Advanced Trade leaves out", faults(
            {"kind": "partial_ack", "endpoint": "advanced_trade", "products": ["BTC-USD", "ETH-USD"], "times": 1},
            {"kind": "kill", "endpoint": "advanced_trade", "connections": "all"},
        ),
        lambda drill: drill.counted("asked_again") >= 2, BACK_SECONDS, victims=NOTHING,
        check=checks(stays(), by_the_other, exchange_untouched), environment=BOTH,
    ),
    Scenario(
        "P6 Advanced Trade beats not", faults(
            {"kind": "no_heartbeats", "endpoint": "advanced_trade", "connections": "all", "seconds": None},
        ),
        health_says("no heartbeats on adv_000"), LATE_SECONDS + 2.0, hold=LATE_SECONDS + 2.0, victims=NOTHING,
        healed=lambda drill: drill.all_fine() and not drill.health()["reasons"],
        check=checks(stays(), by_the_other, exchange_untouched), environment=BOTH,
    ),
    Scenario(
        "P7 the only path's data stops", faults(
            {"kind": "no_data", "endpoint": "advanced_trade", "connections": "all", "seconds": None},
        ),
        # noticed by REST's prices: 3 s without a proof, a poll or two, 3 s in which the socket brings none of it
        lambda drill: drill.lost_by("no_data"), 12.0, victims=EVERYTHING, heal_within=BACK_SECONDS,
        check=replaced_for_no_data, environment=ADVANCED_TRADE_ALONE,
    ),
]  # fmt: skip

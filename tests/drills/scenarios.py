"""The drills, one a fault: how it is caused, how one can tell that it was noticed and that it healed, within when."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.drills.stage import Drill, Resources

VICTIM: dict[str, Any] = {"connections": {"product": "BTC-USD"}}
EVERYTHING: tuple[str, ...] = ("*",)  # hits all products: there are no bystanders
HEARTBEATS_SECONDS = 3.0
LOOK_SECONDS = 1.0  # what a watch every 0.2 s, its event and our own look may take


def nothing_wrong(drill: Drill) -> list[str]:  # noqa: ARG001 - the form of a check
    return []


@dataclass(frozen=True)
class Scenario:
    """``hold``: seconds after which the fault is ended (None: it ends by itself). ``victims``: None for BTC's socket.

    Where ``noticed`` is None there is nothing to notice: the fault is held, and nothing must happen.
    """

    name: str
    cause: Callable[[Drill], None]
    noticed: Callable[[Drill], bool] | None = None
    notice_within: float = 3.0
    heal_within: float = 10.0
    hold: float | None = None
    healed: Callable[[Drill], bool] | None = None
    check: Callable[[Drill], list[str]] = nothing_wrong
    while_broken: Callable[[Drill], list[str]] = nothing_wrong
    victims: Sequence[str] | None = None
    rest_up: bool = True
    restarts_hub: bool = False
    times_are_right: bool = True
    quick: bool = True
    environment: Mapping[str, str] = field(default_factory=dict)


def faults(*requests: dict[str, Any]) -> Callable[[Drill], None]:
    """Return a cause: these faults, one after the other."""

    def cause(drill: Drill) -> None:
        for request in requests:
            drill.fault(**request)

    return cause


def lost_by(*causes: str) -> Callable[[Drill], bool]:
    return lambda drill: drill.lost_by(*causes)


def gap_of(*causes: str) -> Callable[[Drill], bool]:
    return lambda drill: drill.has_gap(*causes)


def fell(*states: str) -> Callable[[Drill], bool]:
    return lambda drill: drill.fell("BTC-USD", *states)


def checks(*several: Callable[[Drill], list[str]]) -> Callable[[Drill], list[str]]:
    return lambda drill: [problem for one in several for problem in one(drill)]


def reconnects(low: int, high: int) -> Callable[[Drill], list[str]]:
    """Return a check: so many connections were replaced."""

    def check(drill: Drill) -> list[str]:
        count = drill.reconnects()
        return [] if low <= count <= high else [f"{count} reconnects, not {low} to {high}"]

    return check


no_reconnects = reconnects(0, 0)


def stays(*states: str) -> Callable[[Drill], list[str]]:
    """Return a check: no price, not even the victims', was ever seen in another state."""

    def check(drill: Drill) -> list[str]:
        odd = {one: sorted(found - set(states)) for one, found in drill.sampler.not_fine.items()}
        odd = {one: found for one, found in odd.items() if found}
        return [f"they did not stay live or quiet: {str(odd)[:200]}"] if odd else []

    return check


def flat_memory(drill: Drill) -> list[str]:
    """Check that memory did not grow by more than a burst's worth of queues."""
    grown = Resources(drill.hub.process.pid).rss_mb - drill.resources_before.rss_mb
    return [f"memory grew by {grown:.0f} MB"] if grown > 60 else []


def waited(seconds: float) -> Callable[[Drill], list[str]]:
    """Return a check: between the first refused connect and the next lay at least so many seconds."""

    def check(drill: Drill) -> list[str]:
        times = drill.connects()
        if len(times) < 2:
            return []
        return [] if times[1] - times[0] >= seconds else [f"tried again after {times[1] - times[0]:.2f} s"]

    return check


def price_is_good(drill: Drill) -> list[str]:
    """Check that the price shown is a number that the exchange meant."""
    price = drill.get("/price/BTC-USD")["price"]
    return [] if 80_000 < price < 95_000 else [f"the price became {price}"]


# --- connections

CLOSE_CODES = (1000, 1001, 1008, 1009, 1011, 1012, 1013, 4000)
SLOW_SECONDS = 8.0  # a code that says that we are not wanted now: 5 s, the pace, jitter

def replaced_as(cause: str) -> Callable[[Drill], list[str]]:
    """Hold that the victims' connection was replaced for this cause."""
    return lambda drill: [] if drill.lost_by(cause) else [f"it was not replaced as {cause!r}"]


CONNECTIONS = [
    Scenario("U1 reset", faults({"kind": "kill", **VICTIM}), lost_by("eof", "reset"), 1.5, check=reconnects(1, 1)),
    Scenario(
        "U2 mute", faults({"kind": "mute", "seconds": None, **VICTIM}), fell("behind", "stale"),
        HEARTBEATS_SECONDS, check=checks(reconnects(1, 1), replaced_as("silent")),
    ),
    Scenario(
        "U3 no heartbeats", faults({"kind": "no_heartbeats", "seconds": None, **VICTIM}),
        lambda drill: any("heartbeat" in reason for reason in drill.health()["reasons"]), 8.0, hold=8.0,
        while_broken=lambda drill: [] if drill.trusts()["BTC-USD"] == "live" else ["BTC-USD is not live"],
        check=no_reconnects,
    ),
    Scenario(
        "U4 no data", faults({"kind": "no_data", "seconds": None, **VICTIM}), fell("behind", "stale"),
        HEARTBEATS_SECONDS, check=checks(reconnects(1, 1), replaced_as("no_data")),
    ),
    Scenario(
        "U7 one byte a second", faults({"kind": "drip", "seconds": None, **VICTIM}), fell("behind", "stale"),
        HEARTBEATS_SECONDS, check=checks(reconnects(1, 1), replaced_as("silent")),
    ),
    Scenario(
        "U8 giant frame", faults({"kind": "giant", "bytes": 64_000_000, **VICTIM}), lost_by("frame_too_big"),
        check=checks(reconnects(1, 1), flat_memory),
    ),
    Scenario(
        "U8 giant announced", faults({"kind": "giant", "bytes": 2**50, "announce": True, **VICTIM}),
        lost_by("frame_too_big"), check=checks(reconnects(1, 1), flat_memory),
    ),
    *(
        Scenario(
            f"U14 close {code}", faults({"kind": "close", "code": code, **VICTIM}), lost_by(f"closed_{code}"),
            heal_within=SLOW_SECONDS + 4, check=checks(reconnects(1, 1), waited(5.0) if code in (1008, 1013, 4000)
                                                       else nothing_wrong),
        )
        for code in CLOSE_CODES
    ),
    Scenario(
        "U14 close without code", faults({"kind": "close", "code": None, **VICTIM}),
        lambda drill: drill.reconnects() == 1 and (drill.victim_slot()["last_cause"] or "").startswith("closed"),
        check=reconnects(1, 1),
    ),
    Scenario("U14 end without close", faults({"kind": "close", **VICTIM}), lost_by("eof"), check=reconnects(1, 1)),
]  # fmt: skip


def refused(**fields: Any) -> Callable[[Drill], None]:
    """Return a cause: the victims' connection is lost and upgrades are refused."""
    return faults({"kind": "refuse", "seconds": None, **fields}, {"kind": "kill", **VICTIM})


CONNECTING = [
    Scenario(
        "U15 429 with Retry-After", refused(status=429, retry_after=6), lost_by("http_429"), 4.0, hold=5.0,
        heal_within=12.0, check=waited(6.0),
    ),
    Scenario("U15 503", refused(status=503), lost_by("http_503"), 4.0, hold=4.0, heal_within=12.0),
    Scenario("U15 301", refused(status=301), lost_by("http_301"), 4.0, hold=4.0, heal_within=12.0),
    Scenario("U15 200 with HTML", refused(status=200), lost_by("http_200"), 4.0, hold=4.0, heal_within=12.0),
    Scenario(
        "U17 handshake hangs", refused(hang=True), lost_by("connect_timeout"), 6.0, hold=4.0, heal_within=12.0,
        environment={"CONNECT_TIMEOUT_SECONDS": "2"},
    ),
    Scenario(
        "U21 the exchange restarts", faults({"kind": "restart", "seconds_down": 2.0}), fell("behind", "stale"), 1.5,
        heal_within=14.0, victims=EVERYTHING,  # it is down for 2 s; the long run measures the 95th percentile
    ),
    Scenario(
        "U22 flapping", faults({"kind": "flap", "seconds": None, "after_seconds": 2.0}, {"kind": "kill", **VICTIM}),
        lambda drill: drill.reconnects() >= 2, 8.0, hold=9.0, heal_within=14.0, check=reconnects(2, 6),
    ),
]  # fmt: skip

# --- data

GARBAGE = ("", "{", "<html>", "[1]", "[" * 5_000, '{"type":7}')
STRANGE = ('{"type":"new"}', '{"type":"match","trade_id":1}', '{"type":"heartbeats","x":[{"y":1}]}')
BAD_PRICES: tuple[Any, ...] = (
    "NaN", "Infinity", "-1", "0", "0.0", "", None, "1e999", "9" * 400, True, 1.5, [], {}, "1,5", " 1",
)  # fmt: skip


def garbage(*texts: str) -> list[dict[str, Any]]:
    return [{"kind": "garbage", "text": text, **VICTIM} for text in texts]


def bad_prices(drill: Drill) -> None:
    """One after the other: each replaces the one before it."""
    for number, price in enumerate(BAD_PRICES, 1):
        drill.fault("bad_ticker", product="BTC-USD", fields={"price": price})
        while drill.refused("bad_price") < number:
            if time.monotonic() - drill.begun_at > 10:
                raise RuntimeError(f"price {price!r} was not refused as bad_price: {drill.health()['refused_frames']}")


DATA = [
    Scenario(
        "U9 garbage", faults(*garbage(*GARBAGE), {"kind": "garbage", "base64": "//79", **VICTIM}),
        lambda drill: drill.refused("not_json") >= 4 and drill.refused("empty") + drill.refused("not_object") >= 2,
        check=checks(no_reconnects, stays()), victims=("BTC-USD",),
    ),
    Scenario(
        "U10 unknown types", faults(*garbage(*STRANGE)),
        lambda drill: drill.refused("ignored_unknown") >= 2 and drill.refused("ignored_match") >= 1,
        check=checks(no_reconnects, stays()), victims=("BTC-USD",),
    ),
    Scenario(
        "U10 extra fields", faults({"kind": "bad_ticker", "product": "BTC-USD", "fields": {"new": [{"x": None}]},
                                    "count": 3}),
        lambda drill: drill.counted("duplicate") >= 3, check=checks(no_reconnects, stays()), victims=("BTC-USD",),
    ),
    Scenario(
        "U11 bad prices", bad_prices, lambda drill: drill.refused("bad_price") >= len(BAD_PRICES), 2.0,
        check=checks(no_reconnects, stays(), price_is_good), victims=("BTC-USD",),
    ),
    Scenario(
        "U11 no price", faults({"kind": "bad_ticker", "product": "BTC-USD", "remove": ["price"], "count": 5}),
        lambda drill: drill.refused("bad_price") >= 5, check=checks(no_reconnects, stays()), victims=("BTC-USD",),
    ),
    Scenario(
        "U12 duplicates", faults({"kind": "duplicate", "product": "BTC-USD", "count": 20}),
        lambda drill: drill.counted("duplicate") >= 20, check=checks(no_reconnects, stays()), victims=("BTC-USD",),
    ),
    Scenario(
        "U12 out of order", faults({"kind": "reorder", "product": "BTC-USD", "count": 20}),
        lambda drill: drill.counted("late") >= 10, 5.0, check=no_reconnects, victims=("BTC-USD",),
    ),
    Scenario(
        "U13 missing trades", faults({"kind": "drop", "product": "BTC-USD", "count": 7}), gap_of("sequence"),
        check=no_reconnects, victims=("BTC-USD",),
    ),
    Scenario(
        "U13 missing, REST lags", faults({"kind": "rest_lag", "seconds": None, "lag_seconds": 5.0},
                                         {"kind": "drop", "product": "BTC-USD", "count": 7}),
        gap_of("sequence"), heal_within=12.0, check=no_reconnects, victims=("BTC-USD",),
    ),
    Scenario(
        "U13 missing, REST is down", faults({"kind": "rest", "seconds": None, "status": 500},
                                            {"kind": "drop", "product": "BTC-USD", "count": 7}),
        gap_of("sequence"), healed=lambda drill: any(row["missing"] == 7 for row in drill.gaps(open="true")),
        check=no_reconnects, victims=("BTC-USD",), rest_up=False,
    ),
    Scenario(
        "U5 stuck, heals subscribed anew", faults({"kind": "stuck", "product": "BTC-USD", "seconds": None,
                                                   "until_resubscribed": True}),
        fell("behind", "stale"), HEARTBEATS_SECONDS, check=no_reconnects, victims=("BTC-USD",),
    ),
    Scenario(
        "U5 stuck, heals moved", faults({"kind": "stuck", "product": "BTC-USD", "seconds": None, "until_moved": True}),
        fell("behind", "stale"), HEARTBEATS_SECONDS, heal_within=14.0, check=no_reconnects, victims=("BTC-USD",),
        healed=lambda drill: drill.get("/price/BTC-USD")["connection_id"] not in (None, drill.victim_slot_id)
        and drill.all_fine(),
    ),
    Scenario(
        "U5 stuck everywhere", faults({"kind": "stuck", "product": "BTC-USD", "seconds": None}),
        fell("behind", "stale"), HEARTBEATS_SECONDS, hold=7.0, heal_within=12.0, check=no_reconnects,
        victims=("BTC-USD",),
    ),
]  # fmt: skip


def half_is_quiet(drill: Drill) -> bool:
    """Tell whether the half that is kept quiet reads so."""
    states = list(drill.trusts().values())
    return states.count("quiet") >= 14


def not_set_aside_long(drill: Drill) -> bool:
    """Tell whether all but the refused product are well."""
    return all(state in ("live", "quiet") for one, state in drill.trusts().items() if one != "BTC-USD")


def old_list(drill: Drill) -> bool:
    return any("list" in reason for reason in drill.health()["reasons"])


def bad_list(**fields: Any) -> Callable[[Drill], None]:
    """Return a cause: the hub is started anew while REST answers like this."""

    def cause(drill: Drill) -> None:
        drill.fault("rest", seconds=None, **fields)
        drill.restart_hub()

    return cause


def all_products(drill: Drill) -> list[str]:
    total = drill.health()["total_products"]
    return [] if total == 30 else [f"{total} products, not 30"]


SUBSCRIBING = [
    Scenario(
        "U6 half of them quiet", faults({"kind": "quiet", "products": "half", "seconds": None}), half_is_quiet, 9.0,
        hold=10.0, check=checks(no_reconnects, stays()), victims=EVERYTHING,
        while_broken=lambda drill: [] if drill.pulse.statuses <= {"healthy"} else [f"health {drill.pulse.statuses}"],
    ),
    Scenario(
        "U18 one product refused", faults({"kind": "reject_product", "product": "BTC-USD", "seconds": None},
                                          {"kind": "kill", **VICTIM}),
        lambda drill: drill.refused("exchange_error") >= 1, 6.0, hold=8.0, heal_within=60.0, quick=False,
        while_broken=lambda drill: [] if not_set_aside_long(drill) else [f"others suffer: {drill.trusts()}"],
    ),
    Scenario(
        "U19 left out of the ack", faults({"kind": "partial_ack", "products": ["BTC-USD", "SOL-USD"], "times": 1},
                                          {"kind": "kill", **VICTIM}),
        lost_by("eof", "reset"), 2.0, check=reconnects(1, 1),  # an outage shorter than a review sends no trust_update
    ),
    Scenario(
        "U20 list is HTML", bad_list(html=True), old_list, 8.0, hold=8.0, heal_within=15.0, victims=EVERYTHING,
        while_broken=all_products, restarts_hub=True, healed=lambda drill: drill.all_fine() and not old_list(drill),
        quick=False,
    ),
    Scenario(
        "U20 list is half", bad_list(half=True), old_list, 8.0, hold=8.0, heal_within=15.0, victims=EVERYTHING,
        while_broken=all_products, restarts_hub=True, healed=lambda drill: drill.all_fine() and not old_list(drill),
        quick=False,
    ),
    Scenario(
        "U20 list is tenfold", bad_list(tenfold=True), old_list, 8.0, hold=8.0, heal_within=15.0, victims=EVERYTHING,
        while_broken=all_products, restarts_hub=True, healed=lambda drill: drill.all_fine() and not old_list(drill),
        quick=False,
    ),
    Scenario(
        "U24 early and late data", faults({"kind": "early_data", "seconds": None}, {"kind": "kill", **VICTIM}),
        lambda drill: drill.reconnects() == 1, check=reconnects(1, 1),
    ),
]  # fmt: skip

# --- time


def clocks(drill: Drill) -> None:
    """The exchange's clock goes wrong one way, then the other."""
    for offset in (300.0, -3_600.0):
        drill.fault("clock", offset_seconds=offset, seconds=None)
        time.sleep(3)


TIME = [
    Scenario(
        "U23 burst", faults({"kind": "burst", "factor": 20, "seconds": 10.0}),
        lambda drill: drill.health()["messages_per_second"] > 600, 9.0, hold=11.0,
        check=checks(no_reconnects, stays(), flat_memory), victims=EVERYTHING,
    ),
    Scenario(
        "U25 the exchange's clock is off", clocks, hold=6.5, check=checks(no_reconnects, stays()),
        victims=EVERYTHING, times_are_right=False,
    ),
    Scenario(
        "U28 the hub stood still", lambda drill: drill.stand_still(7.0), gap_of("pause"), 5.0, victims=EVERYTHING,
        check=no_reconnects,
    ),
]  # fmt: skip

ALL = (*CONNECTIONS, *CONNECTING, *DATA, *SUBSCRIBING, *TIME)

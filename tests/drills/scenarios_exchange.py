"""Drills of what an exchange does on open connections: closes, silences, garbage, data, subscriptions, lists."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from tests.drills.scenario import (
    EVERYTHING,
    HEARTBEATS_SECONDS,
    NOTHING,
    VICTIM,
    WELL_SECONDS,
    Scenario,
    checks,
    faults,
    fell,
    flat_memory,
    gap_of,
    lost_by,
    no_reconnects,
    nothing_wrong,
    price_is_good,
    reconnects,
    stays,
    waited,
)
from tests.drills.stage import Drill

# --- connections

CLOSE_CODES = (1000, 1001, 1008, 1009, 1011, 1012, 1013, 4000)
SLOW_CODES = (1008, 1013, 4000)  # those that say that we are not wanted now
SLOW_SECONDS = 5.0


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
            heal_within=SLOW_SECONDS + WELL_SECONDS,
            check=checks(reconnects(1, 1), waited(SLOW_SECONDS) if code in SLOW_CODES else nothing_wrong),
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


def restarted_on_a_bad_list(drill: Drill) -> None:
    """REST answers with HTML from now on, and the hub is started anew."""
    drill.fault("rest", seconds=None, html=True)
    drill.restart_hub()


def all_products(drill: Drill) -> list[str]:
    """Hold that every product is watched and subscribed, on as many connections as before."""
    total = drill.health()["total_products"]
    open_sockets = drill.sim.control("connections")["open"]
    subscribed = {product_id for row in open_sockets for product_id in row["products"]}
    if total == len(subscribed) == 30 and len(open_sockets) == len(drill.slots_before):
        return []
    return [f"{total} products, {len(subscribed)} of them subscribed on {len(open_sockets)} connections"]


def new_list(drill: Drill) -> bool:
    return drill.all_fine() and not old_list(drill)


BAD_LISTS: dict[str, dict[str, Any]] = {
    "empty": {"body": "[]"}, "HTML": {"html": True}, "an error 500": {"status": 500}, "cut off": {"truncate": True},
    "half": {"half": True}, "tenfold": {"tenfold": True},
}  # fmt: skip
# a list is old after two refreshes; the try after that comes 4 s later at the most: noticed within 7 s
LIST_RETRY_SECONDS = 60.0  # the longest that hub.catalogue_keeper waits between two tries
LISTS = [
    *(
        Scenario(
            f"U20 list is {words}", faults({"kind": "rest", "seconds": None, **how}), old_list, 8.0, hold=4.0,
            while_broken=all_products, healed=new_list, heal_within=LIST_RETRY_SECONDS + WELL_SECONDS,
            check=checks(no_reconnects, stays(), all_products), victims=NOTHING, quick=words == "half",
            environment={"CATALOGUE_REFRESH_SECONDS": "1"},
        )
        for words, how in BAD_LISTS.items()
    ),
    Scenario(
        "U20 restart on an HTML list", restarted_on_a_bad_list, old_list, 8.0, hold=4.0, while_broken=all_products,
        healed=new_list, heal_within=LIST_RETRY_SECONDS + WELL_SECONDS, victims=EVERYTHING, restarts_hub=True,
        quick=False,
    ),
]  # fmt: skip

NEW, GONE = [f"NEW{number}-USD" for number in range(5)], ["ETH-USD", "SOL-USD"]
MOVING = {"CATALOGUE_REFRESH_SECONDS": "1", "DELISTED_KEEP_SECONDS": "3", "PRODUCTS_PER_CONNECTION": "20"}


def told(*events: tuple[str, list[str]]) -> Callable[[Drill], bool]:
    """Return a question: our client was told each of these events of each of these products."""
    wanted = {(event, one) for event, products in events for one in products}
    return lambda drill: wanted <= drill.collector.moves


def moved(drill: Drill) -> bool:
    """Tell whether those who came are well, and those who went are gone."""
    left = told(("product_left", GONE))(drill) and not drill.trusts().keys() & {*GONE}
    return left and drill.trusts().keys() >= {*NEW} and drill.all_fine()


MOVES = [
    Scenario(
        "U26 products listed and delisted", faults({"kind": "list", "products": NEW},
                                                   {"kind": "delist", "products": GONE}),
        told(("product_listed", NEW), ("product_delisted", GONE)), 3.0, healed=moved, heal_within=3.0 + WELL_SECONDS,
        check=no_reconnects, victims=GONE, environment=MOVING,
    ),
    Scenario(
        "U26 vanished from the list", faults({"kind": "delist", "products": ["BTC-USD"], "unlisted": True}),
        told(("product_delisted", ["BTC-USD"])), 4.0, healed=told(("product_left", ["BTC-USD"])),
        check=no_reconnects, victims=("BTC-USD",), environment=MOVING, quick=False,
    ),
    Scenario(
        "U26 delisted, and its connection lost", faults({"kind": "delist", "products": ["BTC-USD"]},
                                                        {"kind": "kill", **VICTIM}),
        told(("product_delisted", ["BTC-USD"])), heal_within=3.0 + WELL_SECONDS, check=reconnects(1, 1),
        healed=lambda drill: told(("product_left", ["BTC-USD"]))(drill) and drill.all_fine(), environment=MOVING,
    ),
]  # fmt: skip

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
        lambda drill: drill.counted("asked_again") >= 1, 2.0, check=reconnects(1, 1),
    ),
    Scenario(
        "U24 early and late data", faults({"kind": "early_data", "seconds": None}, {"kind": "kill", **VICTIM}),
        lambda drill: drill.reconnects() == 1, check=reconnects(1, 1),
    ),
]  # fmt: skip

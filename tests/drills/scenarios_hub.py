"""Drills of the hub's own process: starved, stopped, killed, with bugs in it; and of time."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from pathlib import Path

from tests.drills.scenario import (
    EVERYTHING,
    NOTHING,
    Scenario,
    checks,
    faults,
    flat_memory,
    gap_of,
    no_reconnects,
    stays,
)
from tests.drills.stage import Drill


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

# --- around the hub

DOWN_SECONDS = 2.0


def killed(drill: Drill) -> None:
    """SIGKILL, and after a while another hub in its place."""
    drill.restart_hub(kill=True, seconds_down=DOWN_SECONDS)


def consistent(drill: Drill) -> list[str]:
    """Hold that the ledger outlived a kill, says what was missed, and that clients can tell the two hubs apart."""
    problems = []
    body = drill.get("/gaps?limit=10000")
    (before,), now = drill.epochs, body["epoch"]
    if before == now or drill.health()["epoch"] != now:
        problems.append(f"the epoch was {before} and is {now}")
    gaps = body["gaps"]
    if not any(row["epoch"] == before for row in gaps):
        problems.append("the ledger forgot what was before")
    if len({row["id"] for row in gaps}) != len(gaps):
        problems.append("two gaps have one number")
    missed = [row for row in gaps if row["cause"] == "restart"]
    wrong = [row for row in missed if row["open"] or row["healed"] != "backfill" or row["epoch"] != now]
    if len(missed) < 10 or wrong:
        problems.append(f"{len(missed)} gaps of the restart, of them not filled in: {wrong[:2]}")
    for path in Path(drill.settings["STATE_DIR"]).glob("ledger-*.sqlite"):
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
            found = db.execute("pragma integrity_check").fetchall()
        if found != [("ok",)]:
            problems.append(f"the file is broken: {found}")
    return problems


def begin_trouble(drill: Drill) -> None:
    drill.trouble(begins=True)


def end_trouble(drill: Drill) -> None:
    drill.trouble(begins=False)


def all_heard(drill: Drill) -> list[str]:
    """Hold that each error was caught and counted alone, and that the listener beside it heard all, in order."""
    problems = []
    if drill.counted("listener_errors") != drill.counted("raised"):
        problems.append(f"{drill.counted('raised')} raised, {drill.counted('listener_errors')} counted")
    heard, odd = drill.counted("heard"), drill.counted("heard_out_of_order")
    if odd or heard < drill.counted("raised"):
        problems.append(f"heard {heard}, {odd} of them out of order")
    if "a listener of event=ticker_update raised" not in drill.hub.log():
        problems.append("the log does not say so")
    return problems


def workers_failed(drill: Drill) -> int:
    """Return how many of its workers the hub says to have failed."""
    found = [reason for reason in drill.health()["reasons"] if "own workers failed lately" in reason]
    return int(found[0].split()[0]) if found else 0


def all_failed(drill: Drill) -> bool:
    return drill.counted("workers_raised") == workers_failed(drill) == drill.counters_before["workers"]


def all_again(drill: Drill) -> bool:
    return drill.counted("workers_again") == drill.counters_before["workers"] and drill.all_fine()


AROUND = [
    Scenario(
        "A5 SIGKILL and restart", killed, gap_of("restart"), 5.0, victims=EVERYTHING, restarts_hub=True,
        check=consistent,
    ),
    Scenario(
        "A6 a listener raises", begin_trouble, lambda drill: drill.counted("listener_errors") >= 10, 2.0, hold=4.0,
        mend=end_trouble, check=checks(all_heard, no_reconnects, stays()), victims=NOTHING, trouble="listener",
        bugs=True,
    ),
    Scenario(
        "A7 all workers die", begin_trouble, all_failed, 3.0, healed=all_again,
        check=no_reconnects, victims=NOTHING, trouble="workers", bugs=True,
    ),
]  # fmt: skip

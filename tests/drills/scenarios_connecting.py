"""Drills of an endpoint that can't be connected to: refused, mute, not to be trusted, not to be found, gone again.

The waits between two tries are drawn from bounds that double: left to themselves, some hub would wait for a minute. So
each drill caps them (``CAP_SECONDS``), and when the hub is back follows from arithmetic: the longest wait, and what it
needs after that.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.drills.scenario import (
    EVERYTHING,
    VICTIM,
    WELL_SECONDS,
    Scenario,
    checks,
    faults,
    fell,
    lost_by,
    reconnects,
    waited,
)
from tests.drills.stage import Drill

CAP_SECONDS = 2.0
TIMEOUT_SECONDS = 2.0
SLOW_SECONDS = 5.0  # what hub.feed.policy has a cause wait that does not mend itself
CAPPED = {"BACKOFF_CAP_SECONDS": f"{CAP_SECONDS:g}", "CONNECT_TIMEOUT_SECONDS": f"{TIMEOUT_SECONDS:g}"}
BACK_SECONDS = CAP_SECONDS + WELL_SECONDS
SLOWLY_BACK_SECONDS = SLOW_SECONDS + WELL_SECONDS
FIRST_SECONDS = 3.0  # the first try after a loss: at most 1 s later, the pace of connects, and a busy machine


def refused(**fields: Any) -> Callable[[Drill], None]:
    """Return a cause: the victims' connection is lost and upgrades are refused."""
    return faults({"kind": "refuse", "seconds": None, **fields}, {"kind": "kill", **VICTIM})


CONNECTING = [
    Scenario(
        "U15 429 with Retry-After", refused(status=429, retry_after=6), lost_by("http_429"), FIRST_SECONDS, hold=5.0,
        heal_within=6.0 + WELL_SECONDS, check=waited(6.0), environment=CAPPED,
    ),
    Scenario(
        "U15 503", refused(status=503), lost_by("http_503"), FIRST_SECONDS, hold=4.0,
        heal_within=BACK_SECONDS, environment=CAPPED,
    ),
    Scenario(
        "U15 301", refused(status=301), lost_by("http_301"), FIRST_SECONDS, hold=4.0,
        heal_within=SLOWLY_BACK_SECONDS, environment=CAPPED,
    ),
    Scenario(
        "U15 200 with HTML", refused(status=200), lost_by("http_200"), FIRST_SECONDS, hold=4.0,
        heal_within=BACK_SECONDS, environment=CAPPED,
    ),
    Scenario(
        "U17 handshake hangs", refused(hang=True), lost_by("connect_timeout"), FIRST_SECONDS + TIMEOUT_SECONDS,
        hold=4.0, heal_within=BACK_SECONDS, environment=CAPPED,
    ),
    Scenario(
        "U21 the exchange restarts", faults({"kind": "restart", "seconds_down": 2.0}), fell("behind", "stale"), 1.5,
        heal_within=2.0 + BACK_SECONDS, victims=EVERYTHING, environment=CAPPED,  # it is down for 2 s
    ),
    Scenario(
        "U22 flapping", faults({"kind": "flap", "seconds": None, "after_seconds": 2.0}, {"kind": "kill", **VICTIM}),
        lambda drill: drill.reconnects() >= 2, 2 * FIRST_SECONDS + 2.0, hold=9.0, heal_within=BACK_SECONDS,
        check=reconnects(2, 6), environment=CAPPED,
    ),
]  # fmt: skip

# --- an endpoint that can't be trusted, or not be found


def presented(certificate: str | None, victims: dict[str, Any] = VICTIM) -> Callable[[Drill], None]:
    """Return a cause: the endpoint shows another certificate (None: nothing at all), and connections are lost."""

    def cause(drill: Drill) -> None:
        drill.present(certificate)
        drill.fault("kill", **victims)

    return cause


def present_good(drill: Drill) -> None:
    drill.present("good")


def unresolved(drill: Drill) -> None:
    """The name of the endpoint is not known any more, and the victims' connection is lost."""
    drill.trouble(begins=True)
    drill.fault("kill", **VICTIM)


def resolved(drill: Drill) -> None:
    drill.trouble(begins=False)


def said_nothing(drill: Drill) -> list[str]:
    """Hold that the exchange, behind an endpoint that was not to be trusted, was not even asked; at a slow pace."""
    asked = [at for at in drill.sim.control("connections")["connects"] if at >= drill.begun_at]
    tried = len(drill.connects())
    problems = [f"{len(asked)} requests went through a bad endpoint"] if asked else []
    return problems if 1 <= tried <= 6 else [*problems, f"{tried} connects while it was bad"]


def others_live(drill: Drill) -> list[str]:
    """Hold that the loss shows in /connections and /health, and that the victims alone are without a proof."""
    health, slot = drill.health(), drill.victim_slot()
    problems = [] if slot["status"] in ("reconnecting", "failed") else [f"the slot says {slot['status']}"]
    if health["connected_connections"] != health["total_connections"] - 1:
        problems.append(f"{health['connected_connections']} of {health['total_connections']} connections are up")
    tickers = drill.hub.get("/tickers").json()
    proved = [one for one in drill.victims if tickers[one]["trust"] in ("live", "quiet")]
    if believed := [one for one in proved if tickers[one]["source"] != "rest"]:  # which says so itself
        problems.append(f"believed without a connection: {believed}")
    return problems


def none_by_socket(drill: Drill) -> list[str]:
    """Hold that the hub says critical, and that what prices there are come by REST, and say so."""
    health = drill.health()
    problems = [] if health["status"] == "critical" else [f"/health says {health['status']}"]
    if not any("connections is up" in reason for reason in health["reasons"]):
        problems.append(f"/health does not say why: {health['reasons']}")
    rows = drill.hub.get("/tickers").json().items()
    if strange := [one for one, row in rows if row["trust"] != "stale" and row["source"] != "rest"]:
        problems.append(f"neither stale nor by REST without any connection: {strange}")
    return problems


def critical_by(cause: str) -> Callable[[Drill], bool]:
    """Return a question: all connections were lost for this cause, and /health is critical."""
    return lambda drill: drill.health()["status"] == "critical" and all(
        row["last_cause"] == cause for row in drill.slots().values()
    )


STALE_SECONDS = 6.5  # stale_after_ms, and a look
HOST = "exchange.test"
ENDPOINTS = [
    Scenario(
        "U16 TLS expired", presented("expired"), lost_by("tls"), FIRST_SECONDS, hold=4.0, mend=present_good,
        while_broken=checks(others_live, said_nothing), check=waited(SLOW_SECONDS), heal_within=SLOWLY_BACK_SECONDS,
        tls=True, environment=CAPPED,
    ),
    Scenario(
        "U16 TLS wrong host", presented("wrong"), lost_by("tls"), FIRST_SECONDS, hold=4.0, mend=present_good,
        while_broken=checks(others_live, said_nothing), check=waited(SLOW_SECONDS), heal_within=SLOWLY_BACK_SECONDS,
        tls=True, environment=CAPPED, quick=False,
    ),
    Scenario(
        "U16 TLS stalled", presented(None), lost_by("connect_timeout"), FIRST_SECONDS + TIMEOUT_SECONDS, hold=6.0,
        mend=present_good, while_broken=checks(others_live, said_nothing),
        heal_within=TIMEOUT_SECONDS + BACK_SECONDS, tls=True, environment=CAPPED, quick=False,
    ),
    Scenario(
        "U16 TLS expired for all", presented("expired", {"connections": "all"}), critical_by("tls"), FIRST_SECONDS,
        hold=STALE_SECONDS, mend=present_good, while_broken=checks(none_by_socket, said_nothing),
        heal_within=SLOWLY_BACK_SECONDS, victims=EVERYTHING, tls=True, environment=CAPPED, quick=False,
    ),
    Scenario(
        "U16 DNS fails", unresolved, lost_by("dns"), FIRST_SECONDS, hold=4.0, mend=resolved,
        while_broken=others_live, heal_within=BACK_SECONDS, host=HOST, trouble="names", environment=CAPPED,
    ),
    Scenario(
        "U16 DNS takes 30 s", unresolved, lost_by("dns"), FIRST_SECONDS + TIMEOUT_SECONDS, hold=4.0,
        mend=resolved, while_broken=others_live, heal_within=TIMEOUT_SECONDS + BACK_SECONDS, host=HOST,
        trouble="names_stalled", environment=CAPPED, quick=False,
    ),
]  # fmt: skip

"""What a drill is: how a fault is caused, how one can tell that it was noticed and that it healed, and within when."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.drills.stage import Drill, Resources

VICTIM: dict[str, Any] = {"connections": {"product": "BTC-USD"}}
EVERYTHING: tuple[str, ...] = ("*",)  # hits all products: there are no bystanders
NOTHING: tuple[str, ...] = ()  # all of them are bystanders
HEARTBEATS_SECONDS = 3.0
# From a connect that is taken to a hub that is well: a heartbeat of each product (1 s); a gap of each, 0.3 s after it
# was seen, at 8 requests a second, twice where REST lags (1.5 s later); and our own looks.
WELL_SECONDS = 6.0


def nothing_wrong(drill: Drill) -> list[str]:  # noqa: ARG001 - the form of a check
    return []


def clear(drill: Drill) -> None:
    """End what the simulator does wrong."""
    drill.sim.control("clear", {})


@dataclass(frozen=True)
class Scenario:
    """``hold``: seconds after which ``mend`` ends the fault (None: it ends by itself).

    ``victims``: the products that it hits, None for those of BTC's socket; all others are bystanders. Where ``noticed``
    is None there is nothing to notice: the fault is held, and nothing must happen. ``tls`` puts a proxy that speaks TLS
    in front of the exchange, ``host`` is the exchange's name in ``WS_URL``. ``trouble`` names what can go wrong in the
    hub's own process (``hub_program``); ``bugs`` says that its log is to hold the tracebacks of it.
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
    mend: Callable[[Drill], None] = clear
    victims: Sequence[str] | None = None
    rest_up: bool = True
    restarts_hub: bool = False
    times_are_right: bool = True
    quick: bool = True
    tls: bool = False
    host: str = "127.0.0.1"
    trouble: str = ""
    bugs: bool = False
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

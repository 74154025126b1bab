"""When the hub calls for somebody: the rules of the operational alerts. Pure; looked at each second.

In words:

- A condition that holds for as long as its rule says *fires*; one that is over for ``CLEAR_SECONDS`` is *resolved*.
  What comes and goes faster does neither. The bounds of coverage and errors are wider for what fires already.
- No connection up: after ``NONE_UP_SECONDS``. A path gone while another is up: after ``PATH_SECONDS``. Single
  connections down: after ``LOST_SECONDS``, all of them in one alert. One that is back sooner calls for nobody, but one
  that is lost ``FLAPS`` times within ``FLAP_SECONDS`` does.
- While no connection is up, low coverage, errors and single connections do not begin to fire: one alert says it.
- Priority pairs whose price is behind or stale: see ``hub.detect.pairs``.
- While the hub is starting or draining nothing fires and nothing is resolved. Time in which nobody looked (the hub
  stood still) counts for nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from hub.detect.health import HIGH_ERROR_RATIO, LOW_COVERAGE_PERCENT
from hub.detect.pairs import Pairs, named
from hub.detect.spikes import PriceSpike
from hub.detect.volume import VolumeAlert
from hub.model import HealthStatus

OPERATIONAL = ("coverage", "errors", "connections", "priority")
SIGNALS = ("volume", "price")
KINDS = (*OPERATIONAL, *SIGNALS)
FIRING, RESOLVED, ONCE = "firing", "resolved", "once"
WARNING, CRITICAL, INFO = "warning", "critical", "info"

COVERED_AGAIN_PERCENT = 85.0
FEW_ERRORS_RATIO = 0.04
CLEAR_SECONDS = 5.0
COVERAGE_SECONDS = 5.0
ERRORS_SECONDS = 5.0  # their ratio is that of a minute
NONE_UP_SECONDS = 5.0  # after a restart of the exchange all are back sooner, mostly
PATH_SECONDS = 10.0
LOST_SECONDS = 20.0
FLAPS = 4
FLAP_SECONDS = 300.0
UNSEEN_SECONDS = 3.0  # a look that comes this late: the hub itself stood still


class Alert(NamedTuple):
    """``key`` stays the same for as long as it is about the same; ``since`` in wall-clock seconds.

    ``state``: firing, resolved, or ``once`` for what has no end. ``severity``: critical, warning, info.
    """

    key: str
    kind: str
    severity: str
    state: str
    text: str
    since: float
    symbol: str | None = None


class Slot(NamedTuple):
    """One connection: whether it is up, and how often it gave a socket up so far. ``path``: a key of ``Seen.paths``."""

    connection_id: str
    path: str
    up: bool
    reconnects: int


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known at one moment. ``now``: monotonic, ``wall``: wall-clock seconds.

    ``doubtful_pairs``: the priority pairs that can't be trusted → the reason. ``pairs``: all of them → why nobody
    judges the price, empty where somebody does; ``pinned``: those of ``PRIORITY_PAIRS``.
    ``paths``: name → (connections up, all).
    """

    now: float
    wall: float
    status: HealthStatus
    coverage_percentage: float
    error_ratio: float
    total_products: int
    slots: Collection[Slot] = ()
    paths: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    doubtful_pairs: Mapping[str, str] = field(default_factory=dict)
    pairs: Mapping[str, str] = field(default_factory=dict)
    pinned: Collection[str] = ()
    draining: bool = False


class _Condition(NamedTuple):
    key: str
    kind: str
    severity: str
    hold_seconds: float
    text: str
    over: str  # what is said when it is
    symbol: str | None = None
    age_seconds: float = 0.0  # that it had when it was first seen


@dataclass(slots=True)
class _Held:
    """A condition that was seen; times are monotonic seconds."""

    condition: _Condition
    begun_at: float
    since: float  # wall-clock seconds
    firing: bool = False
    clear_at: float | None = None  # since when it is over


class Rules:
    """Owner of what was seen before: conditions, and when connections were lost. Bounded by slots, paths and pairs."""

    def __init__(self) -> None:
        self._held: dict[str, _Held] = {}
        self._down_at: dict[str, float] = {}  # connection → monotonic
        self._slots: dict[str, Slot] = {}  # as they were at the last look
        self._lost_at: dict[str, deque[float]] = {}  # connection → when it was lost, the last times
        self._pairs = Pairs()
        self._looked_at: float | None = None

    def step(self, seen: Seen) -> list[Alert]:
        """Return what fires, and what is resolved, as of now."""
        now = seen.now
        self._forgive(now)
        self._note_slots(seen)
        if seen.draining or seen.status is HealthStatus.STARTING:
            return []
        found = {condition.key: condition for condition in self._conditions(seen)}
        changes = []
        for key, condition in found.items():
            held = self._held.setdefault(key, _Held(condition, now, seen.wall - condition.age_seconds))
            held.condition, held.clear_at = condition, None
            if not held.firing and now - held.begun_at >= condition.hold_seconds:
                held.firing = True
                changes.append(_alert(held, FIRING))
        for key in self._held.keys() - found.keys():
            held = self._held[key]
            held.clear_at = now if held.clear_at is None else held.clear_at
            if not held.firing or now - held.clear_at >= CLEAR_SECONDS:
                del self._held[key]
                if held.condition.kind == "priority" and (over := self._pairs.over(key, seen.pairs)) is not None:
                    held.condition = held.condition._replace(over=over)
                changes += [_alert(held, RESOLVED)] if held.firing else []
        return changes

    def restore(self, alerts: Collection[Alert], now: float) -> None:
        """Let these fire: another process has told so. What does not hold any more is resolved as all else is."""
        for alert in alerts:
            over = f"no longer so after a restart of the hub: {alert.text}"
            condition = _Condition(alert.key, alert.kind, alert.severity, 0.0, alert.text, over, alert.symbol)
            self._held.setdefault(alert.key, _Held(condition, now, alert.since)).firing = True

    def firing(self) -> list[Alert]:
        """Return what fires now, as it is now, the oldest first."""
        return [_alert(held, FIRING) for held in list(self._held.values()) if held.firing]

    def _forgive(self, now: float) -> None:
        late = now - self._looked_at if self._looked_at is not None else 0.0
        self._looked_at = now
        if late < UNSEEN_SECONDS:
            return
        for held in self._held.values():
            held.begun_at += late
            held.clear_at = held.clear_at + late if held.clear_at is not None else None
        self._down_at = {slot: at + late for slot, at in self._down_at.items()}
        self._pairs.forgive(late)

    def _note_slots(self, seen: Seen) -> None:
        down = {slot.connection_id for slot in seen.slots if not slot.up}
        self._down_at = {slot: self._down_at.get(slot, seen.now) for slot in down}
        lost_at = {}
        for slot in seen.slots:
            before = self._slots.get(slot.connection_id)
            times = lost_at[slot.connection_id] = self._lost_at.get(slot.connection_id, deque(maxlen=FLAPS))
            # it may be back already; an attempt that fails is no loss
            if before is not None and before.up and (not slot.up or slot.reconnects > before.reconnects):
                times.append(seen.now)
        self._lost_at = lost_at
        self._slots = {slot.connection_id: slot for slot in seen.slots}

    def _fires(self, key: str) -> bool:
        return key in self._held and self._held[key].firing

    def _conditions(self, seen: Seen) -> Iterator[_Condition]:
        none_up = bool(seen.slots) and not any(slot.up for slot in seen.slots)
        uncovered, failing = self._fires("coverage"), self._fires("errors")
        low = COVERED_AGAIN_PERCENT if uncovered else LOW_COVERAGE_PERCENT
        if seen.total_products and seen.coverage_percentage < low and (uncovered or not none_up):
            text = f"only {seen.coverage_percentage:g} % of {seen.total_products} products are covered"
            yield _Condition("coverage", "coverage", WARNING, COVERAGE_SECONDS, text, "the products are covered again")
        if seen.error_ratio > (FEW_ERRORS_RATIO if failing else HIGH_ERROR_RATIO) and (failing or not none_up):
            text = f"{100 * seen.error_ratio:.1f} % errors among the messages of the last minute"
            yield _Condition("errors", "errors", WARNING, ERRORS_SECONDS, text, "the errors are few again")
        down = none_up or seen.status is HealthStatus.CRITICAL
        if down:
            text = f"none of {len(seen.slots)} connections to the exchange is up"
            yield _Condition("connections:none", "connections", CRITICAL, NONE_UP_SECONDS, text,
                             "connections to the exchange are up again")  # fmt: skip
        part = (*self._of_paths(seen), *self._of_slots(seen))
        # with none up a part is not worth a word, but what was told of it is not over
        yield from (one for one in part if not down or self._fires(one.key))
        for doubt in self._pairs.doubts(seen.now, seen.doubtful_pairs, seen.pinned, self._fires):
            yield _Condition(doubt.key, "priority", CRITICAL, 0.0, doubt.text, "", doubt.symbol, doubt.age_seconds)

    def _of_paths(self, seen: Seen) -> Iterator[_Condition]:
        for name, (up, total) in seen.paths.items():
            if total and not up:
                text = f"{name} is gone: none of its {total} connections is up, the other path carries on"
                yield _Condition(f"path:{name}", "connections", WARNING, PATH_SECONDS, text, f"{name} is back")

    def _of_slots(self, seen: Seen) -> Iterator[_Condition]:
        lasts = self._fires("connections:lost")
        gone: set[str] = set() if lasts else {name for name, (up, _) in seen.paths.items() if not up}
        lost = [
            slot.connection_id for slot in seen.slots
            if slot.path not in gone and seen.now - self._down_at.get(slot.connection_id, seen.now) >= LOST_SECONDS
        ]  # fmt: skip
        if lost:
            text = f"down for over {LOST_SECONDS:g} s: {named(lost)}"
            yield _Condition("connections:lost", "connections", WARNING, 0.0, text, "no connection is down for long",
                             age_seconds=LOST_SECONDS)  # fmt: skip
        flapping = [
            connection_id for connection_id, times in self._lost_at.items()
            if len(times) == FLAPS and seen.now - times[0] <= FLAP_SECONDS
        ]  # fmt: skip
        if flapping:
            text = f"lost {FLAPS} times or more within {FLAP_SECONDS / 60:g} minutes: {named(flapping)}"
            yield _Condition("connections:flapping", "connections", WARNING, 0.0, text,
                             "no connection is lost again and again")  # fmt: skip


def volume_signal(alert: VolumeAlert, at: float) -> Alert:
    """Return a volume alert as a signal."""
    text = f"{alert.product_id}: volume is {alert.ratio:.1f} times the usual"
    return Alert(f"volume:{alert.product_id}", "volume", INFO, ONCE, text, at, alert.product_id)


def price_signal(spike: PriceSpike, at: float) -> Alert:
    """Return the start or the end of a price spike as a signal; ``since`` is its start."""
    started = spike.event_type == "spike_start"
    text = f"{spike.product_id}: {spike.spike_type}{'' if started else ' is over'}, {spike.pct_change:+.2f} %"
    state = FIRING if started else RESOLVED
    return Alert(f"price:{spike.product_id}", "price", INFO, state, text, at - spike.seconds, spike.product_id)


def price_unwatched(product_id: str, at: float) -> Alert:
    """Return the end of a price spike of a product that is not watched any more."""
    text = f"{product_id}: it is not watched any more, with its price spike"
    return Alert(f"price:{product_id}", "price", INFO, RESOLVED, text, at, product_id)


def _alert(held: _Held, state: str) -> Alert:
    found = held.condition
    text = found.over if state == RESOLVED else found.text
    return Alert(found.key, found.kind, found.severity, state, text, held.since, found.symbol)

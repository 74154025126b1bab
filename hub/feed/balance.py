"""Which products should change their connection, by measured load. Pure.

The load of a product is its tickers a second, one heartbeat a second, and a bonus if it is a priority product: so busy
ones and priority ones come to sit apart. Whatever is done must be worth it, and nothing is done over and over:

- It begins with a connection that is *crowded*: its load is over ``CROWDED.load`` times the mean, ``MIN_EXCESS`` above
  it, and steps could make it smaller by ``CROWDED.share``, and none that they touch larger than that. A busy product
  whose company is light stays where it is, and so does its company: to move it would change nothing.
- Once it has begun, every connection is relieved that is over ``RELIEVED``, which is less in both. So what is left
  then is far from beginning again: noise does not move products.
- A step counts only if the larger of the two connections that it touches becomes smaller by ``MIN_GAIN``.
- A product that was moved rests (``Resting``), whatever is measured of it.
- A connection that is *closed* counts with the load that it had, and nothing goes to it, nor from it.

A step is a swap, which leaves every connection as many products as it had, or a plain move where the counts allow it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

MIN_EXCESS = 20.0  # load above the mean: what a connection carries without any effort is no reason
MIN_GAIN, MIN_GAIN_SHARE = 5.0, 0.02  # by one step: load, and share of the connection's
HEARTBEATS_PER_SECOND = 1.0
PRIORITY_SHARE = 0.5  # a priority product's bonus, as a share of the mean connection's load
MAX_STEPS = 16
TRIED_TARGETS, TRIED_PRODUCTS = 8, 16  # the lightest connections; the heaviest and the lightest products
LARGEST_TO_SMALLEST = 4 / 3  # counts of products


class Bar(NamedTuple):
    """A connection's load in means, and the share of it that steps could take away."""

    load: float
    share: float


CROWDED, RELIEVED = Bar(1.5, 0.25), Bar(1.25, 0.12)


class Step(NamedTuple):
    """``product_id`` goes from ``source`` to ``target``, ``partner`` (if any) the other way; ``why`` in words."""

    product_id: str
    source: str
    target: str
    partner: str | None
    why: str


class Plan(NamedTuple):
    """What would move; ``why`` also where nothing would. ``loads``: connection → its load now."""

    steps: tuple[Step, ...]
    why: str
    loads: dict[str, float]
    mean: float


class _Shards:
    """Connections with their products while steps are tried out."""

    def __init__(
        self, products: Mapping[str, Sequence[str]], load: Mapping[str, float], closed: Collection[str]
    ) -> None:
        self.products = {name: list(items) for name, items in products.items()}
        self.load = load
        self.closed = closed
        self.loads = {name: sum(load[item] for item in items) for name, items in products.items()}

    def apply(self, step: Step) -> None:
        ways = [(step.product_id, step.source, step.target)]
        if step.partner is not None:
            ways.append((step.partner, step.target, step.source))
        for product_id, source, target in ways:
            self.products[source].remove(product_id)
            self.products[target].append(product_id)
            self.loads[source] -= self.load[product_id]
            self.loads[target] += self.load[product_id]


def product_loads(
    shards: Mapping[str, Sequence[str]], ticks: Mapping[str, float], priority: Collection[str]
) -> dict[str, float]:
    """Return product → its load, of all that are on a connection; ``ticks`` a second."""
    load = {item: ticks.get(item, 0.0) + HEARTBEATS_PER_SECOND for items in shards.values() for item in items}
    bonus = PRIORITY_SHARE * sum(load.values()) / max(1, len(shards))
    return {item: value + (bonus if item in priority else 0.0) for item, value in load.items()}


def plan(
    shards: Mapping[str, Sequence[str]], ticks: Mapping[str, float], priority: Collection[str], per_connection: int,
    resting: Collection[str] = (), begun: bool = False, closed: Collection[str] = (),
) -> Plan:  # fmt: skip
    """Return what should move, ``MAX_STEPS`` at most: the smallest change that spreads the load.

    ``begun``: an earlier plan has begun with it a moment ago.
    """
    tried = _Shards(shards, product_loads(shards, ticks, priority), closed)
    loads = dict(tried.loads)
    mean = sum(loads.values()) / max(1, len(loads))
    steps: list[Step] = []
    fullest_first = sorted(loads.keys() - closed, key=lambda name: (-loads[name], name))
    for source in fullest_first:
        begun = begun or bool(_relieve(tried, source, mean, CROWDED, per_connection, resting, MAX_STEPS))
    for source in fullest_first if begun else ():
        found = _relieve(tried, source, mean, RELIEVED, per_connection, resting, MAX_STEPS - len(steps))
        for step in found:
            tried.apply(step)
        steps += found
        resting = {*resting, *(item for step in found for item in (step.product_id, step.partner or ""))}
    fullest = max(loads.values(), default=0.0)
    state = f"the fullest connection has {fullest:.0f}/s, the mean is {mean:.0f}/s"
    if steps:
        why = f"{state}: it would be {max(tried.loads.values()):.0f}/s"
    elif fullest > max(CROWDED.load * mean, mean + MIN_EXCESS):
        why = f"{state}: no step would make it much less"
    else:
        why = f"{state}: nothing has to move"
    return Plan(tuple(steps), why, loads, mean)


def _relieve(
    shards: _Shards, source: str, mean: float, bar: Bar, per_connection: int, resting: Collection[str], most: int
) -> list[Step]:
    """Return the steps that take a connection that is over the bar down to ``RELIEVED``, or as far as it goes."""
    full = shards.loads[source]
    if full <= max(bar.load * mean, mean + MIN_EXCESS):
        return []
    tried, still = _Shards(shards.products, shards.load, shards.closed), set(resting)
    steps: list[Step] = []
    while len(steps) < most and tried.loads[source] > RELIEVED.load * mean:
        targets = sorted(tried.loads.keys() - tried.closed, key=lambda name: (tried.loads[name], name))[:TRIED_TARGETS]
        step = _best(tried, source, targets, per_connection, still)
        if step is None:
            break
        steps.append(step)
        tried.apply(step)
        still.update((step.product_id, step.partner or ""))
    largest = max(tried.loads[name] for name in (source, *(step.target for step in steps)))
    return steps if largest <= (1 - bar.share) * full else []


def _best(
    tried: _Shards, source: str, targets: Sequence[str], per_connection: int, resting: Collection[str]
) -> Step | None:
    """Return the step that takes most from a connection, None if none is worth it."""
    load, full = tried.load, tried.loads[source]

    def movable(name: str, heaviest: bool) -> list[str]:
        items = [item for item in tried.products[name] if item not in resting]
        return sorted(items, key=lambda item: load[item], reverse=heaviest)[:TRIED_PRODUCTS]

    best, least = None, full - max(MIN_GAIN, MIN_GAIN_SHARE * full)
    for target in targets:
        if target == source:
            continue
        room = _has_room(tried, source, target, per_connection)
        partners: list[str | None] = [*([None] if room else []), *movable(target, heaviest=False)]
        for product_id in movable(source, heaviest=True):
            for partner in partners:
                less = load[product_id] - (load[partner] if partner is not None else 0.0)
                larger = max(full - less, tried.loads[target] + less)
                if larger < least:
                    best, least = (product_id, target, partner), larger
    if best is None:
        return None
    why = f"{source} has {full:.0f}/s, {best[1]} {tried.loads[best[1]]:.0f}/s; the larger would be {least:.0f}/s"
    return Step(best[0], source, best[1], best[2], why)


def _has_room(tried: _Shards, source: str, target: str, per_connection: int) -> bool:
    """Tell whether a connection may have one product more, and the source one less."""
    counts = {name: len(items) for name, items in tried.products.items()}
    counts[source] -= 1
    counts[target] += 1
    return counts[target] <= per_connection and counts[target] <= LARGEST_TO_SMALLEST * min(counts.values())


class Resting:
    """Products that were moved lately; one thread adds, any may ask. Times: monotonic seconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until: dict[str, float] = {}

    def add(self, product_ids: Collection[str], now: float) -> None:
        """Let these rest."""
        rest = {item: until for item, until in self._until.items() if until > now}
        self._until = {**rest, **dict.fromkeys(product_ids, now + self._seconds)}

    def end(self, product_ids: Collection[str]) -> None:
        """Let these rest no more: they did not move after all."""
        self._until = {item: until for item, until in self._until.items() if item not in product_ids}

    def at(self, now: float) -> set[str]:
        """Return those that rest."""
        return {item for item, until in self._until.items() if until > now}


class Meter:
    """Ticks a second of each product over a window, out of counts that only grow. Times: monotonic seconds.

    Only the time counts for which its connection was open: one that is cut again and again is measured by what it
    carries meanwhile. Over all of the time it would seem light. Of one that is gone the last measure stays. One thread
    samples, any may ask.
    """

    def __init__(self, window_seconds: float, samples: int) -> None:
        self._window = window_seconds
        self._every = window_seconds / samples
        self.start_over()

    def start_over(self) -> None:
        """Forget what was measured: the hub stood still."""
        self._looked_at = self._sampled_at = float("-inf")
        self._open: dict[str, float] = {}  # connection → seconds for which it was open since the last sample
        self._history: dict[str, tuple[tuple[float, int], ...]] = {}  # product → (open seconds, count), oldest first
        self._found: tuple[float, dict[str, float]] = 0.0, {}

    def sample(
        self, now: float, counts: Mapping[str, int], shards: Mapping[str, Sequence[str]], are_open: Collection[str]
    ) -> bool:
        """Note who is open, for the time since the last call; keep the counts if it is time for it, and tell."""
        elapsed = now - self._looked_at if self._looked_at >= 0 else 0.0
        self._looked_at = now
        for name in are_open:
            self._open[name] = self._open.get(name, 0.0) + elapsed
        if now - self._sampled_at < self._every:
            return False
        self._sampled_at = now
        known, self._history = self._history, {}
        for name, product_ids in shards.items():
            seconds = self._open.pop(name, 0.0)
            for item in product_ids:
                if item not in self._history:  # one that is handed over is on two
                    self._history[item] = self._longer(known.get(item, ()), seconds, counts.get(item, 0))
        self._open = {}
        spans = {item: history[-1][0] - history[0][0] for item, history in self._history.items()}
        rates = {item: (self._history[item][-1][1] - self._history[item][0][1]) / span
                 for item, span in spans.items() if span}  # fmt: skip
        self._found = min((spans[item] for name in are_open for item in shards[name]), default=0.0), rates
        return True

    def _longer(
        self, history: tuple[tuple[float, int], ...], seconds: float, count: int
    ) -> tuple[tuple[float, int], ...]:
        """Return it with what was counted since, as long as the window."""
        if not history:
            return ((0.0, count),)
        if not seconds:
            return history
        history = (*history, (history[-1][0] + seconds, count))
        while len(history) > 2 and history[-1][0] - history[1][0] >= self._window:
            history = history[1:]
        return history

    def rates(self) -> tuple[float, dict[str, float]]:
        """Return (seconds for which all that are open were measured, product → ticks a second)."""
        return self._found

"""Priority pairs whose price can't be trusted: which of them call for somebody, and in how many alerts. Pure.

- Up to ``ONE_BY_ONE`` pairs have an alert each. More have one cause, mostly: one alert names how many, and the first.
- Pairs of ``PRIORITY_PAIRS`` are counted apart from those that any client may add: these do not hide those.
- Of clients' pairs ``ONE_BY_ONE`` alerts begin within ``PACE_SECONDS``; what is over it goes into the common one.
- The end says what is so: that a price can be trusted again, or that nobody judges it any more.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import NamedTuple

PREFIX = "priority:"
MANY_PINNED, MANY = f"{PREFIX}pinned", f"{PREFIX}others"  # no product is named so
ONE_BY_ONE = 3
PRIORITY_SECONDS = 5.0
PACE_SECONDS = 300.0
NAMED = 3


class Doubt(NamedTuple):
    """What an alert is about; ``age_seconds``: since when the first of its pairs is in doubt."""

    key: str
    text: str
    age_seconds: float
    symbol: str | None = None


class Pairs:
    """Owner of since when each pair is in doubt, and of which an alert for many is. Times: monotonic seconds."""

    def __init__(self) -> None:
        self._doubt_at: dict[str, float] = {}
        self._begun_at: deque[float] = deque(maxlen=ONE_BY_ONE)  # of alerts of single pairs of clients
        self._members: dict[str, dict[str, None]] = {}  # key of an alert for many → its pairs so far

    def doubts(
        self, now: float, doubtful: Mapping[str, str], pinned: Collection[str], fires: Callable[[str], bool]
    ) -> Iterator[Doubt]:  # fmt: skip
        """Yield what is to fire, or goes on; ``doubtful``: pair → reason, ``fires``: whether a key does already."""
        self._doubt_at = {pair: self._doubt_at.get(pair, now) for pair in doubtful}
        for many in (MANY_PINNED, MANY):
            chosen = {pair: why for pair, why in doubtful.items() if (pair in pinned) == (many == MANY_PINNED)}
            yield from self._of_group(many, now, chosen, fires)

    def _of_group(
        self, many: str, now: float, doubtful: Mapping[str, str], fires: Callable[[str], bool]
    ) -> Iterator[Doubt]:  # fmt: skip
        together = fires(many)
        if not together:
            self._members.pop(many, None)
        alone = [pair for pair in doubtful if fires(PREFIX + pair)]
        fresh = [
            pair for pair in doubtful
            if pair not in alone and (together or now - self._doubt_at[pair] >= PRIORITY_SECONDS)
        ]  # fmt: skip
        if together or len(alone) + len(fresh) > ONE_BY_ONE or (many == MANY and not self._in_pace(now, len(fresh))):
            if fresh:
                yield self._for_many(many, now, {pair: doubtful[pair] for pair in fresh})
        else:
            if many == MANY:
                self._begun_at.extend([now] * len(fresh))
            alone += fresh
        for pair in alone:
            text = f"the price of the priority pair {pair} can't be trusted: {doubtful[pair]}"
            yield Doubt(PREFIX + pair, text, now - self._doubt_at[pair], pair)

    def _in_pace(self, now: float, count: int) -> bool:
        return sum(now - at < PACE_SECONDS for at in self._begun_at) + count <= ONE_BY_ONE

    def _for_many(self, many: str, now: float, doubtful: Mapping[str, str]) -> Doubt:
        self._members.setdefault(many, {}).update(dict.fromkeys(doubtful))
        reasons = set(doubtful.values())
        why = f": {reasons.pop()}" if len(reasons) == 1 else ""
        what = "the price of 1 priority pair" if len(doubtful) == 1 else f"the prices of {len(doubtful)} priority pairs"
        age = now - min(self._doubt_at[pair] for pair in doubtful)
        return Doubt(many, f"{what} can't be trusted: {named(doubtful)}{why}", age)

    def over(self, key: str, pairs: Mapping[str, str]) -> str | None:
        """Return what is said when an alert is over; ``pairs``: each pair of now → why nobody judges it, if so.

        None for an alert that another process fired.
        """
        if key not in (MANY, MANY_PINNED):
            pair = key.removeprefix(PREFIX)
            if pair not in pairs:
                return f"{pair} is no priority pair any more: its price is not judged as one"
            if pairs[pair]:
                return f"the price of the priority pair {pair} is not judged any more: {pairs[pair]}"
            return f"the price of the priority pair {pair} can be trusted again"
        if (members := self._members.get(key)) is None:
            return None
        gone = [pair for pair in members if pair not in pairs]
        off = [pair for pair in members if pairs.get(pair)]
        again = len(members) - len(gone) - len(off)
        parts = [f"{again} can be trusted again"] if again else []
        parts += [f"{len(gone)} are watched as such no more ({named(gone)})"] if gone else []
        parts += [f"{len(off)} are not judged any more, since nobody can trade them ({named(off)})"] if off else []
        return f"of the priority pairs that could not be trusted, {'; '.join(parts)}"

    def forgive(self, seconds: float) -> None:
        """Let time count for nothing."""
        self._doubt_at = {pair: at + seconds for pair, at in self._doubt_at.items()}


def named(items: Iterable[str]) -> str:
    """Return the first of them, and how many more there are."""
    found = list(items)
    more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
    return ", ".join(found[:NAMED]) + more

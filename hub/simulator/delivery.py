"""What goes wrong with a product's frames on the way to its subscribers: lost, twice, late, spoilt, withheld."""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson

from hub.simulator.market import Tick
from hub.simulator.session import Session
from hub.simulator.timed import TimedSet


class Stuck(NamedTuple):
    """A product whose tickers are withheld: everywhere, or only on the connections of ``indexes``."""

    until: float
    indexes: set[int] | None
    until_resubscribed: bool


class BadTicker(NamedTuple):
    """How an extra frame differs from the right one."""

    fields: dict[str, Any]
    removed: tuple[str, ...]

    def spoil(self, frame: bytes) -> bytes:
        """Return the frame with its fields replaced and removed."""
        fields = {**orjson.loads(frame), **self.fields}
        return orjson.dumps({name: value for name, value in fields.items() if name not in self.removed})


class Delivery:
    """The faults of single products. Times are monotonic seconds."""

    def __init__(self) -> None:
        self.no_heartbeats = TimedSet()
        self._drops: dict[str, int] = {}
        self._duplicates: dict[str, int] = {}
        self._reorders: dict[str, int] = {}
        self._held: dict[str, bytes] = {}
        self._bad: dict[str, BadTicker] = {}
        self._bad_left: dict[str, int] = {}
        self._stuck: dict[str, Stuck] = {}

    def drop(self, product_id: str, count: int) -> None:
        """Send no ticker of the product's next ``count`` trades."""
        _add(self._drops, product_id, count)

    def duplicate(self, product_id: str, count: int) -> None:
        """Send the product's next ``count`` tickers twice."""
        _add(self._duplicates, product_id, count)

    def reorder(self, product_id: str, count: int) -> None:
        """Hold the product's next ``count`` tickers back; each leaves after the one that follows it."""
        _add(self._reorders, product_id, count)

    def spoil(self, product_id: str, bad: BadTicker, count: int) -> None:
        """Send a bad frame in front of each of the product's next ``count`` tickers."""
        self._bad[product_id], self._bad_left[product_id] = bad, count

    def withhold(self, product_id: str, stuck: Stuck) -> None:
        """Send no ticker of a product."""
        self._stuck[product_id] = stuck

    def drops(self, product_id: str) -> bool:
        """Tell whether a trade's ticker is lost, and count it off."""
        return _count_off(self._drops, product_id)

    def frames(self, tick: Tick) -> list[bytes]:
        """Return what leaves now that this trade has happened, in order."""
        product_id = tick.product_id
        if not (self._reorders or self._held or self._duplicates or self._bad_left):
            return [tick.frame]
        frames = [tick.frame]
        if _count_off(self._duplicates, product_id):
            frames.append(tick.frame)
        if _count_off(self._bad_left, product_id):
            frames.insert(0, self._bad[product_id].spoil(tick.frame))
        if product_id in self._held:
            frames.append(self._held.pop(product_id))
        elif _count_off(self._reorders, product_id):
            self._held[product_id] = tick.frame
            return []
        return frames

    def withholds(self, product_id: str, session: Session, now: float) -> bool:
        """Tell whether a connection gets no ticker of a product."""
        if now < session.no_data_until:
            return True
        stuck = self._stuck.get(product_id)
        return stuck is not None and now < stuck.until and (stuck.indexes is None or session.index in stuck.indexes)

    def subscribed(self, product_id: str, session: Session) -> None:
        """Note a subscribe, which heals what was stuck until then."""
        stuck = self._stuck.get(product_id)
        if stuck is not None and stuck.until_resubscribed and stuck.indexes is not None:
            stuck.indexes.discard(session.index)

    def clear(self) -> dict[str, bytes]:
        """End all of them; return the frames that were held back, by product."""
        held, self._held = self._held, {}
        self.no_heartbeats.clear()
        for faults in (self._drops, self._duplicates, self._reorders, self._bad, self._bad_left, self._stuck):
            faults.clear()
        return held


def _add(counts: dict[str, int], product_id: str, count: int) -> None:
    counts[product_id] = counts.get(product_id, 0) + count


def _count_off(counts: dict[str, int], product_id: str) -> bool:
    left = counts.get(product_id)
    if left is None:
        return False
    if left > 1:
        counts[product_id] = left - 1
    else:
        del counts[product_id]
    return True

"""Trade ids of one product: in order, missing (exactly which), late or seen already. Pure.

The exchange numbers the trades of a product without gaps, so an id tells where a ticker belongs. Ids that were jumped
over are remembered as holes; a late ticker that falls into a hole is news, any other is a duplicate, but for one of so
long ago that its hole may have been given up.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

from hub.model import IdRange, Order

MAX_HOLES = 256  # of one product; past it the oldest is given up, and a ticker that late is ``FORGOTTEN``


class Continuity:
    """What was seen of one product's trade ids, in bounded memory."""

    __slots__ = ("_forgotten", "_forgotten_to", "_holes", "first_id", "last_id")

    def __init__(self) -> None:
        self.first_id = -1  # the first that we saw: what is older is before our time, and not missing
        self.last_id = -1
        self._forgotten = 0  # ids of holes that were given up
        self._forgotten_to = -1  # the last of them
        self._holes: list[IdRange] = []  # sorted; the first may reach back before our first id

    def observe(self, trade_id: int) -> tuple[Order, IdRange | None]:
        """Place one trade id; it counts as seen afterwards. The range is what a new one jumped over."""
        last = self.last_id
        if trade_id == last:
            return Order.DUPLICATE, None
        if trade_id < last:
            if self._fill(trade_id):
                return Order.LATE, None
            return (Order.FORGOTTEN if trade_id <= self._forgotten_to else Order.DUPLICATE), None
        jumped = None
        if trade_id > last + 1:
            jumped = (last + 1, trade_id - 1)
            self._holes.append(jumped)
            self._bound()
        if last < 0:
            self.first_id, jumped = trade_id, None
        self.last_id = trade_id
        return Order.NEW, jumped

    def missing(self) -> list[IdRange]:
        """Return the ids that were jumped over since our first one and did not come since, as sorted ranges."""
        return [(max(first, self.first_id), last) for first, last in self._holes if last > self.first_id]

    def missing_total(self) -> int:
        """Return how many they are, those of holes that were given up included."""
        return self._forgotten + sum(last - first + 1 for first, last in self.missing())

    def _fill(self, trade_id: int) -> bool:
        filled = without(self._holes, trade_id)
        if filled is None:
            return False
        self._holes = filled
        self._bound()
        return True

    def _bound(self) -> None:
        if len(self._holes) > MAX_HOLES:
            first, last = self._holes.pop(0)
            self._forgotten += max(0, last - max(first, self.first_id) + 1)
            self._forgotten_to = last


def holding(ranges: Sequence[tuple[int, int, *tuple[Any, ...]]], trade_id: int) -> int | None:
    """Return the index of the one of the sorted ranges (whatever else they carry) that holds an id, None if none does.
    """
    index = bisect_right(ranges, trade_id, key=lambda item: item[0]) - 1
    return index if index >= 0 and trade_id <= ranges[index][1] else None


def without(ranges: Sequence[IdRange], trade_id: int) -> list[IdRange] | None:
    """Return the sorted ranges without one id, None if none of them holds it."""
    index = holding(ranges, trade_id)
    if index is None:
        return None
    first, last = ranges[index]
    parts = [part for part in ((first, trade_id - 1), (trade_id + 1, last)) if part[0] <= part[1]]
    return [*ranges[:index], *parts, *ranges[index + 1 :]]

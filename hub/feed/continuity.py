"""Trade ids of one product: new, late or seen already. Pure.

The exchange numbers the trades of a product without gaps, so an id tells where a ticker belongs. Ids that were jumped
over are remembered as holes; a late ticker that falls into a hole is news, any other is a duplicate.
"""

from bisect import bisect_right

from hub.model import Order

MAX_HOLES = 64  # of one product; past it the oldest is given up: a ticker that late counts as a duplicate


class Continuity:
    """What was seen of one product's trade ids, in bounded memory."""

    __slots__ = ("_first_id", "_holes", "last_id", "missing_total")

    def __init__(self) -> None:
        self.last_id = -1
        self.missing_total = 0  # ids jumped over since our first one, and not seen since
        self._first_id = -1
        self._holes: list[tuple[int, int]] = []  # sorted, inclusive; the first may reach back before our first id

    def observe(self, trade_id: int) -> Order:
        """Place one trade id; it counts as seen afterwards."""
        last = self.last_id
        if trade_id == last:
            return Order.DUPLICATE
        if trade_id < last:
            return Order.LATE if self._fill(trade_id) else Order.DUPLICATE
        if last < 0:
            self._first_id = trade_id
        elif trade_id > last + 1:
            self.missing_total += trade_id - last - 1
        if trade_id > last + 1:
            self._holes.append((last + 1, trade_id - 1))
            self._bound()
        self.last_id = trade_id
        return Order.NEW

    def _fill(self, trade_id: int) -> bool:
        index = bisect_right(self._holes, trade_id, key=lambda hole: hole[0]) - 1
        if index < 0:
            return False
        first, last = self._holes[index]
        if trade_id > last:
            return False
        parts = ((first, trade_id - 1), (trade_id + 1, last))
        self._holes[index : index + 1] = [part for part in parts if part[0] <= part[1]]
        self._bound()
        if trade_id > self._first_id:
            self.missing_total -= 1
        return True

    def _bound(self) -> None:
        if len(self._holes) > MAX_HOLES:
            del self._holes[0]

"""What happened in one product: its last trades, compactly, and which trade ids there were."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterator
from typing import NamedTuple

KEPT_TRADES = 5_000  # a product; 24 bytes each


class Trade(NamedTuple):
    """One trade. ``price`` and ``size`` count the product's smallest units; ``side`` is the taker's."""

    trade_id: int
    time_us: int
    price: int
    size: int
    side: str


class DenseHistory:
    """The last trades of a product whose ids are dense: a ring of plain numbers, since objects would take gigabytes."""

    def __init__(self) -> None:
        self.last_id = 0
        self._count = 0
        self._times, self._prices, self._sizes = array("q"), array("q"), array("q")  # a sell's size is negative

    def add(self, trade: Trade) -> None:
        """Add the trade after the last one."""
        row = (trade.time_us, trade.price, trade.size if trade.side == "buy" else -trade.size)
        columns = (self._times, self._prices, self._sizes)
        slot = self._count % KEPT_TRADES
        for column, value in zip(columns, row, strict=True):
            if self._count < KEPT_TRADES:
                column.append(value)
            else:
                column[slot] = value
        self._count += 1
        self.last_id = trade.trade_id

    def newest_first(self, above: int | None, below: int | None) -> Iterator[Trade]:
        """Yield the kept trades with ``above < id < below``, the newest first."""
        kept = min(self._count, KEPT_TRADES)
        newest = self.last_id if below is None else min(self.last_id, below - 1)
        oldest = self.last_id - kept + 1
        if above is not None:
            oldest = max(oldest, above + 1)
        for trade_id in range(newest, oldest - 1, -1):
            slot = (self._count - 1 - (self.last_id - trade_id)) % KEPT_TRADES
            size = self._sizes[slot]
            side = "buy" if size > 0 else "sell"
            yield Trade(trade_id, self._times[slot], self._prices[slot], abs(size), side)


class IdRanges:
    """A set of trade ids as ranges, ``[[first, last], ...]`` in order: recordings have holes, late ones, duplicates."""

    def __init__(self) -> None:
        self._ranges: list[list[int]] = []

    def add(self, trade_id: int) -> None:
        """Add an id; the usual one is the next after the last."""
        ranges = self._ranges
        if ranges and ranges[-1][1] + 1 == trade_id:
            ranges[-1][1] = trade_id
            return
        at = bisect_right(ranges, trade_id, key=lambda pair: pair[0])
        if at and trade_id <= ranges[at - 1][1]:
            return
        joins_left = at > 0 and ranges[at - 1][1] + 1 == trade_id
        joins_right = at < len(ranges) and ranges[at][0] - 1 == trade_id
        if joins_left and joins_right:
            ranges[at - 1][1] = ranges.pop(at)[1]
        elif joins_left:
            ranges[at - 1][1] = trade_id
        elif joins_right:
            ranges[at][0] = trade_id
        else:
            ranges.insert(at, [trade_id, trade_id])

    def pairs(self) -> list[list[int]]:
        """Return a copy of the ranges."""
        return [list(pair) for pair in self._ranges]

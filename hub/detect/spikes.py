"""Price spikes: a move of some percent within some minutes, and when it has ended. Pure; ``now`` is passed in.

In words:

- The *origin* of a move is the lowest (a pump) or the highest price (a dump) of the running window. When the price is
  ``percent`` away from it, the spike starts: ``spike_start``. Where both are so far away, the larger move counts.
- While it goes on, its *peak* is the farthest price from the origin. No other spike of that product starts.
- It ends (``momentum_end``) when the price has come back by ``RETRACED`` of the way from the origin to the peak, or
  when there was no new peak for ``STALLED`` of a window. The window then begins anew at that price: the next spike is
  a move of ``percent`` from there.

Constant time a tick and bounded memory a product: the window is a ring of the lowest and the highest price of each of
``BUCKETS`` parts, so it is exact to one part (a 30th of it).
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from typing import NamedTuple

BUCKETS = 30
RETRACED = 1 / 3
STALLED = 1 / 5
NOTHING = float("inf")


class PriceSpike(NamedTuple):
    """``old_price`` is the origin, ``new_price`` the price now, ``pct_change`` from one to the other, signed."""

    product_id: str
    spike_type: str  # pump, dump
    event_type: str  # spike_start, momentum_end
    pct_change: float
    old_price: float
    new_price: float
    peak_price: float
    seconds: float  # since the spike started


class PriceWindow:
    """One product's lowest and highest price of the running window."""

    __slots__ = ("_bucket", "_bucket_seconds", "_highs", "_lows", "high", "low")

    def __init__(self, window_seconds: float) -> None:
        self._bucket_seconds = window_seconds / BUCKETS
        self.clear()

    def clear(self) -> None:
        """Forget every price."""
        self._bucket = 0
        self._lows = array("d", [NOTHING]) * BUCKETS
        self._highs = array("d", [-NOTHING]) * BUCKETS
        self.low, self.high = NOTHING, -NOTHING

    def add(self, price: float, now: float) -> None:
        """Add a price at ``now`` (monotonic seconds, never falling)."""
        lows, highs = self._lows, self._highs
        target = int(now / self._bucket_seconds)
        if target > self._bucket:
            for number in range(max(self._bucket + 1, target - BUCKETS + 1), target + 1):
                lows[number % BUCKETS], highs[number % BUCKETS] = NOTHING, -NOTHING
            self._bucket = target
            self.low, self.high = min(lows), max(highs)
        at = self._bucket % BUCKETS
        if price < lows[at]:
            lows[at] = price
            self.low = min(self.low, price)
        if price > highs[at]:
            highs[at] = price
            self.high = max(self.high, price)


class _Spike:
    """A spike that goes on."""

    __slots__ = ("last", "origin", "peak", "peak_at", "started_at", "window")

    def __init__(self, window: PriceWindow, origin: float, price: float, now: float) -> None:
        self.window = window
        self.origin = origin
        self.peak = self.last = price
        self.started_at = self.peak_at = now

    def told(self, product_id: str, event_type: str, now: float) -> PriceSpike:
        change = 100 * (self.last - self.origin) / self.origin
        kind = "pump" if self.peak > self.origin else "dump"
        return PriceSpike(product_id, kind, event_type, change, self.origin, self.last, self.peak,
                          now - self.started_at)  # fmt: skip


class SpikeDetector:
    """Price spikes for all products."""

    def __init__(self, percent: float, window_seconds: float) -> None:
        self._ratio = percent / 100
        self._window_seconds = window_seconds
        self._windows: dict[str, PriceWindow] = {}
        self._spikes: dict[str, _Spike] = {}

    def keep(self, product_ids: Iterable[str]) -> None:
        """Forget every other product."""
        kept = set(product_ids)
        self._windows = {product_id: window for product_id, window in self._windows.items() if product_id in kept}
        self._spikes = {product_id: spike for product_id, spike in self._spikes.items() if product_id in kept}

    def trade(self, product_id: str, price: float, now: float) -> PriceSpike | None:
        """Take one price (above 0) in at ``now`` (monotonic seconds); return what starts or ends with it."""
        spike = self._spikes.get(product_id)
        if spike is not None:
            return self._goes_on(product_id, spike, price, now)
        window = self._windows.get(product_id)
        if window is None:
            window = self._windows[product_id] = PriceWindow(self._window_seconds)
        window.add(price, now)
        up, down = price / window.low - 1, 1 - price / window.high
        if max(up, down) < self._ratio:
            return None
        spike = self._spikes[product_id] = _Spike(
            window, window.low if up >= down else window.high, price, now
        )
        return spike.told(product_id, "spike_start", now)

    def spiking(self) -> list[str]:
        """Return the products of which a spike goes on."""
        return list(self._spikes)

    def look(self, product_id: str, now: float) -> PriceSpike | None:
        """Return the end of a product's spike where time alone has brought it: no price need tell, if it is quiet."""
        spike = self._spikes.get(product_id)
        return self._end(product_id, spike, now) if spike is not None and self._has_stalled(spike, now) else None

    def _has_stalled(self, spike: _Spike, now: float) -> bool:
        return now - spike.peak_at >= STALLED * self._window_seconds

    def _goes_on(self, product_id: str, spike: _Spike, price: float, now: float) -> PriceSpike | None:
        spike.last = price
        way = spike.peak - spike.origin
        if (price - spike.peak) * way > 0:
            spike.peak, spike.peak_at = price, now
            return None
        back = (spike.peak - price) / way
        return self._end(product_id, spike, now) if back >= RETRACED or self._has_stalled(spike, now) else None

    def _end(self, product_id: str, spike: _Spike, now: float) -> PriceSpike:
        self._spikes.pop(product_id, None)  # it may have been forgotten meanwhile
        spike.window.clear()
        spike.window.add(spike.last, now)
        return spike.told(product_id, "momentum_end", now)

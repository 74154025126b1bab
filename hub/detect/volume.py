"""Unusual volume: the running window against the mean of the windows before it. Pure; ``now`` is passed in.

Constant time a tick and bounded memory a product: the running window is a ring of ``BUCKETS`` sums, the windows before
it are ``HISTORY`` totals. The running window is therefore exact to one bucket (a 60th of it).

A window in which the product was not proved counts for nothing: what nobody brought is no quiet market, and after an
outage each product would seem to be busier than usual.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

BUCKETS = 60
HISTORY = 12  # full windows that make the mean
MIN_HISTORY = 3  # before so many, nobody can say what is usual


class VolumeAlert(NamedTuple):
    """``current_vol`` of the running window, ``avg_vol`` of the full ones, both in the base currency."""

    product_id: str
    current_vol: float
    avg_vol: float
    threshold: float
    ratio: float


class VolumeWindow:
    """One product's volume: the running window, and the full windows before it."""

    __slots__ = ("_bucket", "_bucket_seconds", "_buckets", "_filled", "_history", "current", "doubted", "quiet_until")

    def __init__(self, window_seconds: float, now: float) -> None:
        self._bucket_seconds = window_seconds / BUCKETS
        self._bucket = int(now / self._bucket_seconds)  # the running bucket's number
        self._buckets = [0.0] * BUCKETS
        self._filled = 0  # buckets since the last full window ended
        self._history: deque[tuple[int, float]] = deque(maxlen=HISTORY)  # the bucket after it, its volume
        self.doubted = False
        self.current = 0.0
        self.quiet_until = float("-inf")

    def add(self, size: float, now: float) -> None:
        """Add one trade at ``now`` (monotonic seconds, never falling)."""
        self.advance(now)
        self._buckets[self._bucket % BUCKETS] += size
        self.current += size

    def advance(self, now: float) -> None:
        """Let time pass: buckets fall out of the running window, and windows become full."""
        target = int(now / self._bucket_seconds)
        steps = min(target - self._bucket, BUCKETS * (HISTORY + 1))  # a longer silence looks the same
        if steps <= 0:
            return
        self._bucket = target - steps
        for _ in range(steps):
            self._filled += 1
            self._bucket += 1
            if self._filled == BUCKETS:
                if not self.doubted:
                    self._history.append((self._bucket, sum(self._buckets)))
                self._filled = 0
            self._buckets[self._bucket % BUCKETS] = 0.0
        self.current = sum(self._buckets)  # summed anew, so that rounding never adds up

    def doubt(self, since: float) -> None:
        """Let what came since then count for no mean, until it is proved again."""
        bucket = int(since / self._bucket_seconds)
        while self._history and self._history[-1][0] > bucket:
            self._history.pop()
        self.doubted = True

    def prove(self, now: float) -> None:
        """Note that from now on what comes is all there is: the next full window begins."""
        self.advance(now)
        self.doubted = False
        self._filled = 0

    def mean(self) -> float | None:
        """Return the mean volume of the full windows, None before ``MIN_HISTORY`` of them."""
        if len(self._history) < MIN_HISTORY:
            return None
        return sum(volume for _, volume in self._history) / len(self._history)


class VolumeDetector:
    """Volume alerts for all products; one a product and cooldown, so that a spike is one alert and not one a tick."""

    def __init__(self, window_seconds: float, threshold: float, cooldown_seconds: float) -> None:
        self._window_seconds = window_seconds
        self._threshold = threshold
        self._cooldown_seconds = cooldown_seconds
        self._windows: dict[str, VolumeWindow] = {}

    def keep(self, product_ids: Iterable[str]) -> None:
        """Forget every other product."""
        kept = set(product_ids)
        self._windows = {product_id: window for product_id, window in self._windows.items() if product_id in kept}

    def products(self) -> list[str]:
        """Return the products that have traded."""
        return list(self._windows)

    def doubt(self, product_id: str, since: float) -> None:
        """Note that a product is not proved since then (monotonic seconds), until a trade proves it again."""
        window = self._windows.get(product_id)
        if window is not None:
            window.doubt(since)

    def trade(self, product_id: str, size: float, now: float, proved: bool = True) -> VolumeAlert | None:
        """Take one trade in; return an alert if the running window is now ``threshold`` times the usual or more.

        ``proved``: it is the latest, and none before it is missing.
        A product whose full windows were all empty raises none: there is no ratio to nothing.
        """
        window = self._windows.get(product_id)
        if window is None:
            window = self._windows[product_id] = VolumeWindow(self._window_seconds, now)
        if window.doubted and proved:
            window.prove(now)
        window.add(size, now)
        if now < window.quiet_until:
            return None
        mean = window.mean()
        if not mean or window.current < mean * self._threshold:
            return None
        window.quiet_until = now + self._cooldown_seconds
        return VolumeAlert(product_id, window.current, mean, self._threshold, window.current / mean)

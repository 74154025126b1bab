"""The exchange's limits (coinbase: Exchange WebSocket and REST overviews), and the token bucket that enforces them."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Protocol

CONNECTS_PER_SECOND, CONNECT_BURST = 8, 20  # an IP; over it the upgrade is answered with 429
MESSAGES_PER_SECOND, MESSAGE_BURST = 100, 100  # client messages an IP
REST_PER_SECOND, REST_BURST = 10, 15  # public requests an IP
FIRST_SUBSCRIBE_SECONDS = 5.0  # a connection that has not subscribed by then is closed
MAX_TRADES_PAGE = 1_000

# Advanced Trade (Advanced Trade WebSocket rate limits)
ADVANCED_CONNECTS_PER_SECOND = 8  # an IP
ADVANCED_MESSAGES_PER_SECOND = 8  # client messages an IP, over all its connections
ADVANCED_REST_PER_SECOND, ADVANCED_REST_BURST = 10, 10  # unpublished
IDLE_CHANNEL_SECONDS = (60.0, 90.0)  # a channel without updates is closed, unless heartbeats is subscribed

MAX_ADDRESSES = 10_000


class Limit(Protocol):
    """What bounds how often an address may do something. Pure: the caller says when."""

    def allow(self, address: str, now: float) -> bool:
        """Let ``address`` do it once more at monotonic ``now``; False if it may not."""


class RateLimit:
    """A token bucket for each address: ``burst`` at once, refilled with ``per_second``. Pure: the caller says when."""

    def __init__(self, per_second: float, burst: int) -> None:
        self._per_second = per_second
        self._burst = burst
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # address -> tokens left, as of when

    def allow(self, address: str, now: float) -> bool:
        """Take a token of ``address`` at monotonic ``now``; False if there is none left."""
        tokens, since = self._buckets.pop(address, (float(self._burst), now))
        tokens = min(self._burst, tokens + (now - since) * self._per_second)
        allowed = tokens >= 1
        self._buckets[address] = (tokens - 1 if allowed else tokens, now)
        if len(self._buckets) > MAX_ADDRESSES:
            self._buckets.popitem(last=False)
        return allowed


class WindowLimit:
    """At most ``count`` in any second, for each address; what was refused does not count."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._times: OrderedDict[str, deque[float]] = OrderedDict()

    def allow(self, address: str, now: float) -> bool:
        """Count one of ``address`` at monotonic ``now``; False if there were too many."""
        times = self._times.pop(address, None) or deque(maxlen=self._count)
        allowed = len(times) < self._count or now - times[0] >= 1.0
        if allowed:
            times.append(now)
        self._times[address] = times
        if len(self._times) > MAX_ADDRESSES:
            self._times.popitem(last=False)
        return allowed

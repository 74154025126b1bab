"""How often an address may ask, and how often it may be wrong about a token."""

from __future__ import annotations

import hmac
import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import Any

from limits import RateLimitItem, RateLimitItemPerMinute, RateLimitItemPerSecond
from limits.storage import Storage
from limits.strategies import FixedWindowRateLimiter

from hub.fanout.limits import Budgets, client_address, who
from hub.logs import Cooldown
from hub.settings import Settings

MS_PER_REQUEST = 0.5  # of the hub's time, in the mean: who asks for dear answers may do so less often
LEAST_MS_PER_SECOND = 50.0
MOST_MS = 100.0  # that one answer is charged: what gives way while it is made is charged for others' work, too
BYTES_PER_MS = 2_000_000  # what it takes to send an answer
WINDOW_SECONDS = 10  # of requests: long enough for a page with all of its files
WORK_SECONDS = 4  # and of what they take, which must not come all at once
RELAYS_PER_SECOND, RELAYS_BURST = 2.0, 20.0  # of an address: each goes to every client
RELAY_BYTES = 4_096  # a larger one counts as several
MAX_ADDRESSES = 10_000  # that are counted at a time, 2 MB; past it the ones counted longest are forgotten
_warn = Cooldown(logging.getLogger(__name__))


class TooMany(Exception):
    """An address has asked, or guessed, too often; it may again in ``seconds``."""

    def __init__(self, message: str, seconds: int) -> None:
        super().__init__(message)
        self.seconds = seconds


class Windows(Storage):
    """Counts in memory, by the monotonic clock, for windows of one length.

    The library's own goes by the wall clock, which may jump, looks through all of its keys on a timer up to a hundred
    times a second, and has no bound.
    """

    STORAGE_SCHEME = None
    base_exceptions = ()

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()
        self._clock = clock
        self._windows: dict[str, tuple[float, int]] = {}  # the first is the first to end

    def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        """Count, and return how many it is in this window."""
        count = self.get(key) + amount
        if count > amount:
            self._windows[key] = (self._windows[key][0], count)
            return count
        self._windows.pop(key, None)
        while len(self._windows) >= MAX_ADDRESSES:
            del self._windows[next(iter(self._windows))]
        self._windows[key] = (self._clock() + expiry, count)
        return count

    def get(self, key: str) -> int:
        """Return how many were counted in this window."""
        ends, count = self._windows.get(key, (0.0, 0))
        return count if self._clock() < ends else 0

    def get_expiry(self, key: str) -> float:
        """Return when the window ends."""
        return self._windows.get(key, (self._clock(), 0))[0]

    def check(self) -> bool:
        """Return whether it works: memory does."""
        return True

    def reset(self) -> int:
        """Forget everybody."""
        count = len(self._windows)
        self._windows.clear()
        return count

    def clear(self, key: str) -> None:
        """Forget one."""
        self._windows.pop(key, None)


def matches(presented: str | None, tokens: Collection[str]) -> bool:
    """Compare with every token, in constant time."""
    given = (presented or "").encode(errors="surrogatepass")
    return sum(hmac.compare_digest(given, token.encode()) for token in tokens) > 0


class Rates:
    """What each address has used up: its requests of the last seconds, its wrong tokens of the last minute, its alerts.
    """

    def __init__(
        self, settings: Settings, counters: Counter[str], clock: Callable[[], float] = time.monotonic
    ) -> None:  # fmt: skip
        self._trusted = settings.trusted_proxies
        self._counters = counters
        self._clock = clock
        self._requests = _Limit(RateLimitItemPerSecond, settings.rate_limit_per_second * WINDOW_SECONDS,
                                WINDOW_SECONDS, clock)  # fmt: skip
        # in microseconds
        allowed_ms = max(LEAST_MS_PER_SECOND, settings.rate_limit_per_second * MS_PER_REQUEST)
        self._work = _Limit(RateLimitItemPerSecond, bool(settings.rate_limit_per_second) * int(allowed_ms * 1_000)
                            * WORK_SECONDS, WORK_SECONDS, clock)  # fmt: skip
        self._relays = Budgets(RELAYS_PER_SECOND, RELAYS_BURST)
        self._bad_tokens = _Limit(RateLimitItemPerMinute, settings.bad_tokens_per_minute, 1, clock)

    def count_request(self, environ: Mapping[str, Any]) -> None:
        """Count a request; raises ``TooMany``."""
        address = client_address(environ, self._trusted)
        if not self._requests.hit(address):
            self._refuse("rate_limit", address, "Too many requests", self._requests.wait_seconds(address))
        if self._work.is_used_up(address):
            self._refuse("work_limit", address, "Too many requests", self._work.wait_seconds(address))

    def count_work(self, environ: Mapping[str, Any], seconds: float, size_bytes: int) -> None:
        """Count what an answer took to be made, and what it will take to be sent."""
        used_ms = min(MOST_MS, seconds * 1_000) + size_bytes / BYTES_PER_MS
        self._work.hit(client_address(environ, self._trusted), int(used_ms * 1_000))

    def token_valid(self, environ: Mapping[str, Any], presented: str | None, tokens: Collection[str]) -> bool:
        """Compare with every token in constant time; raises ``TooMany``, before that, for who was wrong too often."""
        if not presented:
            return False  # who has none does not guess
        address = client_address(environ, self._trusted)
        if self._bad_tokens.is_used_up(address):
            self._refuse("bad_tokens", address, "Too many wrong tokens", self._bad_tokens.wait_seconds(address))
        if matches(presented, tokens):
            return True
        self._counters["bad_tokens"] += 1
        self._bad_tokens.hit(address)
        return False

    def is_shut_out(self, address: str) -> bool:
        """Tell whether an address was wrong too often, and its tokens are not looked at."""
        return self._bad_tokens.is_used_up(address)

    def count_relay(self, address: str, size_bytes: int) -> None:
        """Count what an address has relayed to every client, 4 KiB of it as one; raises ``TooMany``."""
        now, cost = self._clock(), max(1, math.ceil(size_bytes / RELAY_BYTES))
        budget = self._relays.of(who(address), now)
        if not budget.take(now, cost):
            self._refuse("relays", address, "Too many alerts", budget.wait_seconds(cost))

    def count_refused(self, reason: str) -> None:
        """Count what was refused elsewhere."""
        self._counters[reason] += 1

    def _refuse(self, reason: str, address: str, message: str, seconds: float) -> None:
        self._counters[f"refused_{reason}"] += 1
        _warn.warning(reason, "refused a request address=%s reason=%s", address, reason)
        raise TooMany(message, max(1, math.ceil(seconds)))


class _Limit:
    """So many in a window, of each address; 0: any number."""

    def __init__(
        self, kind: type[RateLimitItem], amount: int, multiples: int, clock: Callable[[], float]
    ) -> None:  # fmt: skip
        self._item = kind(amount, multiples) if amount else None
        self._clock = clock
        self._limiter = FixedWindowRateLimiter(Windows(clock))

    def hit(self, address: str, cost: int = 1) -> bool:
        return self._item is None or self._limiter.hit(self._item, who(address), cost=cost)

    def is_used_up(self, address: str) -> bool:
        return self._item is not None and not self._limiter.test(self._item, who(address))

    def wait_seconds(self, address: str) -> float:
        assert self._item is not None
        return self._limiter.storage.get_expiry(self._item.key_for(who(address))) - self._clock()

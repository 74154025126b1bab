"""How long to wait before the next attempt: exponential with full jitter. Pure; the caller waits.

Full jitter (any delay from 0 to the bound) spreads a herd of connections that were lost in the same instant.
"""

from random import Random


class Backoff:
    """The delays of one connection. The bound doubles with each failure from ``base_seconds`` up to ``cap_seconds``.

    It starts over only after ``reset_seconds`` of data: an endpoint that accepts, talks for two seconds and hangs up
    must not be hammered.
    """

    def __init__(self, base_seconds: float, cap_seconds: float, reset_seconds: float, rng: Random) -> None:
        self._base = base_seconds
        self._cap = cap_seconds
        self._reset = reset_seconds
        self._rng = rng
        self.failures = 0

    def bound_seconds(self) -> float:
        """Return the largest delay that the next failure may draw."""
        return min(self._cap, self._base * 2.0 ** min(self.failures, 40))

    def failed(self, data_seconds: float = 0.0) -> float:
        """Count a failure after ``data_seconds`` of data; return the seconds to wait before the next attempt."""
        if data_seconds >= self._reset:
            self.failures = 0
        delay = self._rng.uniform(0.0, self.bound_seconds())
        self.failures += 1
        return delay

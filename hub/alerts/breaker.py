"""Whether a receiver is worth an attempt. Pure; ``now`` is passed in.

In words: ``closed`` (every attempt goes out) until ``FAILURES`` attempts in a row failed; then ``open`` for
``OPEN_SECONDS``, in which none goes out; then ``half_open``: one goes out, and closes it or opens it again.
"""

from __future__ import annotations

FAILURES = 5
OPEN_SECONDS = 60.0


class Breaker:
    """The state of one receiver; times are monotonic seconds."""

    def __init__(self, failures: int = FAILURES, open_seconds: float = OPEN_SECONDS) -> None:
        self._most = failures
        self._open_seconds = open_seconds
        self._failures = 0
        self._open_until = 0.0

    def wait_seconds(self, now: float) -> float:
        """Return how long no attempt may go out."""
        return max(0.0, self._open_until - now) if self._failures >= self._most else 0.0

    def state(self, now: float) -> str:
        """Return ``closed``, ``open`` or ``half_open``."""
        if self._failures < self._most:
            return "closed"
        return "open" if now < self._open_until else "half_open"

    def succeeded(self) -> None:
        """Note an attempt that was answered well."""
        self._failures = 0

    def failed(self, now: float) -> None:
        """Note an attempt that failed."""
        self._failures += 1
        self._open_until = now + self._open_seconds

"""Which slot is rotated next, and why. Pure: the caller brings the time and what it sees of the slots.

A slot is due when it was asked for, when its open socket brings no heartbeats any more (its data may flow, but nothing
proves it), or when its socket is old. Sockets that opened together are due at different times: each has a limit of its
own between half of the interval and the whole. One that could not be rotated is left alone for a while.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import NamedTuple

RETRY_SECONDS = 60.0
DEGRADED_SECONDS = 10.0  # without heartbeats; at 5 s /health says so. Lower: a hiccup rotates; higher: unproved longer


class Seen(NamedTuple):
    """A slot with an open socket, seconds: its age, and for how long it has brought no heartbeat (0: it may not)."""

    connection_id: str
    age_seconds: float
    beatless_seconds: float


class Schedule:
    """Owner of what was asked for, the limits and the failures. Times: monotonic seconds."""

    def __init__(self, rotate_after_seconds: float, rng: Random) -> None:
        self._rotate_after = rotate_after_seconds
        self._rng = rng
        self._asked: dict[str, str] = {}  # slot → why
        self._limits: dict[str, float] = {}
        self._rest_until: dict[str, float] = {}

    def ask(self, connection_id: str, why: str) -> None:
        """Have a slot rotated as soon as may be."""
        self._asked[connection_id] = why
        self._rest_until.pop(connection_id, None)

    def limit_seconds(self, connection_id: str) -> float | None:
        """Return the age at which a slot's socket is due, None if age does not matter."""
        if not self._rotate_after:
            return None
        if connection_id not in self._limits:
            self._limits[connection_id] = self._rotate_after * self._rng.uniform(0.5, 1.0)
        return self._limits[connection_id]

    def next(self, now: float, slots: Sequence[Seen]) -> tuple[str, str] | None:
        """Return (slot, why) of the one to rotate now."""
        rested = [slot for slot in slots if self._rest_until.get(slot.connection_id, 0.0) <= now]
        for slot in rested:
            if slot.connection_id in self._asked:
                return slot.connection_id, self._asked[slot.connection_id]
        for slot in rested:
            if slot.beatless_seconds >= DEGRADED_SECONDS:
                return slot.connection_id, "degraded"
        old = [
            (slot.age_seconds / limit, slot.connection_id)
            for slot in rested
            if (limit := self.limit_seconds(slot.connection_id)) is not None and slot.age_seconds >= limit
        ]
        return (max(old)[1], "age") if old else None

    def ended(self, connection_id: str, well: bool, now: float) -> None:
        """Note that a rotation came to its end."""
        if not well:
            self._rest_until[connection_id] = now + RETRY_SECONDS
            return
        for known in (self._asked, self._limits, self._rest_until):
            known.pop(connection_id, None)

    def keep(self, connection_ids: Sequence[str]) -> None:
        """Forget all other slots."""
        for known in (self._asked, self._limits, self._rest_until):
            for gone in known.keys() - set(connection_ids):
                known.pop(gone)

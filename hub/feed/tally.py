"""What is counted of a slot: over its sockets, and over the connections that hold it one after the other."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

RATE_SECONDS = 2.0


class Totals(NamedTuple):
    """Counts since the start."""

    messages: int = 0
    errors: int = 0
    reconnects: int = 0
    sockets: int = 0  # that came to their end


class Tally:
    """Written by the connection's thread; ``measure`` and ``go_on_from`` are its pool's. Times: monotonic seconds."""

    def __init__(self, now: float) -> None:
        self.messages = self.errors = 0
        self.causes: Counter[str] = Counter()  # why sockets came to their end, or a try to connect to nothing
        self.refused: Counter[str] = Counter()  # frames that were not believed, or not understood, by reason
        self.last_cause: str | None = None  # why the last socket was lost
        self.per_second = 0.0
        self._measured = (now, 0)  # when, and how many messages there were then
        self._before = Totals()
        self._causes_before: Counter[str] = Counter()
        self._refused_before: Counter[str] = Counter()

    def measure(self, now: float) -> None:
        """Note the rate of messages."""
        then, messages = self._measured
        if now - then >= RATE_SECONDS:
            self.per_second = (self.messages - messages) / (now - then)
            self._measured = (now, self.messages)

    def totals(self, sockets: int = 0) -> Totals:
        """Return the slot's counts; ``sockets`` are those of this connection."""
        before = self._before
        return Totals(
            before.messages + self.messages, before.errors + self.errors, self.all_causes().total(),
            before.sockets + sockets,
        )  # fmt: skip

    def all_causes(self) -> Counter[str]:
        """Return the slot's reconnects by cause."""
        return self._causes_before + self.causes

    def all_refused(self) -> Counter[str]:
        """Return the slot's refused frames by reason."""
        return self._refused_before + self.refused

    def go_on_from(self, other: Tally, sockets: int) -> None:
        """Go on where another connection of the slot ended, with so many sockets."""
        self._before = other.totals(sockets)
        self._causes_before = other.all_causes()
        self._refused_before = other.all_refused()
        self.last_cause = self.last_cause or other.last_cause

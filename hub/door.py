"""Which connections wait for their peers, and which of those go when they are too many. Pure.

A connection waits while it is idle, while a request comes in slowly, and while an answer is not read. One whose request
is worked on (a poll included) does not wait, nor does a WebSocket: others bound those.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

MAX_WAITING = 2_000  # of all addresses; one costs up to 30 KB
CROWD_SECONDS = 5.0  # for which a crowd may be more: its requests are on their way, or its own machine is busy
CROWD_FACTOR = 5  # by which it may be more
MAX_HELD_BYTES = 4_194_304  # of answers that are being read slowly, or not at all


class Waiter(Protocol):
    """A connection, of which the door knows the peer's address or network alone."""

    whose: str | None


W = TypeVar("W", bound=Waiter)


class Door(Generic[W]):
    """The waiting connections, the oldest first. ``per_address`` 0: any number of each address."""

    def __init__(
        self, per_address: int = 0, whose: Callable[[str], str | None] = str, counters: Counter[str] | None = None
    ) -> None:
        """``whose``: address → as whom it counts; None: a proxy, which speaks for many."""
        self.whose = whose
        self.counters: Counter[str] = Counter() if counters is None else counters
        self._per_address = per_address
        self._waiting: dict[W, float] = {}
        self._of: dict[str, dict[W, float]] = {}
        self._holders: dict[W, int] = {}  # which body each one waits to be read
        self._bodies: dict[int, list[int]] = {}  # how many wait for it, and its size
        self._held_bytes = 0

    @property
    def waiting(self) -> int:
        """How many connections wait for their peers."""
        return len(self._waiting)

    def waits(self, connection: W, now: float) -> W | None:
        """Note that a connection waits for its peer from now on; return the one that has to go for it, if one has."""
        self._waiting[connection] = now
        if connection.whose is None or not self._per_address:
            return self._surplus(self._waiting, MAX_WAITING, now)
        same = self._of.setdefault(connection.whose, {})
        same[connection] = now
        return self._surplus(same, self._per_address, now) or self._surplus(self._waiting, MAX_WAITING, now)

    def goes_on(self, connection: W) -> None:
        """Note that a connection waits no more. Idempotent."""
        self._waiting.pop(connection, None)
        if connection.whose is not None and (same := self._of.get(connection.whose)) is not None:
            same.pop(connection, None)
            if not same:
                del self._of[connection.whose]

    def holds(self, connection: W, body: int, size: int) -> list[W]:
        """Note that a connection holds a body until it is read; return those that have to go for it.

        Bodies that many share count once.
        """
        self._holders[connection] = body
        waiting = self._bodies.setdefault(body, [0, size])
        waiting[0] += 1
        self._held_bytes += size if waiting[0] == 1 else 0
        found = []
        while self._held_bytes > MAX_HELD_BYTES and len(self._holders) > 1:
            found.append(next(iter(self._holders)))
            self.lets_go(found[-1])
        return found

    def lets_go(self, connection: W) -> None:
        """Note that a connection holds no body any more. Idempotent."""
        body = self._holders.pop(connection, None)
        if body is not None:
            waiting = self._bodies[body]
            waiting[0] -= 1
            if not waiting[0]:
                del self._bodies[body]
                self._held_bytes -= waiting[1]

    def oldest(self) -> W | None:
        """Return the connection that has waited for longest."""
        return next(iter(self._waiting), None)

    def surplus(self, now: float) -> list[W]:
        """Take out, and return, those that were a crowd and are one no more."""
        found: list[W] = []
        groups = [(same, self._per_address) for same in self._of.values()]
        for same, most in [*groups, (self._waiting, MAX_WAITING)]:
            for connection in list(same)[: max(0, len(same) - most)]:
                if now - same[connection] < CROWD_SECONDS:
                    break
                found.append(connection)
        for connection in found:
            self.goes_on(connection)
        return found

    @staticmethod
    def _surplus(waiting: dict[W, float], most: int, now: float) -> W | None:
        if len(waiting) <= most:
            return None
        oldest, since = next(iter(waiting.items()))
        crowded = len(waiting) > most * CROWD_FACTOR or now - since >= CROWD_SECONDS
        return oldest if crowded else None

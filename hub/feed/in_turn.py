"""What several threads bring of one thing, done one part at a time, in the order of coming."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

MAX_PARTS = 10_000  # that wait: minutes of the busiest product


class InTurn:
    """Who finds it busy leaves its parts to the one who is at it.

    So nobody waits, and no part runs under a lock that anybody waits for.
    """

    __slots__ = ("_at_it", "_parts")

    def __init__(self) -> None:
        self._parts: deque[Callable[[], None]] = deque()
        self._at_it = threading.Lock()  # never waited for

    def do(self, *parts: Callable[[], None]) -> bool:
        """Do these, one after the other, or have them done; False if too many wait: they are dropped."""
        if len(self._parts) + len(parts) > MAX_PARTS:
            return False
        self._parts.extend(parts)
        while self._parts and self._at_it.acquire(blocking=False):
            try:
                while self._parts:
                    self._parts.popleft()()
            finally:
                self._at_it.release()
        return True

    @property
    def busy(self) -> bool:
        """Whether anything waits, or is being done."""
        return bool(self._parts) or self._at_it.locked()

"""Priority pairs: their updates also leave as ``priority_ticker_update``, at most one a second a pair, the latest.

Any client may change the set, but for those that the setting ``PRIORITY_PAIRS`` names: they are *pinned*.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import NamedTuple

from hub.worker import Worker

UPDATE_INTERVAL_SECONDS = 1.0
EVENT = "priority_ticker_update"
TELL_SECONDS = 60.0  # from one word on what changed to the next: who changes the set all the time fills no journal


class Changes(NamedTuple):
    """What became of the set since it was told last, and in how many steps."""

    added: list[str]
    removed: list[str]
    steps: int
    total: int  # pairs now


class PriorityPairs:
    """Owner of the set of priority pairs and of their pace."""

    def __init__(
        self, publish: Callable[[str, str, str], None], clock: Callable[[], float] = time.monotonic,
        pinned: Iterable[str] = (),
    ) -> None:  # fmt: skip
        self.pinned = tuple(pinned)
        self._publish = publish
        self._clock = clock
        self._lock = threading.Lock()
        # product → wall-clock second of its last update; pinned ones first
        self._pairs: dict[str, float | None] = dict.fromkeys(self.pinned)
        # product → monotonic second from which the next may leave; kept when a pair is removed: adding it again is
        # no way around the pace
        self._due: dict[str, float] = {}
        self._held: dict[str, str] = {}  # product → payload
        self._told = dict(self._pairs)  # the set as it was told last
        self._steps = 0  # changes since then
        self._tell_at = float("-inf")  # not before
        self.worker = Worker("priority-pairs", self.step)  # sends what was held back

    def has(self, product_id: str) -> bool:
        """Tell whether a product is a priority pair."""
        return product_id in self._pairs

    def add(self, product_id: str) -> None:
        """Add a pair. Idempotent."""
        with self._lock:
            self._steps += product_id not in self._pairs
            self._pairs.setdefault(product_id, None)

    def remove(self, product_id: str) -> bool:
        """Remove a pair; return whether it was one and is none now: a pinned one stays."""
        if product_id in self.pinned:
            return False
        with self._lock:
            known = product_id in self._pairs
            self._steps += known
            self._pairs.pop(product_id, None)
            self._held.pop(product_id, None)
            return known

    def replace(self, product_ids: Iterable[str]) -> None:
        """Make these the pairs, beside the pinned ones."""
        with self._lock:
            before, self._pairs = self._pairs, {
                product_id: self._pairs.get(product_id) for product_id in (*self.pinned, *product_ids)
            }
            self._steps += before.keys() != self._pairs.keys()
            for product_id in [item for item in self._held if item not in self._pairs]:
                del self._held[product_id]

    def last_updates(self) -> dict[str, float | None]:
        """Return pair → wall-clock second of its last update (None: none yet), in the order of adding."""
        with self._lock:
            return dict(self._pairs)

    def changes(self) -> Changes | None:
        """Return what has changed, ``TELL_SECONDS`` apart; None where there is nothing to tell now."""
        with self._lock:
            if not self._steps or self._clock() < self._tell_at:
                return None
            added = [item for item in self._pairs if item not in self._told]
            removed = [item for item in self._told if item not in self._pairs]
            found = Changes(added, removed, self._steps, len(self._pairs))
            self._told, self._steps, self._tell_at = dict(self._pairs), 0, self._clock() + TELL_SECONDS
            return found

    def tick(self, product_id: str, payload: str) -> None:
        """Take a new tick in: send it at once, or hold the latest until its pair's second is over."""
        if product_id not in self._pairs:
            return
        with self._lock:
            if product_id not in self._pairs:
                return
            if self._clock() < self._due.get(product_id, 0.0):
                self._held[product_id] = payload
                self.worker.wake()  # it may be due before the one that is waited for
                return
            self._held.pop(product_id, None)  # older than this one
            self._mark(product_id)
        self._publish(EVENT, payload, product_id)

    def step(self) -> float | None:
        """Send what is due; return the seconds until the next is, None if nothing is held."""
        now = self._clock()
        with self._lock:
            ready = [(item, payload) for item, payload in self._held.items() if self._due[item] <= now]
            for product_id, _ in ready:
                del self._held[product_id]
                self._mark(product_id)
            waiting = min((self._due[product_id] for product_id in self._held), default=None)
        for product_id, payload in ready:
            self._publish(EVENT, payload, product_id)
        return None if waiting is None else max(0.0, waiting - now)

    def _mark(self, product_id: str) -> None:
        self._due[product_id] = self._clock() + UPDATE_INTERVAL_SECONDS
        self._pairs[product_id] = time.time()

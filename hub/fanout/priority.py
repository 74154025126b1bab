"""Priority pairs: their updates also leave as ``priority_ticker_update``, at most one a second a pair, the latest."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

from hub.worker import Worker

UPDATE_INTERVAL_SECONDS = 1.0
EVENT = "priority_ticker_update"


class PriorityPairs:
    """Owner of the set of priority pairs and of their pace."""

    def __init__(self, publish: Callable[[str, str, str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._publish = publish
        self._clock = clock
        self._lock = threading.Lock()
        self._pairs: dict[str, float | None] = {}  # product → wall-clock second of its last update
        # product → monotonic second from which the next may leave; kept when a pair is removed: adding it again is
        # no way around the pace
        self._due: dict[str, float] = {}
        self._held: dict[str, str] = {}  # product → payload
        self.worker = Worker("priority-pairs", self.step)  # sends what was held back

    def has(self, product_id: str) -> bool:
        """Tell whether a product is a priority pair."""
        return product_id in self._pairs

    def add(self, product_id: str) -> None:
        """Add a pair. Idempotent."""
        with self._lock:
            self._pairs.setdefault(product_id, None)

    def remove(self, product_id: str) -> bool:
        """Remove a pair; return whether it was one."""
        with self._lock:
            known = product_id in self._pairs
            self._pairs.pop(product_id, None)
            self._held.pop(product_id, None)
            return known

    def replace(self, product_ids: Iterable[str]) -> None:
        """Make these the pairs."""
        with self._lock:
            self._pairs = {product_id: self._pairs.get(product_id) for product_id in product_ids}
            for product_id in [item for item in self._held if item not in self._pairs]:
                del self._held[product_id]

    def last_updates(self) -> dict[str, float | None]:
        """Return pair → wall-clock second of its last update (None: none yet), in the order of adding."""
        with self._lock:
            return dict(self._pairs)

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

"""Priority pairs: their updates also leave as ``priority_ticker_update``, at most one a second a pair, the latest."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable

from hub.model import Quote

UPDATE_INTERVAL_SECONDS = 1.0
EVENT = "priority_ticker_update"
log = logging.getLogger(__name__)


class PriorityPairs:
    """Owner of the set of priority pairs and of their pace."""

    def __init__(self, publish: Callable[[str, str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._publish = publish
        self._clock = clock
        self._lock = threading.Lock()
        self._pairs: dict[str, float | None] = {}  # product → wall-clock second of its last update
        # product → monotonic second from which the next may leave; kept when a pair is removed: adding it again is
        # no way around the pace
        self._due: dict[str, float] = {}
        self._held: dict[str, Quote] = {}
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._run, name="priority-pairs", daemon=True)

    def start(self) -> None:
        """Start the thread that sends what was held back."""
        self._thread.start()

    def stop(self, timeout_seconds: float = 1.0) -> None:
        """End the thread. Idempotent."""
        self._stop.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout_seconds)

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

    def tick(self, quote: Quote) -> None:
        """Take a new quote in: send it at once, or hold the latest until its pair's second is over."""
        product_id = quote.ticker.product_id
        if product_id not in self._pairs:
            return
        with self._lock:
            if product_id not in self._pairs:
                return
            if self._clock() < self._due.get(product_id, 0.0):
                self._held[product_id] = quote
                self._wake.set()
                return
            self._held.pop(product_id, None)  # older than this one
            self._mark(quote)
        self._publish(EVENT, quote.payload)

    def step(self) -> float | None:
        """Send what is due; return the seconds until the next is, None if nothing is held."""
        now = self._clock()
        with self._lock:
            ready = [quote for product_id, quote in self._held.items() if self._due[product_id] <= now]
            for quote in ready:
                del self._held[quote.ticker.product_id]
                self._mark(quote)
            waiting = min((self._due[product_id] for product_id in self._held), default=None)
        for quote in ready:
            self._publish(EVENT, quote.payload)
        return None if waiting is None else max(0.0, waiting - now)

    def _mark(self, quote: Quote) -> None:
        product_id = quote.ticker.product_id
        self._due[product_id] = self._clock() + UPDATE_INTERVAL_SECONDS
        self._pairs[product_id] = time.time()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                seconds = self.step()
            except Exception:
                log.exception("bug in priority pairs")
                seconds = UPDATE_INTERVAL_SECONDS
            # woken for every quote that is held: it may be due before the one that is waited for
            self._wake.wait(seconds)
            self._wake.clear()

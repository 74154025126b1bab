"""Missing trades, fetched by REST within the request budget.

The exchange's trades page lags behind its feed by seconds, so an empty answer proves nothing: a gap is asked for again
for ``PATIENCE_SECONDS``, then now and then, since REST may just be down; after ``GIVE_UP_SECONDS`` it stays open.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from hub.feed.dialects.exchange import parse_trades
from hub.feed.rest import RestClient, RestError
from hub.logs import Cooldown
from hub.model import FrameRefused, IdRange, Ticker
from hub.worker import Worker

FIRST_SECONDS = 0.3  # a late ticker may still come by itself
RETRY_SECONDS = 1.5
PATIENCE_SECONDS = 15.0
SLOW_RETRY_SECONDS = 20.0
GIVE_UP_SECONDS = 3_600.0
PAGE = 1_000  # the exchange's largest page of trades
MAX_IDS = 20_000  # of one gap: more would spend the budget of minutes on history
MAX_JOBS = 5_000
log = logging.getLogger(__name__)
_warn = Cooldown(log)


@dataclass(slots=True)
class _Job:
    product_id: str
    begun_at: float
    due_at: float
    tries: int = 0
    below: int | None = None  # this round has looked at all ids from here on


class Repair:
    """Owner of what is to be fetched. ``missing(gap id)`` tells what of it did not come yet.

    ``deliver(trades)`` takes what was fetched, the oldest first, only ids that were missing.
    """

    def __init__(
        self, rest: RestClient, missing: Callable[[int], list[IdRange]], deliver: Callable[[list[Ticker]], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._rest = rest
        self._missing = missing
        self._deliver = deliver
        self._clock = clock
        self._jobs: dict[int, _Job] = {}
        self._lock = threading.Lock()
        self.worker = Worker("repair", self.step)
        self.fetched_total = 0
        self.requests_total = 0
        self.failures_total = 0
        self.refused_total = 0  # gaps that are too long, or too many

    def add(self, gap_id: int, product_id: str) -> None:
        """Have a gap repaired."""
        ranges = self._missing(gap_id)
        now = self._clock()
        with self._lock:
            if gap_id in self._jobs:
                return
            if sum(last - first + 1 for first, last in ranges) > MAX_IDS or len(self._jobs) >= MAX_JOBS:
                self.refused_total += 1
                return
            self._jobs[gap_id] = _Job(product_id, now, now + FIRST_SECONDS)
        self.worker.wake()

    def pending(self) -> dict[int, tuple[str, int]]:
        """Return gap id → (product, tries so far)."""
        with self._lock:
            return {gap_id: (job.product_id, job.tries) for gap_id, job in self._jobs.items()}

    def step(self) -> float | None:
        """Ask for one page of the gap that is due; return the seconds until the next is."""
        now = self._clock()
        with self._lock:
            if not self._jobs:
                return None
            gap_id, job = min(self._jobs.items(), key=lambda item: item[1].due_at)
        if job.due_at > now:
            return job.due_at - now
        ranges = self._missing(gap_id)
        if not ranges or now - job.begun_at > GIVE_UP_SECONDS:
            with self._lock:
                self._jobs.pop(gap_id, None)
            return 0.0
        job.tries += 1
        patient = now - job.begun_at < PATIENCE_SECONDS
        job.due_at = now + (RETRY_SECONDS if patient else SLOW_RETRY_SECONDS)
        try:
            before, job.below = job.below, self._fetch(job.product_id, _below(ranges, job.below))
            left = self._missing(gap_id)
            goes_on = job.below is not None and (before is None or job.below < before)
            if left and goes_on and left[0][0] < (job.below or 0):
                job.due_at = now  # the next page
            else:
                job.below = None  # all was looked at
        except (RestError, FrameRefused) as error:
            self.failures_total += 1
            _warn.warning("repair", "repair product=%s failed: %s", job.product_id, error)
        return 0.0

    def _fetch(self, product_id: str, ranges: Iterable[IdRange]) -> int | None:
        """Fetch the page that ends with the latest missing id; deliver what was missing; return the page's first id."""
        wanted = list(ranges)
        first, last = wanted[0][0], wanted[-1][1]
        limit = min(PAGE, last - first + 1)
        self.requests_total += 1
        body = self._rest.get_json(f"/products/{product_id}/trades?limit={limit}&after={last + 1}")
        page = parse_trades(product_id, body)
        trades = [
            trade for trade in page
            if any(low <= trade.trade_id <= high for low, high in wanted)
        ]  # fmt: skip
        if trades:
            self.fetched_total += len(trades)
            self._deliver(trades)
        return page[0].trade_id if page else None


def _below(ranges: list[IdRange], limit: int | None) -> list[IdRange]:
    """Return the ranges below an id; all of them where nothing is."""
    if limit is None:
        return ranges
    return [(first, min(last, limit - 1)) for first, last in ranges if first < limit] or ranges

"""Missing trades, fetched by REST within the request budget: one job a product, whose pages heal all its gaps.

The exchange's trades page lags behind its feed by seconds, so an empty answer proves nothing: a product is asked for
again for ``PATIENCE_SECONDS`` after its latest gap opened, then now and then. After ``GIVE_UP_SECONDS`` in which REST
answered, what is missing stays open, until another gap of the product has all of them looked for again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hub.feed.continuity import holding
from hub.feed.dialects.exchange import parse_trades
from hub.feed.rest import RestClient, RestError
from hub.logs import Cooldown
from hub.model import MAX_TRADES, FrameRefused, IdRange, Ticker
from hub.worker import Worker

FIRST_SECONDS = 0.3  # a late ticker may still come by itself
RETRY_SECONDS = 1.5
PATIENCE_SECONDS = 15.0
SLOW_RETRY_SECONDS = 20.0
GIVE_UP_SECONDS = 3_600.0
PAGE = MAX_TRADES  # the exchange's largest page
MAX_IDS = 20_000  # of one gap: more would spend the budget of minutes on history
MAX_JOBS = 5_000
UNKNOWN_PRODUCT = 404  # an answer like any other: it brings nothing
ABOVE_ALL = 2**63
log = logging.getLogger(__name__)
_warn = Cooldown(log)


@dataclass(slots=True)
class _Job:
    begun_at: float
    due_at: float
    tries: int = 0
    below: int = ABOVE_ALL  # this round has looked at all ids from here on


class Repair:
    """Owner of what is to be fetched. ``missing(product)`` tells what of it did not come yet, as sorted ranges.

    ``deliver(trades)`` takes what was fetched, the oldest first, only ids that were missing.
    """

    def __init__(
        self, rest: RestClient, missing: Callable[[str], list[IdRange]], deliver: Callable[[list[Ticker]], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        self._rest = rest
        self._missing = missing
        self._deliver = deliver
        self._clock = clock
        self._jobs: dict[str, _Job] = {}
        self._lock = threading.Lock()
        self.worker = Worker("repair", self.step)
        self.fetched_total = 0
        self.failures_total = 0
        self.refused_total = 0  # gaps that are too long, or of too many products

    def add(self, product_id: str, gaps: Sequence[IdRange]) -> None:
        """Have new gaps repaired, and with new patience what else is missing of their product."""
        now = self._clock()
        with self._lock:
            room = product_id in self._jobs or len(self._jobs) < MAX_JOBS
            taken = _not_too_long(gaps) if room else []
            self.refused_total += len(gaps) - len(taken)
            if not taken:
                return
            job = self._jobs.setdefault(product_id, _Job(now, now + FIRST_SECONDS))
            job.begun_at, job.due_at = now, min(job.due_at, now + FIRST_SECONDS)
        self.worker.wake()

    def pending(self) -> dict[str, int]:
        """Return product → tries so far."""
        with self._lock:
            return {product_id: job.tries for product_id, job in self._jobs.items()}

    def step(self) -> float | None:
        """Ask for one page of the product that is due; return the seconds until the next is."""
        now = self._clock()
        with self._lock:
            if not self._jobs:
                return None
            product_id, job = min(self._jobs.items(), key=lambda item: item[1].due_at)
            if job.due_at > now:
                return job.due_at - now
            # asked under the lock: a gap that opens meanwhile finds this job, or begins another
            ranges = _not_too_long(self._missing(product_id))
            if not ranges or now - job.begun_at > GIVE_UP_SECONDS:
                del self._jobs[product_id]
                return 0.0
            job.tries += 1
            job.due_at = now + (RETRY_SECONDS if now - job.begun_at < PATIENCE_SECONDS else SLOW_RETRY_SECONDS)
        ranges = [(first, min(last, job.below - 1)) for first, last in ranges if first < job.below] or ranges
        try:
            job.below = self._fetch(product_id, ranges)
            if job.below < ABOVE_ALL:
                job.due_at = now  # the next page
        except (RestError, FrameRefused) as error:
            self.failures_total += 1
            _warn.warning("repair", "repair product=%s failed: %s", product_id, error)
            if not (isinstance(error, RestError) and error.status == UNKNOWN_PRODUCT):
                job.begun_at = max(job.begun_at, now - PATIENCE_SECONDS)  # REST is down: no time to give up
        return 0.0

    def _fetch(self, product_id: str, ranges: list[IdRange]) -> int:
        """Fetch the page that ends with the latest of these ids and deliver what is missing.

        Return the page's first id if there is more to fetch below it.
        """
        first, last = ranges[0][0], ranges[-1][1]
        limit = min(PAGE, last - first + 1)
        page = parse_trades(
            product_id, self._rest.get_json(f"/products/{product_id}/trades?limit={limit}&after={last + 1}")
        )
        trades = [trade for trade in page if holding(ranges, trade.trade_id) is not None]
        if trades:
            self.fetched_total += len(trades)
            self._deliver(trades)
        return page[0].trade_id if page and first < page[0].trade_id <= last else ABOVE_ALL


def _not_too_long(ranges: Sequence[IdRange]) -> list[IdRange]:
    return [(first, last) for first, last in ranges if last - first < MAX_IDS]

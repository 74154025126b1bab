"""Prices by REST while no socket delivers them: marked as such, within the request budget, and over by itself.

Each ``POLL_SECONDS`` (``MORE_SECONDS`` after the last, where other products need it by now) one request for the last
price of every product (``/products/stats``), then some for tickers of those that moved, the busiest first: they have
trade id, bid and ask. What sockets prove is never touched.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping

from hub.feed.dialects.exchange_rest import parse_stats, parse_ticker
from hub.feed.rest import RestClient, RestError
from hub.logs import Cooldown
from hub.model import FrameRefused, Ticker
from hub.worker import Worker

CHECK_SECONDS = 0.25
# without a proof; heartbeats come each second. Answers of REST are up to 2.9 s old: asked earlier, it could be
# an older price than ours
AFTER_SECONDS = 3.0
START_SECONDS = 8.0  # without any proof yet: 22 connections take 3 s to open, one after the other
POLL_SECONDS = 2.0
MORE_SECONDS = 1.0  # sockets that are lost together leave their products unproved one after the other, within a second
TICKERS_A_POLL = 6  # of some 16 requests: repairs need the rest
MAX_WAIT_SECONDS = 15.0  # between two tries while REST is down
log = logging.getLogger(__name__)
_warn = Cooldown(log)


class Fallback:
    """Owner of when REST is asked.

    ``unproved(now, after_seconds)`` tells the products that need it → when the last proof came (monotonic, None: none
    yet). ``take(ticker, asked_at)`` gets each last price, without a trade id, and returns whether it moved;
    ``trade(ticker, asked_at)`` gets last trades.
    """

    def __init__(
        self, rest: RestClient, unproved: Callable[[float, float], Mapping[str, float | None]],
        take: Callable[[Ticker, float], bool], trade: Callable[[Ticker, float], None],
    ) -> None:  # fmt: skip
        self._rest = rest
        self._unproved = unproved
        self._take = take
        self._trade = trade
        self._without: dict[str, float] = {}  # product without any proof → since when
        self._failures = 0
        self._polled_at = float("-inf")
        self._served: frozenset[str] = frozenset()  # products that were asked for at that time
        self.polls_total = self.failures_total = self.tickers_total = 0
        self.worker = Worker("fallback", self.step)

    @property
    def failing(self) -> bool:
        """Whether prices are needed of REST, and it did not answer the last time."""
        return self._failures > 0

    def step(self) -> float:
        """Ask once if it is needed; return the seconds until the next look."""
        began = time.monotonic()
        if not (wanted := self._wanted(began)):
            self._failures = 0
            return CHECK_SECONDS
        pace = POLL_SECONDS if self._served.issuperset(wanted) else MORE_SECONDS
        if not self._failures and (early := self._polled_at + pace - began) > 0:
            return min(early, CHECK_SECONDS)
        self._polled_at, self._served = began, frozenset(wanted)
        try:
            self._poll(wanted, began + MORE_SECONDS)
            self._failures = 0
            return CHECK_SECONDS
        except (RestError, FrameRefused) as error:
            self._failures += 1
            self.failures_total += 1
            _warn.warning("fallback", "no prices by REST for %d products: %s", len(wanted), error)
        wait = min(MAX_WAIT_SECONDS, POLL_SECONDS * 2.0 ** (self._failures - 1))
        return max(0.0, began + wait - time.monotonic())

    def _wanted(self, now: float) -> list[str]:
        """Return the products that no socket proves, the busiest first; one without any price yet is given time."""
        unproved = self._unproved(now, AFTER_SECONDS)
        self._without = {
            item: self._without.get(item, now) for item, proved_at in unproved.items() if proved_at is None
        }
        return [item for item in unproved if now - self._without.get(item, float("-inf")) >= START_SECONDS]

    def _poll(self, wanted: list[str], until: float) -> None:
        asked_at = time.monotonic()
        days = parse_stats(self._rest.get_json("/products/stats"))
        self.polls_total += 1
        moved = [item for item in wanted if item in days and self._take(days[item], asked_at)]
        for product_id in moved[:TICKERS_A_POLL]:
            if self.worker.stopping or time.monotonic() >= until:
                return
            asked_at = time.monotonic()
            body = self._rest.get_json(f"/products/{product_id}/ticker")
            self.tickers_total += 1
            self._trade(parse_ticker(days[product_id], body), asked_at)

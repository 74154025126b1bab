"""The ticker cache: the only owner of the latest prices. Thread-safe; readers get immutable values."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from hub.feed.continuity import Continuity
from hub.model import Heartbeat, Order, Quote, Ticker
from hub.payload import ticker_payload

TICKING_SECONDS = 120.0  # a product is active while its last tick is this young
MAX_JUMP = 10_000_000  # trade ids; weeks of the busiest product: a larger step is a wrong id, unless a heartbeat agrees


class Book:
    """The latest ticker of each product, and the evidence for it.

    A heartbeat proves for ``heartbeat_fresh_seconds`` that its product has no trade beyond the one that it names.
    """

    def __init__(self, heartbeat_fresh_seconds: float) -> None:
        self._heartbeat_fresh_seconds = heartbeat_fresh_seconds
        self._lock = threading.Lock()  # one change at a time: a product may move between connections
        self._products: tuple[str, ...] = ()
        self._known: frozenset[str] = frozenset()
        self._quotes: dict[str, Quote] = {}
        self._continuity: dict[str, Continuity] = {}
        self._beats: dict[str, tuple[Heartbeat, float]] = {}

    def set_products(self, product_ids: Iterable[str]) -> None:
        """Set the products that are watched, the busiest first; prices of others are dropped."""
        with self._lock:
            self._products = tuple(dict.fromkeys(product_ids))
            self._known = frozenset(self._products)
            for kept in (self._quotes, self._continuity, self._beats):
                for product_id in [item for item in kept if item not in self._known]:
                    del kept[product_id]

    @property
    def products(self) -> tuple[str, ...]:
        """The watched product ids, the busiest first."""
        return self._products

    def knows(self, product_id: str) -> bool:
        """Tell whether a product is watched."""
        return product_id in self._known

    def apply(self, ticker: Ticker, connection_id: str, wall: float, monotonic: float) -> tuple[Order, Quote] | None:
        """Take a ticker in; return where it stands and how it came.

        None for one that is not believed: its product is not watched, or its trade id is absurdly far ahead. Only a
        new one changes the book; the quote of a late one is returned for those who want history.
        """
        product_id = ticker.product_id
        if product_id not in self._known:
            return None
        quote = Quote(ticker, wall, monotonic, connection_id, ticker_payload(ticker))
        with self._lock:
            if product_id not in self._known:  # given up meanwhile
                return None
            continuity = self._continuity.get(product_id)
            if continuity is None:
                continuity = self._continuity[product_id] = Continuity()
            elif ticker.trade_id - continuity.last_id > MAX_JUMP and not self._named(product_id, ticker.trade_id):
                return None
            order = continuity.observe(ticker.trade_id)
            if order is Order.NEW:
                self._quotes[product_id] = quote
        return order, quote

    def _named(self, product_id: str, trade_id: int) -> bool:
        beat = self._beats.get(product_id)
        return beat is not None and abs(beat[0].last_trade_id - trade_id) <= MAX_JUMP

    def beat(self, heartbeat: Heartbeat, monotonic: float) -> None:
        """Take a heartbeat in: evidence on which trade is the product's last."""
        with self._lock:
            if heartbeat.product_id in self._known:
                self._beats[heartbeat.product_id] = (heartbeat, monotonic)

    def quote(self, product_id: str) -> Quote | None:
        """Return the latest of one product, None before its first ticker."""
        return self._quotes.get(product_id)

    def quotes(self) -> list[Quote]:
        """Return the latest of every product that has one, the busiest products first."""
        quotes = self._quotes
        return [quotes[product_id] for product_id in self._products if product_id in quotes]

    def missing_total(self) -> int:
        """Return how many trades were jumped over and did not come since, over all products."""
        with self._lock:
            return sum(continuity.missing_total for continuity in self._continuity.values())

    def activity(self, now: float) -> tuple[int, int]:
        """Return (active products, ticking products) at ``now`` in monotonic seconds.

        Ticking: a tick within ``TICKING_SECONDS``. Active: ticking, or a fresh heartbeat names no trade beyond ours.
        """
        active = ticking = 0
        for product_id in self._products:
            quote = self._quotes.get(product_id)
            if quote is not None and now - quote.received_monotonic <= TICKING_SECONDS:
                ticking += 1
                active += 1
            elif (beat := self._beats.get(product_id)) is not None and now - beat[1] <= self._heartbeat_fresh_seconds:
                active += beat[0].last_trade_id <= (quote.ticker.trade_id if quote is not None else 0)
        return active, ticking

"""The ticker cache: the only owner of the latest prices, and of how far each can be trusted.

Thread-safe; readers get immutable values.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Mapping
from decimal import Decimal
from typing import Any

from hub.entry import MAX_JUMP, Entry
from hub.model import (
    Activity,
    Heartbeat,
    Late,
    Market,
    Order,
    Quote,
    Source,
    Standing,
    Taken,
    Ticker,
    Trust,
    TrustChange,
)  # fmt: skip
from hub.payload import iso_time, ticker_body
from hub.trust import BEHIND_SECONDS, Verdict

TICKING_SECONDS = 120.0  # a product is active while its last tick is this young
MAX_STEP = 20_000  # trade ids that one heartbeat alone may be ahead
AGREEING_BEATS = 2
REST_LAG_SECONDS = 3.0  # an answer of REST may be that old: of what a heartbeat named since it proves nothing
LATE_SECONDS = 0.5  # from arrival to reading: the hub stood still, or is slower than its feed

Row = tuple[str, Quote | None, Trust, str, float | None]
"""A product, its latest, how far that can be trusted, why, and the second of the last proof (monotonic)."""

DOUBTFUL = frozenset((Trust.BEHIND, Trust.STALE, Trust.STARTING))


class Book:
    """The latest ticker of each product, and the evidence for it."""

    def __init__(self, stale_after_seconds: float, heartbeat_fresh_seconds: float) -> None:
        self.stale_after_seconds = stale_after_seconds
        self._heartbeat_fresh_seconds = heartbeat_fresh_seconds
        self._lock = threading.Lock()  # one change at a time: a product may move between connections
        self._listed_at = float("inf")  # when the exchange told its product list, in wall-clock seconds
        self._products: tuple[str, ...] = ()
        self._entries: dict[str, Entry] = {}

    def set_products(self, product_ids: Iterable[str]) -> None:
        """Set the products that are watched, the busiest first; what is known of others is dropped."""
        with self._lock:
            self._products = tuple(dict.fromkeys(product_ids))
            self._entries = {item: self._entries.get(item) or Entry() for item in self._products}

    def set_catalogue(self, verdicts: Mapping[str, Verdict], as_of: float = float("inf")) -> None:
        """Set which products are halted or delisted, and why; all others trade. The next ``review`` tells.

        A trade that comes after ``as_of`` (wall-clock seconds) refutes what the list said of its product.
        """
        with self._lock:
            self._listed_at = as_of
            for product_id, entry in self._entries.items():
                before, entry.catalogue = entry.catalogue, verdicts.get(product_id)
                if before is not None and entry.catalogue is None:
                    entry.undelivered_since = None  # what was owed all the while is owed from now on

    def idle(self) -> list[str]:
        """Return the products that are halted or delisted, but for those that have traded since the list said so."""
        with self._lock:
            return [product_id for product_id, entry in self._entries.items() if entry.catalogue is not None]

    @property
    def products(self) -> tuple[str, ...]:
        """The watched product ids, the busiest first."""
        return self._products

    def knows(self, product_id: str) -> bool:
        """Tell whether a product is watched."""
        return product_id in self._entries

    # -- what comes in --------------------------------------------------------------------------------

    def apply(
        self, ticker: Ticker, source: Source, connection_id: str | None, wall: float, monotonic: float,
        now: float | None = None, beside: bool = False,
    ) -> Taken | None:  # fmt: skip
        """Take a ticker in, that arrived at ``monotonic``; return where it stands and how it came.

        Its trust is judged at ``now``, which is later where it waited to be read. ``beside``: it came by another path
        than the primary one, which owes it all the same.

        None for one that is not believed: its product is not watched, or its trade id is absurdly far ahead. Only a
        new one changes the book; the quote of a late one is returned for those who want history.
        """
        with self._lock:
            entry = self._entries.get(ticker.product_id)
            if entry is None:
                return None
            trade_id, last_id = ticker.trade_id, entry.continuity.last_id
            fetched, by_socket = source is Source.BACKFILL, source is Source.WS
            if last_id < 0 and fetched:  # it is history, and no price that could be trusted
                return None
            if trade_id - last_id > MAX_JUMP and last_id >= 0 and abs(entry.absurd_id - trade_id) > MAX_JUMP:
                return None
            bare = fetched or (entry.market is not None and ticker.best_bid == "0" == ticker.best_ask)
            if bare and trade_id > last_id:
                ticker = entry.dress(ticker)
            quote = Quote(ticker, wall, monotonic, connection_id, source, ticker_body(ticker, source))
            first = last_id < 0
            order, jumped = entry.continuity.observe(trade_id)
            change, refuted = None, False
            if by_socket and not beside and trade_id > entry.delivered_id:
                entry.delivered_id, entry.delivered_at, entry.undelivered_since = trade_id, monotonic, None
            shown = entry.quote.source if entry.quote is not None else source
            if by_socket and trade_id == last_id and (entry.by_rest or shown is Source.REST):
                order = entry.end_rest(quote)
            elif order is Order.NEW:
                if not (fetched and entry.by_rest):  # what REST said is younger than what is made up for
                    entry.quote, entry.by_rest = quote, source is Source.REST
                refuted = not first and not fetched and entry.refute(ticker.time, self._listed_at)
                entry.quote_at = max(entry.quote_at, entry.market_at) if bare else monotonic
                if trade_id >= entry.named_id:
                    entry.ahead_since, entry.ahead_beats = None, 0
                if not fetched and trade_id >= entry.named_id:
                    # when REST was asked may be before a socket's last proof
                    least = (entry.verified_at or 0.0) if source is Source.REST else 0.0
                    entry.verified_at, entry.doubted = max(least, monotonic), False
                elif trade_id >= entry.named_id:  # what proves it is the heartbeat that named it
                    entry.verified_at = max(entry.verified_at or 0.0, entry.beat_at)
                now = monotonic if now is None else now
                if not fetched and (entry.trust is not Trust.LIVE or now - monotonic > LATE_SECONDS):
                    change = entry.judge(ticker.product_id, now, wall, self.stale_after_seconds)
            return Taken(order, quote, entry.trust, jumped, first, change, refuted)

    def take_market(self, market: Market, monotonic: float) -> None:
        """Take in bid, ask and the last 24 hours of a product, from a path that tells them apart from its trades."""
        with self._lock:
            entry = self._entries.get(market.product_id)
            if entry is not None:
                entry.market, entry.market_at = market, monotonic

    def take_rest(self, ticker: Ticker, asked_at: float, wall: float) -> Quote | None:
        """Take in what REST said, when asked at ``asked_at`` (monotonic), of a product that no socket proves.

        ``ticker`` has the price and the last 24 hours, and no trade id. Return the quote if the price changed.
        """
        with self._lock:
            entry = self._entries.get(ticker.product_id)
            if entry is None or (entry.verified_at or 0.0) >= asked_at:
                return None
            old = entry.quote
            same = old is not None and Decimal(old.ticker.price) == Decimal(ticker.price)
            if old is not None:
                kept = old.ticker
                # its trade is younger than that, by how much is not known: time must not go back with the next one
                ticker = ticker._replace(best_bid=kept.best_bid, best_ask=kept.best_ask, time=kept.time)
                if same:
                    ticker = ticker._replace(
                        price=kept.price, trade_id=kept.trade_id, sequence=kept.sequence, last_size=kept.last_size
                    )
            else:
                ticker = ticker._replace(time=iso_time(wall))
            received = (old.received_at, old.received_monotonic) if old is not None and same else (wall, asked_at)
            if old is not None and old.source is not Source.REST:
                entry.before_rest = old
            entry.quote = Quote(ticker, *received, None, Source.REST, ticker_body(ticker, Source.REST))
            entry.by_rest = True
            if not same and entry.undelivered_since is None:  # where no heartbeat names trades, REST alone tells
                entry.undelivered_since = asked_at
            entry.verified_at, entry.doubted = asked_at, False
            if asked_at - entry.beat_at >= REST_LAG_SECONDS:
                entry.ahead_since, entry.ahead_beats = None, 0
            return None if same else entry.quote

    def unproved(self, now: float, after_seconds: float) -> dict[str, float | None]:
        """Return the products that trade and of which no proof came for so long → the last one's second (monotonic).

        None where there was none yet.
        """
        with self._lock:
            return {
                product_id: entry.verified_at
                for product_id, entry in self._entries.items()
                if entry.catalogue is None
                and (entry.by_rest or entry.verified_at is None or now - entry.verified_at >= after_seconds)
            }

    def shown_by_rest(self, product_id: str) -> bool:
        """Tell whether a product's price is REST's for now."""
        entry = self._entries.get(product_id)
        return entry is not None and entry.by_rest

    def by_rest(self) -> int:
        """Return how many prices are REST's for now."""
        return sum(entry.by_rest for entry in self._entries.values())

    def beat(self, heartbeat: Heartbeat, monotonic: float) -> int | None:
        """Take a heartbeat in: evidence on which trade is the product's last.

        Return the last id that is believed, if larger ones were until now; else None.
        """
        with self._lock:
            entry = self._entries.get(heartbeat.product_id)
            if entry is None:
                return None
            named, ours = heartbeat.last_trade_id, max(0, entry.continuity.last_id)  # 0: no trade yet
            if entry.continuity.last_id >= 0 and named - ours > MAX_JUMP:  # absurd, unless a ticker says the same
                entry.absurd_id = named
                return None
            named_before = entry.named_id
            entry.lower_beats = entry.lower_beats + 1 if named < entry.named_id else 0
            if named >= entry.named_id or entry.lower_beats >= AGREEING_BEATS:  # one alone may have been overtaken
                entry.named_id, entry.lower_beats = named, 0
            entry.beat, entry.beat_at = heartbeat, monotonic
            if entry.named_id > ours:
                entry.ahead_beats += 1
                if entry.ahead_since is None:
                    entry.ahead_since = monotonic
            else:
                entry.ahead_beats, entry.ahead_since = 0, None
                # one that names an older trade was sent before our latest came, or denies it; and where there is no
                # market any more, that there was no trade proves nothing
                delisted = entry.catalogue is not None and entry.catalogue[0] is Trust.DELISTED
                if not delisted and (named == ours or monotonic - entry.quote_at <= BEHIND_SECONDS):
                    entry.verified_at, entry.doubted = monotonic, False
                    if entry.by_rest and named == ours:
                        entry.end_rest_by_beat()
            given_up = entry.deny(named < ours and monotonic - entry.quote_at > BEHIND_SECONDS, monotonic)
            if named > max(0, entry.delivered_id):
                if entry.undelivered_since is None:
                    entry.undelivered_since = monotonic
            elif entry.named_id <= max(0, entry.delivered_id):
                entry.undelivered_since = None
            if given_up:
                return named
            return max(named, ours) if entry.named_id < named_before and named_before > ours else None

    def doubt(self, product_ids: Collection[str]) -> None:
        """Note that these products' connection was lost: nothing is proved until something new is heard."""
        with self._lock:
            for product_id in product_ids:
                if (entry := self._entries.get(product_id)) is not None:
                    entry.doubted = True
                    entry.undelivered_since = None

    def review(self, now: float, wall: float) -> list[TrustChange]:
        """Judge every product at ``now`` (monotonic); return what changed."""
        with self._lock:
            changes = [
                entry.judge(product_id, now, wall, self.stale_after_seconds)
                for product_id, entry in self._entries.items()
            ]
        return [change for change in changes if change is not None]

    # -- what goes out --------------------------------------------------------------------------------

    def quote(self, product_id: str) -> Quote | None:
        """Return the latest of one product, None before its first ticker."""
        entry = self._entries.get(product_id)
        return entry.quote if entry is not None else None

    def quotes(self) -> list[Quote]:
        """Return the latest of every product that has one, the busiest products first."""
        return [entry.quote for entry in self._entries.values() if entry.quote is not None]

    def standing(self, product_id: str, now: float) -> Standing | None:
        """Return how far a product's price can be trusted at ``now`` (monotonic), None if it has none."""
        with self._lock:
            entry = self._entries.get(product_id)
            if entry is None or entry.quote is None:
                return None
            trust, reason = entry.verdict(now, self.stale_after_seconds)
            verified_at = entry.verified_at if entry.verified_at is not None else entry.quote.received_monotonic
            ages = (now - at for at in (entry.quote.received_monotonic, verified_at, entry.quote_at))
            return Standing(trust, reason, *(max(0, int(age * 1000)) for age in ages))

    def rows(self, product_ids: Iterable[str], now: float) -> list[Row]:
        """Return what a table shows of those of these products that are watched, at ``now`` (monotonic)."""
        after = self.stale_after_seconds
        with self._lock:
            return [
                (item, entry.quote, *entry.verdict(now, after), entry.verified_at)
                for item in product_ids if (entry := self._entries.get(item)) is not None
            ]  # fmt: skip

    def late(self, now: float, after_seconds: float) -> list[Late]:
        """Return the products of which a heartbeat has named, for so long, trades that did not come.

        The socket owes nothing of a product that is halted or delisted.
        """
        with self._lock:
            found = []
            for product_id, entry in self._entries.items():
                ahead = entry.ahead_since is not None and now - entry.ahead_since >= after_seconds
                owed = entry.undelivered_since is not None and now - entry.undelivered_since >= after_seconds
                owed = owed and entry.catalogue is None
                if ahead or owed:
                    last_id = entry.continuity.last_id
                    believed = MAX_JUMP if entry.ahead_beats >= AGREEING_BEATS else MAX_STEP
                    sound = last_id >= 0 and last_id < entry.named_id <= last_id + believed
                    missing = (last_id + 1, entry.named_id) if ahead and sound else None
                    since = entry.ahead_since if ahead else None
                    found.append(Late(product_id, missing, since, entry.undelivered_since if owed else None))
            return found

    def delivering(self, product_ids: Iterable[str], since: float) -> int:
        """Return how many of these products had a ticker through a socket since then (monotonic)."""
        return sum(
            entry.delivered_at >= since for item in product_ids if (entry := self._entries.get(item)) is not None
        )

    def last_ids(self) -> dict[str, int]:
        """Return product → the latest trade id that we have."""
        with self._lock:
            return {
                product_id: entry.continuity.last_id
                for product_id, entry in self._entries.items()
                if entry.continuity.last_id >= 0
            }

    def last_id(self, product_id: str) -> int:
        """Return the latest trade id that we have of a product, -1 if none."""
        entry = self._entries.get(product_id)
        return entry.continuity.last_id if entry is not None else -1

    def first_id(self, product_id: str) -> int:
        """Return the first trade id that we had of a product, -1 before it."""
        entry = self._entries.get(product_id)
        return entry.continuity.first_id if entry is not None else -1

    def missing_total(self) -> int:
        """Return how many trades were jumped over and did not come since, over all products."""
        with self._lock:
            return sum(entry.continuity.missing_total() for entry in self._entries.values())

    def explain(self, product_id: str, now: float) -> dict[str, Any]:
        """Return all that is known of a watched product, for people. Raises ``KeyError``."""
        with self._lock:
            entry = self._entries[product_id]
            return entry.explain(now, self.stale_after_seconds)

    def activity(self, now: float) -> Activity:
        """Count the products that are active at ``now`` in monotonic seconds.

        Ticking: a tick within ``TICKING_SECONDS``. Active: ticking, or a fresh heartbeat names no trade beyond ours.
        """
        active = ticking = excused = 0
        with self._lock:
            for entry in self._entries.values():
                proved = (
                    entry.beat is not None
                    and now - entry.beat_at <= self._heartbeat_fresh_seconds
                    and entry.beat.last_trade_id <= max(0, entry.continuity.last_id)
                )
                ticks = entry.quote is not None and now - entry.quote.received_monotonic <= TICKING_SECONDS
                ticking += ticks
                active += ticks or proved
                excused += entry.catalogue is not None and not (ticks or proved)
            return Activity(active, ticking, excused)

    def trusts(self, now: float) -> tuple[dict[str, int], list[tuple[str, Trust, str]]]:
        """Return (state → how many watched products are in it, of every state; the doubtful: product, state, why)."""
        counts = dict.fromkeys((trust.value for trust in Trust), 0)
        doubtful: list[tuple[str, Trust, str]] = []
        with self._lock:
            for product_id, entry in self._entries.items():
                trust, reason = entry.verdict(now, self.stale_after_seconds)
                counts[trust.value] += 1
                if trust in DOUBTFUL:
                    doubtful.append((product_id, trust, reason))
        return counts, doubtful

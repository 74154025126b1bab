"""The ticker cache: the only owner of the latest prices, and of how far each can be trusted.

Thread-safe; readers get immutable values.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from typing import Any

from hub.feed.continuity import Continuity
from hub.model import (
    Activity,
    Heartbeat,
    Late,
    Order,
    Quote,
    Source,
    Standing,
    Taken,
    Ticker,
    Trust,
    TrustChange,
)  # fmt: skip
from hub.payload import ticker_body
from hub.trust import BEHIND_SECONDS, Evidence, Verdict, judge

TICKING_SECONDS = 120.0  # a product is active while its last tick is this young
MAX_JUMP = 10_000_000  # trade ids; weeks of the busiest product: a larger step is a wrong id, unless a heartbeat agrees
MAX_STEP = 20_000  # trade ids that one heartbeat alone may be ahead
AGREEING_BEATS = 2
DENIED_SECONDS = 5.0
LATE_SECONDS = 0.5  # from arrival to reading: the hub stood still, or is slower than its feed
HISTORY = 20  # changes of trust that are remembered of a product


class _Entry:
    """All that is known of one product."""

    __slots__ = (
        "absurd_id", "ahead_beats", "ahead_since", "beat", "beat_at", "catalogue", "continuity", "delivered_at",
        "delivered_id", "denied_since", "doubted", "history", "lower_beats", "named_id", "quote", "quote_at",
        "reason", "trust", "undelivered_since", "verified_at",
    )  # fmt: skip

    def __init__(self) -> None:
        self.quote: Quote | None = None
        self.quote_at = 0.0  # when bid and ask last came
        self.continuity = Continuity()
        self.beat: Heartbeat | None = None
        self.beat_at = 0.0
        self.absurd_id = -MAX_JUMP - 1
        self.named_id = -1  # the latest trade that a heartbeat named
        self.verified_at: float | None = None
        self.ahead_since: float | None = None
        self.ahead_beats = 0  # heartbeats since then that agree
        self.lower_beats = 0  # heartbeats in a row that name less than one before them
        self.denied_since: float | None = None
        self.doubted = False
        self.delivered_id = -1  # the latest trade that came through a socket
        self.delivered_at = 0.0
        self.undelivered_since: float | None = None
        self.catalogue: Verdict | None = None  # what the exchange's product list says against it
        self.trust = Trust.STARTING
        self.reason = "no price yet"
        self.history: deque[tuple[float, Trust, str]] = deque(maxlen=HISTORY)


class Book:
    """The latest ticker of each product, and the evidence for it."""

    def __init__(self, stale_after_seconds: float, heartbeat_fresh_seconds: float) -> None:
        self.stale_after_seconds = stale_after_seconds
        self._heartbeat_fresh_seconds = heartbeat_fresh_seconds
        self._lock = threading.Lock()  # one change at a time: a product may move between connections
        self._listed_at = float("inf")  # when the exchange told its product list, in wall-clock seconds
        self._products: tuple[str, ...] = ()
        self._entries: dict[str, _Entry] = {}

    def set_products(self, product_ids: Iterable[str]) -> None:
        """Set the products that are watched, the busiest first; what is known of others is dropped."""
        with self._lock:
            self._products = tuple(dict.fromkeys(product_ids))
            self._entries = {item: self._entries.get(item) or _Entry() for item in self._products}

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
        now: float | None = None,
    ) -> Taken | None:  # fmt: skip
        """Take a ticker in, that arrived at ``monotonic``; return where it stands and how it came.

        Its trust is judged at ``now``, which is later where it waited to be read.

        None for one that is not believed: its product is not watched, or its trade id is absurdly far ahead. Only a
        new one changes the book; the quote of a late one is returned for those who want history.
        """
        with self._lock:
            entry = self._entries.get(ticker.product_id)
            if entry is None:
                return None
            trade_id, last_id = ticker.trade_id, entry.continuity.last_id
            fetched = source is Source.BACKFILL
            if last_id < 0 and fetched:  # it is history, and no price that could be trusted
                return None
            if trade_id - last_id > MAX_JUMP and last_id >= 0 and abs(entry.absurd_id - trade_id) > MAX_JUMP:
                return None
            if fetched and trade_id > last_id and entry.quote is not None:
                old = entry.quote.ticker  # a fetched trade says nothing of the market around it
                ticker = ticker._replace(
                    best_bid=old.best_bid, best_ask=old.best_ask, open_24h=old.open_24h, high_24h=old.high_24h,
                    low_24h=old.low_24h, volume_24h=old.volume_24h, sequence=old.sequence,
                )  # fmt: skip
            quote = Quote(ticker, wall, monotonic, connection_id, source, ticker_body(ticker, source))
            first = last_id < 0
            order, jumped = entry.continuity.observe(trade_id)
            change, refuted = None, False
            if not fetched and trade_id > entry.delivered_id:
                entry.delivered_id, entry.delivered_at, entry.undelivered_since = trade_id, monotonic, None
            if order is Order.NEW:
                entry.quote = quote
                refuted = not first and not fetched and self._refute(entry, ticker.time)
                if not fetched:
                    entry.quote_at = monotonic
                if trade_id >= entry.named_id:
                    entry.ahead_since, entry.ahead_beats = None, 0
                if not fetched and trade_id >= entry.named_id:
                    entry.verified_at, entry.doubted = monotonic, False
                elif trade_id >= entry.named_id:  # what proves it is the heartbeat that named it
                    entry.verified_at = max(entry.verified_at or 0.0, entry.beat_at)
                now = monotonic if now is None else now
                if not fetched and (entry.trust is not Trust.LIVE or now - monotonic > LATE_SECONDS):
                    change = self._judge(entry, ticker.product_id, now, wall)
            return Taken(order, quote, entry.trust, jumped, first, change, refuted)

    def _refute(self, entry: _Entry, time: str) -> bool:
        """Drop what the product list says against a product if it has traded since, at the exchange's ``time``."""
        if entry.catalogue is None or datetime.fromisoformat(time).timestamp() <= self._listed_at:
            return False
        entry.catalogue = None
        return True

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
            given_up = self._deny(entry, named < ours and monotonic - entry.quote_at > BEHIND_SECONDS, monotonic)
            if named > max(0, entry.delivered_id):
                if entry.undelivered_since is None:
                    entry.undelivered_since = monotonic
            elif entry.named_id <= max(0, entry.delivered_id):
                entry.undelivered_since = None
            if given_up:
                return named
            return max(named, ours) if entry.named_id < named_before and named_before > ours else None

    @staticmethod
    def _deny(entry: _Entry, denied: bool, monotonic: float) -> bool:
        """Give up trade ids that the heartbeats have denied for ``DENIED_SECONDS``: they were wrong, or began anew."""
        if not denied:
            entry.denied_since = None
        elif entry.denied_since is None:
            entry.denied_since = monotonic
        elif monotonic - entry.denied_since >= DENIED_SECONDS:
            entry.continuity = Continuity()
            entry.delivered_id = entry.named_id = -1
            entry.denied_since = None
            return True
        return False

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
            changes = [self._judge(entry, product_id, now, wall) for product_id, entry in self._entries.items()]
        return [change for change in changes if change is not None]

    def _judge(self, entry: _Entry, product_id: str, now: float, wall: float) -> TrustChange | None:
        trust, entry.reason = self._verdict(entry, now)
        if trust is entry.trust:
            return None
        previous, entry.trust = entry.trust, trust
        entry.history.append((wall, trust, entry.reason))
        verified_ms = None if entry.verified_at is None else int((now - entry.verified_at) * 1000)
        return TrustChange(product_id, trust, previous, entry.reason, wall, verified_ms)

    def _verdict(self, entry: _Entry, now: float) -> Verdict:
        at = entry.quote.received_monotonic if entry.quote is not None else None
        seen = Evidence(
            at, entry.verified_at, entry.ahead_since, entry.doubted, self.stale_after_seconds, entry.catalogue
        )
        return judge(now, seen)

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
            trust, reason = self._verdict(entry, now)
            verified_at = entry.verified_at if entry.verified_at is not None else entry.quote.received_monotonic
            ages = (now - at for at in (entry.quote.received_monotonic, verified_at, entry.quote_at))
            return Standing(trust, reason, *(max(0, int(age * 1000)) for age in ages))

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
            ages = {
                "last_trade_ms": entry.quote.received_monotonic if entry.quote is not None else None,
                "verified_ms": entry.verified_at,
                "heartbeat_ms": entry.beat_at if entry.beat is not None else None,
                "ahead_ms": entry.ahead_since,
                "undelivered_ms": entry.undelivered_since,
            }
            trust, reason = self._verdict(entry, now)
            return {
                "trust": trust,
                "reason": reason,
                "doubted": entry.doubted,
                "ages": {name: None if at is None else int((now - at) * 1000) for name, at in ages.items()},
                "ids": {
                    "first": entry.continuity.first_id,
                    "last": entry.continuity.last_id,
                    "last_delivered": entry.delivered_id,
                    "last_named_by_heartbeat": entry.named_id,
                    "missing_ranges": [list(item) for item in entry.continuity.missing()],
                },
                "heartbeat": entry.beat._asdict() if entry.beat is not None else None,
                "history": [(at, trust, why) for at, trust, why in entry.history],
            }

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

    def trust_counts(self, now: float) -> dict[str, int]:
        """Return state → how many watched products are in it; every state is there."""
        counts = dict.fromkeys((trust.value for trust in Trust), 0)
        with self._lock:
            for entry in self._entries.values():
                counts[self._verdict(entry, now)[0].value] += 1
        return counts

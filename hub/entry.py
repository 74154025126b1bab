"""What the book keeps of one product, and how far its price can be trusted."""

from __future__ import annotations

from collections import deque
from datetime import datetime
from decimal import Decimal
from typing import Any

from hub.feed.continuity import Continuity
from hub.model import Heartbeat, Market, Order, Quote, Ticker, Trust, TrustChange
from hub.trust import Evidence, Verdict, judge

MAX_JUMP = 10_000_000  # trade ids; weeks of the busiest product: a larger step is a wrong id, unless a heartbeat agrees
DENIED_SECONDS = 5.0
AROUND = ("best_bid", "best_ask", "open_24h", "high_24h", "low_24h", "volume_24h")  # of a trade
HISTORY = 20  # changes of trust that are remembered of a product


class Entry:
    """All that is known of one product. Not thread-safe: the book's lock is held."""

    __slots__ = (
        "absurd_id", "ahead_beats", "ahead_since", "beat", "beat_at", "before_rest", "by_rest", "catalogue",
        "continuity", "delivered_at", "delivered_id", "denied_since", "doubted", "history", "lower_beats", "market",
        "market_at", "named_id", "quote", "quote_at", "reason", "trust", "undelivered_since", "verified_at",
    )  # fmt: skip

    def __init__(self) -> None:
        self.quote: Quote | None = None
        self.quote_at = 0.0  # when bid and ask last came
        self.market: Market | None = None  # where they come apart from the trades
        self.market_at = 0.0
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
        self.by_rest = False  # whether the latest proof is REST's
        self.before_rest: Quote | None = None  # the latest that came by another way
        self.catalogue: Verdict | None = None  # what the exchange's product list says against it
        self.trust = Trust.STARTING
        self.reason = "no price yet"
        self.history: deque[tuple[float, Trust, str]] = deque(maxlen=HISTORY)

    # -- what comes in --------------------------------------------------------------------------------

    def refute(self, time: str, listed_at: float) -> bool:
        """Drop what the product list of ``listed_at`` says if the product has traded since, at the exchange's ``time``.
        """
        if self.catalogue is None or datetime.fromisoformat(time).timestamp() <= listed_at:
            return False
        self.catalogue = None
        return True

    def dress(self, ticker: Ticker) -> Ticker:
        """Return a trade that came without the market around it, with the latest that is known of that."""
        old, market = self.quote.ticker if self.quote is not None else None, self.market
        if market is not None and (old is None or self.market_at >= self.quote_at):
            known = {name: getattr(market, name) for name in AROUND if getattr(market, name) != "0" or old is None}
        else:
            known = {}
        if old is not None:
            known = {name: getattr(old, name) for name in AROUND} | known | {"sequence": old.sequence}
        return ticker._replace(**known)

    def deny(self, denied: bool, monotonic: float) -> bool:
        """Give up trade ids that the heartbeats have denied for ``DENIED_SECONDS``: they were wrong, or began anew."""
        if not denied:
            self.denied_since = None
        elif self.denied_since is None:
            self.denied_since = monotonic
        elif monotonic - self.denied_since >= DENIED_SECONDS:
            self.continuity = Continuity()
            self.delivered_id = self.named_id = -1
            self.denied_since = None
            return True
        return False

    def end_rest(self, quote: Quote) -> Order:
        """Go back to the last trade that came through a socket, which it has sent again: REST's price is no later."""
        changed = self.quote is None or Decimal(self.quote.ticker.price) != Decimal(quote.ticker.price)
        self.quote, self.by_rest, self.undelivered_since = quote, False, None
        return Order.AGAIN if changed else Order.DUPLICATE

    def end_rest_by_beat(self) -> None:
        """Take note that a heartbeat names our last trade; not where REST has told another price than that trade's."""
        quote, before, last_id = self.quote, self.before_rest, self.continuity.last_id
        if quote is None or last_id < 0:
            return
        known = before is not None and before.ticker.trade_id == last_id
        if known and before is not None and Decimal(before.ticker.price) == Decimal(quote.ticker.price):
            self.quote, self.by_rest = before, False
        elif quote.ticker.trade_id == last_id:
            self.by_rest = False

    # -- trust ----------------------------------------------------------------------------------------

    def verdict(self, now: float, stale_after_seconds: float) -> Verdict:
        """Return the state at ``now`` (monotonic), and why."""
        at = self.quote.received_monotonic if self.quote is not None else None
        seen = Evidence(
            at, self.verified_at, self.ahead_since, self.doubted, stale_after_seconds, self.catalogue, self.by_rest
        )
        return judge(now, seen)

    def judge(self, product_id: str, now: float, wall: float, stale_after_seconds: float) -> TrustChange | None:
        """Note the state at ``now``; return the change, if it is one."""
        trust, self.reason = self.verdict(now, stale_after_seconds)
        if trust is self.trust:
            return None
        previous, self.trust = self.trust, trust
        self.history.append((wall, trust, self.reason))
        verified_ms = None if self.verified_at is None else int((now - self.verified_at) * 1000)
        return TrustChange(product_id, trust, previous, self.reason, wall, verified_ms)

    def explain(self, now: float, stale_after_seconds: float) -> dict[str, Any]:
        """Return all that is known, for people."""
        ages = {
            "last_trade_ms": self.quote.received_monotonic if self.quote is not None else None,
            "verified_ms": self.verified_at,
            "heartbeat_ms": self.beat_at if self.beat is not None else None,
            "ahead_ms": self.ahead_since,
            "undelivered_ms": self.undelivered_since,
        }
        trust, reason = self.verdict(now, stale_after_seconds)
        return {
            "trust": trust,
            "reason": reason,
            "doubted": self.doubted,
            "ages": {name: None if at is None else int((now - at) * 1000) for name, at in ages.items()},
            "ids": {
                "first": self.continuity.first_id,
                "last": self.continuity.last_id,
                "last_delivered": self.delivered_id,
                "last_named_by_heartbeat": self.named_id,
                "missing_ranges": [list(item) for item in self.continuity.missing()],
            },
            "heartbeat": self.beat._asdict() if self.beat is not None else None,
            "history": [(at, trust, why) for at, trust, why in self.history],
        }

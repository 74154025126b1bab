"""What the book keeps of one product."""

from __future__ import annotations

from collections import deque

from hub.feed.continuity import Continuity
from hub.model import Heartbeat, Quote, Trust
from hub.trust import Verdict

MAX_JUMP = 10_000_000  # trade ids; weeks of the busiest product: a larger step is a wrong id, unless a heartbeat agrees
HISTORY = 20  # changes of trust that are remembered of a product


class Entry:
    """All that is known of one product."""

    __slots__ = (
        "absurd_id", "ahead_beats", "ahead_since", "beat", "beat_at", "by_rest", "catalogue", "continuity", "delivered_at",
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
        self.by_rest = False  # whether the latest proof is REST's
        self.catalogue: Verdict | None = None  # what the exchange's product list says against it
        self.trust = Trust.STARTING
        self.reason = "no price yet"
        self.history: deque[tuple[float, Trust, str]] = deque(maxlen=HISTORY)

"""The hub's vocabulary: immutable values that every room may import, and that import nothing but the standard library.

Prices are exact: the exchange's text is kept, and becomes a number only where a client asks for one.
"""

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import NamedTuple

MAX_PRODUCTS = 10_000  # of an exchange's list; Coinbase has some 800
MAX_TRADES = 1_000  # of a page by REST


class ConnectionStatus(StrEnum):
    """A connection slot's state; the values are what ``GET /connections`` prints."""

    DISCONNECTED = "disconnected"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    RECONNECTING = "reconnecting"
    FAILED = "failed"


class HealthStatus(StrEnum):
    """What ``GET /health`` says in one word."""

    STARTING = "starting"
    HEALTHY = "healthy"
    WARNING = "warning"
    CRITICAL = "critical"


class Trust(StrEnum):
    """How far a price can be trusted; ``hub.trust`` has the rules."""

    LIVE = "live"
    QUIET = "quiet"
    BEHIND = "behind"
    STALE = "stale"
    HALTED = "halted"
    DELISTED = "delisted"
    STARTING = "starting"


class Source(StrEnum):
    """How a price came to us."""

    WS = "ws"
    REST = "rest"
    BACKFILL = "backfill"
    SIMULATOR = "simulator"


class Cause(StrEnum):
    """Why something could have been missed; the ledger's word for it."""

    SEQUENCE = "sequence"
    HEARTBEAT = "heartbeat"
    DISCONNECT = "disconnect"
    OVERFLOW = "overflow"
    RESTART = "restart"
    PAUSE = "pause"


IdRange = tuple[int, int]
"""Trade ids from the first to the last, both included."""


class Order(StrEnum):
    """Where a trade id stands in its product's dense sequence."""

    NEW = "new"  # ahead of everything seen: the latest price
    LATE = "late"  # fills a hole behind the latest: leaves as a backfill, never overwrites
    DUPLICATE = "duplicate"  # seen already: leaves nowhere
    AGAIN = "again"  # seen already; the latest all the same, where REST has told another price since
    FORGOTTEN = "forgotten"  # so old that its hole may have been given up: late or a duplicate, the ledger knows


@dataclass(frozen=True, slots=True)
class Product:
    """One market of the exchange's catalogue.

    ``volume_24h_quote`` is the last 24 hours' volume in the quote currency (last price x base volume), 0 if unknown.
    ``status`` is the exchange's own word, None for one that it does not list any more.
    """

    id: str
    base_currency: str
    quote_currency: str
    volume_24h_quote: Decimal = Decimal(0)
    status: str | None = "online"
    trading_disabled: bool = False

    @property
    def online(self) -> bool:
        """Whether it is listed and trades."""
        return self.status == "online" and not self.trading_disabled

    @property
    def delisted(self) -> bool:
        """Whether it is gone from the exchange, not merely halted."""
        return self.status in (None, "delisted")


class Ticker(NamedTuple):
    """One trade and the market around it, as the exchange told it; every price and size is the exchange's own text.

    A field that the exchange did not send is ``"0"`` (``sequence``: 0). ``time`` is the trade's RFC 3339 text.
    ``simulated`` travels with the data: a frame of the simulator carries the mark. ``history``: a snapshot brought it
    together with a later one of its product.
    """

    product_id: str
    price: str
    trade_id: int
    time: str
    sequence: int = 0
    best_bid: str = "0"
    best_ask: str = "0"
    last_size: str = "0"
    open_24h: str = "0"
    high_24h: str = "0"
    low_24h: str = "0"
    volume_24h: str = "0"
    simulated: bool = False
    history: bool = False


class Heartbeat(NamedTuple):
    """The exchange's word, once a second a product, on which trade was the last."""

    product_id: str
    last_trade_id: int
    sequence: int
    time: str


class Market(NamedTuple):
    """The market around a product's price, from a feed that tells it apart from the trades.

    ``time`` is when the exchange sent it, RFC 3339. A field that the exchange did not send, or from which it can't be
    known, is ``"0"``.
    """

    product_id: str
    time: str
    best_bid: str = "0"
    best_ask: str = "0"
    open_24h: str = "0"
    high_24h: str = "0"
    low_24h: str = "0"
    volume_24h: str = "0"
    simulated: bool = False


class ConnectionHeartbeat(NamedTuple):
    """The exchange's word, once a second, that a connection is alive; it says nothing of any product.

    ``counter`` is the server's own: only its steps within one connection mean something.
    """

    time: str
    counter: int


class Envelope(NamedTuple):
    """What a frame came in: its number on its connection (``hub.feed.sequence``) and when the exchange sent it."""

    sequence_num: int
    time: str


class Subscriptions(NamedTuple):
    """The exchange's acknowledgement: the connection's whole set, channel to product ids."""

    channels: dict[str, frozenset[str]]


class ExchangeError(NamedTuple):
    """An error frame of the exchange; ``message`` and ``reason`` are its own words."""

    message: str
    reason: str


class Ignored(NamedTuple):
    """A well-formed frame of a type that the hub has no use for."""

    label: str


Event = Ticker | Heartbeat | Market | ConnectionHeartbeat | Envelope | Subscriptions | ExchangeError | Ignored


class FrameRefused(ValueError):
    """A frame that must not be believed.

    ``reason`` is one of a bounded set of labels (it is counted); ``detail`` is for people and names field and value.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail


class Quote(NamedTuple):
    """What the book holds of a product: its latest ticker, and how it came to us.

    ``received_at`` is wall-clock seconds since the epoch (for data), ``received_monotonic`` seconds of the monotonic
    clock (for ages). ``connection_id`` is None for one that was fetched. ``body`` is the start of its JSON (see
    ``hub.payload``).
    """

    ticker: Ticker
    received_at: float
    received_monotonic: float
    connection_id: str | None
    source: Source
    body: str


class Standing(NamedTuple):
    """How far a quote can be trusted at one moment; ages in milliseconds."""

    trust: Trust
    reason: str
    age_ms: int
    verified_ms: int
    quote_age_ms: int


class TrustChange(NamedTuple):
    """A product's trust changed, at ``at`` (wall-clock seconds); ``verified_ms`` is None before the first proof."""

    product_id: str
    trust: Trust
    previous: Trust
    reason: str
    at: float
    verified_ms: int | None


class Taken(NamedTuple):
    """What became of a ticker: where it stands, its quote, the product's trust by now, ids that it jumped over.

    ``first``: the product's first one. ``change``: of the trust, if this ticker changed it. ``refuted``: it is newer
    than the product list that said that the product does not trade.
    """

    order: Order
    quote: Quote
    trust: Trust
    jumped: IdRange | None
    first: bool
    change: TrustChange | None
    refuted: bool


class Late(NamedTuple):
    """A product of which a heartbeat names trades that did not come; ``since`` in monotonic seconds.

    ``missing``: the ids that we do not have by any way, None if there are none. ``undelivered_since``: since when the
    socket owes them, whether or not they were fetched meanwhile.
    """

    product_id: str
    missing: IdRange | None
    since: float | None
    undelivered_since: float | None


class Activity(NamedTuple):
    """How many products are active, and how many tick; ``excused`` are neither, since the exchange halted them."""

    active: int
    ticking: int
    excused: int


class Transferred(NamedTuple):
    """How the rotation of a connection (``connection_id``) or a move of products (None) ended.

    ``how``: ``rotated``, ``moved``, else what went wrong, in a word; ``why`` it was begun.
    """

    connection_id: str | None
    connections: tuple[str, ...]
    products: tuple[str, ...]
    how: str
    seconds: float
    why: str


@dataclass(frozen=True, slots=True)
class ConnectionSnapshot:
    """One connection slot at one moment. Times are wall-clock seconds since the epoch, or None for never."""

    connection_id: str
    status: ConnectionStatus
    product_ids: tuple[str, ...]
    generation: int
    total_messages: int
    messages_per_second: float
    error_count: int
    reconnects: int
    uptime_seconds: float
    last_heartbeat: float | None
    last_message: float | None
    last_cause: str | None

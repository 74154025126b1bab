"""The Coinbase Exchange WebSocket protocol: channels ``ticker`` and ``heartbeat``.

Strict on purpose: a frame that holds anything malformed is refused whole, with a reason out of ``REASONS``; the last
good value then stays and ages. Nothing but plain decimal numbers, product ids and UTC times gets into an event, so
that later rooms may pass these texts on without escaping.
"""

from collections.abc import Sequence
from typing import Any

import orjson

from hub.feed.dialects import fields
from hub.model import (
    MAX_TRADES,
    Event,
    ExchangeError,
    FrameRefused,
    Heartbeat,
    Ignored,
    Subscriptions,
    Ticker,
)

CHANNELS = ("ticker", "heartbeat")
MAX_FRAME_BYTES = 1_048_576  # the ``status`` channel's largest frame is 740 KB; a ticker is 400 bytes
UNUSED_NUMBERS = ("best_bid_size", "best_ask_size", "volume_30d")  # a frame that is wrong in one is not believed
CONNECTS_PER_SECOND = 8  # an IP address, over all its connections
MESSAGES_PER_SECOND = 100  # of the client, an IP address, over all its connections

REASONS = (
    "empty",
    "not_json",
    "not_object",
    "no_type",
    "bad_product_id",
    "bad_price",
    "bad_number",
    "bad_trade_id",
    "bad_sequence",
    "bad_time",
    "bad_subscriptions",
    "bad_error",
    "bad_mark",
)

_OTHER_TYPES = frozenset(
    {"match", "last_match", "l2update", "snapshot", "status", "received", "open", "done", "change", "activate",
     "auction", "rfq_match", "ticker_batch"}
)  # fmt: skip


class ExchangeDialect:
    """Codec of the Exchange protocol; holds no state, one instance may serve every connection."""

    name = "exchange"
    max_frame_bytes = MAX_FRAME_BYTES
    product_channels: tuple[str, ...] = CHANNELS
    products_per_socket: int | None = None
    connects_per_second = CONNECTS_PER_SECOND
    messages_per_second = MESSAGES_PER_SECOND
    subscribe_error = "Failed to subscribe"
    slow_consumer_error = "ErrSlowConsume"

    def decode(self, frame: bytes) -> tuple[Event, ...]:
        """Return the events of one frame (here always one); raises ``FrameRefused``."""
        message = fields.load(frame)
        kind = message.get("type")
        if kind == "ticker":
            return (_ticker(message),)
        if kind == "heartbeat":
            return (_heartbeat(message),)
        if kind == "subscriptions":
            return (_subscriptions(message),)
        if kind == "error":
            return (_error(message),)
        if type(kind) is not str:
            raise FrameRefused("no_type", repr(kind)[:80])
        return (Ignored(kind if kind in _OTHER_TYPES else "unknown"),)

    def subscribe(self, product_ids: Sequence[str]) -> list[bytes]:
        """Return one frame that subscribes both channels of these products; none for no products."""
        return self._request("subscribe", product_ids)

    def unsubscribe(self, product_ids: Sequence[str]) -> list[bytes]:
        """Return one frame that unsubscribes both channels of these products; none for no products."""
        return self._request("unsubscribe", product_ids)

    @staticmethod
    def _request(kind: str, product_ids: Sequence[str]) -> list[bytes]:
        if not product_ids:
            return []
        return [orjson.dumps({"type": kind, "product_ids": list(product_ids), "channels": list(CHANNELS)})]


def parse_trades(product_id: str, body: object) -> list[Ticker]:
    """Return the trades of a ``GET /products/{id}/trades`` body as tickers, the oldest first.

    Of the market around a trade nothing is known: those fields are ``"0"``. Raises ``FrameRefused`` for a body that is
    wrong in any of its rows.
    """
    if type(body) is not list:
        raise FrameRefused("not_list", type(body).__name__)
    if len(body) > MAX_TRADES:
        raise FrameRefused("too_many", f"{len(body)} trades")
    trades = []
    for row in body:
        if type(row) is not dict:
            raise FrameRefused("not_object", type(row).__name__)
        price, trade_id = fields.price(row), fields.integer(row, "trade_id", "bad_trade_id")
        size = fields.decimal(row, "size", "bad_number")
        trades.append(Ticker(product_id, price, trade_id, fields.time(row), last_size=size))
    return sorted(trades, key=lambda trade: trade.trade_id)


def _ticker(message: dict[str, Any]) -> Ticker:
    price = fields.price(message)
    for field in UNUSED_NUMBERS:
        fields.optional_decimal(message, field)
    return Ticker(
        product_id=fields.product_id(message),
        price=price,
        trade_id=fields.integer(message, "trade_id", "bad_trade_id"),
        time=fields.time(message),
        sequence=fields.integer(message, "sequence", "bad_sequence") if "sequence" in message else 0,
        best_bid=fields.optional_decimal(message, "best_bid"),
        best_ask=fields.optional_decimal(message, "best_ask"),
        last_size=fields.optional_decimal(message, "last_size"),
        open_24h=fields.optional_decimal(message, "open_24h"),
        high_24h=fields.optional_decimal(message, "high_24h"),
        low_24h=fields.optional_decimal(message, "low_24h"),
        volume_24h=fields.optional_decimal(message, "volume_24h"),
        simulated=fields.mark(message),
    )


def _heartbeat(message: dict[str, Any]) -> Heartbeat:
    return Heartbeat(
        product_id=fields.product_id(message),
        last_trade_id=fields.integer(message, "last_trade_id", "bad_trade_id"),
        sequence=fields.integer(message, "sequence", "bad_sequence") if "sequence" in message else 0,
        time=fields.time(message),
    )


def _subscriptions(message: dict[str, Any]) -> Subscriptions:
    channels = message.get("channels")
    if type(channels) is not list:
        raise FrameRefused("bad_subscriptions", "channels is no list")
    found: dict[str, frozenset[str]] = {}
    for channel in channels:
        name = channel.get("name") if type(channel) is dict else None
        product_ids = channel.get("product_ids") if type(channel) is dict else None
        if type(name) is not str or type(product_ids) is not list or any(type(item) is not str for item in product_ids):
            raise FrameRefused("bad_subscriptions", repr(channel)[:80])
        found[name] = found.get(name, frozenset()) | frozenset(product_ids)
    return Subscriptions(found)


def _error(message: dict[str, Any]) -> ExchangeError:
    text, reason = message.get("message", ""), message.get("reason", "")
    if type(text) is not str or type(reason) is not str:
        raise FrameRefused("bad_error", repr(message)[:80])
    return ExchangeError(text[:500], reason[:500])

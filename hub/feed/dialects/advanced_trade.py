"""The Coinbase Advanced Trade WebSocket protocol: channels ``ticker``, ``market_trades`` and ``heartbeats``.

As strict as the Exchange's codec: a frame that holds anything malformed is refused whole, with a reason out of
``REASONS``. Trades and the market around them come apart here: a ticker has neither trade id nor trade time, a trade no
bid and ask. Nothing on this path names a product's last trade: what did not come can be told from trade ids alone, once
a later one comes. Ids in frames can be other ones than those that were asked for (``aliases``).
"""

import re
from collections.abc import Iterator, Sequence
from decimal import ROUND_HALF_EVEN, Context, Decimal
from typing import Any

import orjson

from hub.feed.dialects import fields
from hub.model import (
    ConnectionHeartbeat,
    Envelope,
    Event,
    ExchangeError,
    FrameRefused,
    Ignored,
    Market,
    Subscriptions,
    Ticker,
)

PRODUCT_CHANNELS = ("ticker", "market_trades")
HEARTBEATS = "heartbeats"
MAX_FRAME_BYTES = 4 * 1_048_576  # a snapshot of the trades of 100 products is some hundred KB
PRODUCTS_PER_SOCKET = 100  # 401 worked; fewer, so that a lost socket is not a lost market
CONNECTS_PER_SECOND = 8  # an IP address, over all its connections
MESSAGES_PER_SECOND = 8  # of the client, an IP address, over all its connections; each frame of a subscription is one

REASONS = (
    "empty",
    "not_json",
    "not_object",
    "no_channel",
    "bad_sequence",
    "bad_time",
    "bad_events",
    "bad_product_id",
    "bad_price",
    "bad_number",
    "bad_trade_id",
    "bad_counter",
    "bad_subscriptions",
    "bad_error",
    "bad_mark",
)

_OTHER_CHANNELS = frozenset({"ticker_batch", "candles", "status", "l2_data", "user", "futures_balance_summary"})
_PERCENT_FIELDS = ("price_percent_chg_24_h", "price_percent_chg_24h")  # both spellings are documented
_UNUSED_NUMBERS = ("low_52_w", "high_52_w", "best_bid_quantity", "best_ask_quantity")
_PERCENT = re.compile(r"-?[0-9]{1,20}(?:\.[0-9]{1,40})?", re.ASCII).fullmatch
_DIGITS = re.compile(r"[0-9]{1,16}", re.ASCII).fullmatch
_EXACT = Context(prec=100, rounding=ROUND_HALF_EVEN)
_LONGEST = Decimal(10) ** 20  # more digits before the point than any price may have


class AdvancedTradeDialect:
    """Codec of the Advanced Trade protocol; holds no state, one instance may serve every connection."""

    name = "advanced_trade"
    max_frame_bytes = MAX_FRAME_BYTES
    product_channels: tuple[str, ...] = PRODUCT_CHANNELS
    products_per_socket: int | None = PRODUCTS_PER_SOCKET
    connects_per_second = CONNECTS_PER_SECOND
    messages_per_second = MESSAGES_PER_SECOND
    subscribe_error = "authentication failure"  # also what an unknown channel is answered with
    slow_consumer_error = "ErrSlowConsume"

    def decode(self, frame: bytes) -> tuple[Event, ...]:
        """Return the events of one frame; raises ``FrameRefused``.

        The first one is its ``Envelope``; errors, and types that are not known, have none.
        """
        message = fields.load(frame)
        channel = message.get("channel")
        if type(channel) is not str:
            return (_without_channel(message),)
        envelope = Envelope(fields.integer(message, "sequence_num", "bad_sequence"), fields.time(message, "timestamp"))
        if channel == "market_trades":
            return (envelope, *_trades(_events(message)))
        if channel == "ticker":
            return (envelope, *(_market(row, envelope.time) for row in _rows(message, "tickers")))
        if channel == HEARTBEATS:
            return (envelope, *(ConnectionHeartbeat(envelope.time, _counter(event)) for event in _events(message)))
        if channel == "subscriptions":
            return (envelope, _subscriptions(message))
        return (envelope, Ignored(channel if channel in _OTHER_CHANNELS else "unknown"))

    def subscribe(self, product_ids: Sequence[str]) -> list[bytes]:
        """Return the frames that subscribe these products, one a channel; none for no products.

        Each is answered by an acknowledgement of its own; the last one lists all of it. ``heartbeats`` comes last, or
        the first acknowledgement would know of nothing else, and every time: without it the exchange closes what is
        quiet for a minute.
        """
        if not product_ids:
            return []
        data = [_request("subscribe", channel, product_ids) for channel in PRODUCT_CHANNELS]
        return [*data, _request("subscribe", HEARTBEATS)]

    def unsubscribe(self, product_ids: Sequence[str]) -> list[bytes]:
        """Return the frames that unsubscribe these products, one a channel; ``heartbeats`` stays."""
        if not product_ids:
            return []
        return [_request("unsubscribe", channel, product_ids) for channel in PRODUCT_CHANNELS]


def parse_trades(rows: Sequence[dict[str, Any]]) -> list[Ticker]:
    """Return trades, as a frame or REST tells them, as tickers, the oldest of each product first.

    Of the market around a trade nothing is known: those fields are ``"0"``. Raises ``FrameRefused``.
    """
    return sorted((_trade(row) for row in rows), key=lambda trade: trade.trade_id)


def _trades(events: Sequence[dict[str, Any]]) -> list[Ticker]:
    """Return the trades of a frame, the oldest first; of a snapshot all but each product's newest are history."""
    snapshots: list[dict[str, Any]] = []
    updates: list[dict[str, Any]] = []
    for event in events:
        rows = snapshots if event.get("type") == "snapshot" else updates
        rows.extend(_checked_rows(event.get("trades"), "trades"))
    trades = parse_trades(snapshots)
    newest = {trade.product_id: trade.trade_id for trade in trades}
    old = [trade if trade.trade_id == newest[trade.product_id] else trade._replace(history=True) for trade in trades]
    return sorted([*old, *parse_trades(updates)], key=lambda trade: trade.trade_id)


def _request(kind: str, channel: str, product_ids: Sequence[str] = ()) -> bytes:
    products = {"product_ids": list(product_ids)} if product_ids else {}
    return orjson.dumps({"type": kind, **products, "channel": channel})


def _without_channel(message: dict[str, Any]) -> Event:
    kind = message.get("type")
    if kind == "error":
        text, reason = message.get("message", ""), message.get("reason", "")
        if type(text) is not str or type(reason) is not str:
            raise FrameRefused("bad_error", repr(message)[:80])
        return ExchangeError(text[:500], reason[:500])
    if type(kind) is not str:
        raise FrameRefused("no_channel", repr(message.get("channel"))[:80])
    return Ignored("unknown")


def _events(message: dict[str, Any]) -> list[dict[str, Any]]:
    events = message.get("events")
    if type(events) is not list or any(type(event) is not dict for event in events):
        raise FrameRefused("bad_events", repr(events)[:80])
    return events


def _rows(message: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """Return the tickers or trades of all events of a frame."""
    return [row for event in _events(message) for row in _checked_rows(event.get(name), name)]


def _checked_rows(rows: object, name: str) -> Iterator[dict[str, Any]]:
    if type(rows) is not list:
        raise FrameRefused("bad_events", f"{name} is {repr(rows)[:80]}")
    for row in rows:
        if type(row) is not dict:
            raise FrameRefused("bad_events", f"{name} holds {repr(row)[:80]}")
        yield row


def _trade(row: dict[str, Any]) -> Ticker:
    return Ticker(
        product_id=fields.product_id(row),
        price=fields.price(row),
        trade_id=_whole(row.get("trade_id"), "bad_trade_id"),
        time=fields.time(row),
        last_size=fields.decimal(row, "size", "bad_number"),
        simulated=fields.mark(row),
    )


def _market(row: dict[str, Any], time: str) -> Market:
    for field in _UNUSED_NUMBERS:
        _known(row, field)
    high, low = _known(row, "high_24_h"), _known(row, "low_24_h")
    bid, ask = _known(row, "best_bid"), _known(row, "best_ask")
    return Market(
        product_id=fields.product_id(row),
        time=time,
        best_bid=bid,
        best_ask=ask,
        open_24h=_open(row, (high, low, bid, ask)),
        high_24h=high,
        low_24h=low,
        volume_24h=_known(row, "volume_24_h"),
        simulated=fields.mark(row),
    )


def _known(row: dict[str, Any], field: str, reason: str = "bad_number") -> str:
    """Return a number's text; missing and empty mean unknown, which is ``"0"``."""
    return fields.decimal(row, field, reason) if row.get(field, "") != "" else "0"


def _open(row: dict[str, Any], others: Sequence[str]) -> str:
    """Return the price 24 h ago, from the price and its change since in percent; ``"0"`` where it can't be known.

    It has as many decimals as the most exact of the prices in the ticker: all of them are multiples of one step.
    """
    price, percent = _known(row, "price", "bad_price"), _percent(row)
    if percent is None or not price.strip("0."):
        return "0"
    factor = _EXACT.add(1, _EXACT.divide(percent, 100))
    if factor <= 0:
        return "0"
    opened = _EXACT.divide(Decimal(price), factor)
    if opened >= _LONGEST - 1:
        return "0"
    decimals = max(len(text.partition(".")[2]) for text in (price, *others))
    text = format(opened.quantize(Decimal(1).scaleb(-decimals), context=_EXACT), "f")
    return text if text.strip("0.") else "0"


def _percent(row: dict[str, Any]) -> Decimal | None:
    value = next((row[name] for name in _PERCENT_FIELDS if name in row), "")
    if value == "":
        return None
    if type(value) is not str or not _PERCENT(value):
        raise FrameRefused("bad_number", f"{_PERCENT_FIELDS[0]} is {repr(value)[:80]}")
    return Decimal(value)


def _counter(event: dict[str, Any]) -> int:
    return _whole(event.get("heartbeat_counter"), "bad_counter")


def _whole(value: object, reason: str) -> int:
    """Return an integer of 0 or more, which may come as a text of digits."""
    number = int(value) if type(value) is str and _DIGITS(value) else value
    if type(number) is not int or not 0 <= number <= fields.MAX_INTEGER:
        raise FrameRefused(reason, repr(value)[:80])
    return number


def _subscriptions(message: dict[str, Any]) -> Subscriptions:
    found: dict[str, frozenset[str]] = {}
    for event in _events(message):
        channels = event.get("subscriptions")
        if type(channels) is not dict:
            raise FrameRefused("bad_subscriptions", repr(channels)[:80])
        for name, product_ids in channels.items():
            if type(product_ids) is not list or any(type(item) is not str for item in product_ids):
                raise FrameRefused("bad_subscriptions", f"{name[:40]}: {repr(product_ids)[:80]}")
            found[name] = found.get(name, frozenset()) | frozenset(product_ids)
    return Subscriptions(found)

"""The Coinbase Exchange WebSocket protocol: channels ``ticker`` and ``heartbeat``.

Strict on purpose: a frame that holds anything malformed is refused whole, with a reason out of ``REASONS``; the last
good value then stays and ages. Nothing but plain decimal numbers, product ids and UTC times gets into an event, so
that later rooms may pass these texts on without escaping.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache

import orjson

from hub.model import Event, ExchangeError, FrameRefused, Heartbeat, Ignored, Subscriptions, Ticker

CHANNELS = ("ticker", "heartbeat")
MAX_FRAME_BYTES = 1_048_576  # the ``status`` channel's largest frame is 740 KB; a ticker is 400 bytes
UNUSED_NUMBERS = ("best_bid_size", "best_ask_size", "volume_30d")  # a frame that is wrong in one is not believed
MAX_INTEGER = 2**53 - 1  # beyond it, JavaScript clients would read another number

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

_PRODUCT_ID = re.compile(r"[A-Z0-9]{1,20}-[A-Z0-9]{1,20}", re.ASCII).fullmatch
_DECIMAL = re.compile(r"(?:0|[1-9][0-9]{0,19})(?:\.[0-9]{1,20})?", re.ASCII).fullmatch
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:[0-5]\d(?:\.\d{1,9})?Z", re.ASCII).fullmatch
_OTHER_TYPES = frozenset(
    {"match", "last_match", "l2update", "snapshot", "status", "received", "open", "done", "change", "activate",
     "auction", "rfq_match", "ticker_batch"}
)  # fmt: skip


class ExchangeDialect:
    """Codec of the Exchange protocol; holds no state, one instance may serve every connection."""

    name = "exchange"
    max_frame_bytes = MAX_FRAME_BYTES
    subscribe_error = "Failed to subscribe"
    slow_consumer_error = "ErrSlowConsume"

    def decode(self, frame: bytes) -> tuple[Event, ...]:
        """Return the events of one frame (here always one); raises ``FrameRefused``."""
        if not frame:
            raise FrameRefused("empty")
        try:
            message = orjson.loads(frame)
        except orjson.JSONDecodeError as error:
            raise FrameRefused("not_json", str(error)[:200]) from None
        if type(message) is not dict:
            raise FrameRefused("not_object", type(message).__name__)
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
    trades = []
    for row in body:
        if type(row) is not dict:
            raise FrameRefused("not_object", type(row).__name__)
        price, trade_id = _decimal(row, "price", "bad_price"), _integer(row, "trade_id", "bad_trade_id")
        if not price.strip("0."):
            raise FrameRefused("bad_price", "price is 0")
        trades.append(
            Ticker(product_id, price, trade_id, _time(row), last_size=_decimal(row, "size", "bad_number"))
        )
    return sorted(trades, key=lambda trade: trade.trade_id)


def _ticker(message: dict[str, object]) -> Ticker:
    price = _decimal(message, "price", "bad_price")
    if not price.strip("0."):
        raise FrameRefused("bad_price", "price is 0")
    for field in UNUSED_NUMBERS:
        _optional_decimal(message, field)
    simulated = message.get("simulated", False)
    if type(simulated) is not bool:
        raise FrameRefused("bad_mark", f"simulated is {simulated!r}"[:80])
    return Ticker(
        product_id=_product_id(message),
        price=price,
        trade_id=_integer(message, "trade_id", "bad_trade_id"),
        time=_time(message),
        sequence=_integer(message, "sequence", "bad_sequence") if "sequence" in message else 0,
        best_bid=_optional_decimal(message, "best_bid"),
        best_ask=_optional_decimal(message, "best_ask"),
        last_size=_optional_decimal(message, "last_size"),
        open_24h=_optional_decimal(message, "open_24h"),
        high_24h=_optional_decimal(message, "high_24h"),
        low_24h=_optional_decimal(message, "low_24h"),
        volume_24h=_optional_decimal(message, "volume_24h"),
        simulated=simulated,
    )


def _heartbeat(message: dict[str, object]) -> Heartbeat:
    return Heartbeat(
        product_id=_product_id(message),
        last_trade_id=_integer(message, "last_trade_id", "bad_trade_id"),
        sequence=_integer(message, "sequence", "bad_sequence") if "sequence" in message else 0,
        time=_time(message),
    )


def _subscriptions(message: dict[str, object]) -> Subscriptions:
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


def _error(message: dict[str, object]) -> ExchangeError:
    text, reason = message.get("message", ""), message.get("reason", "")
    if type(text) is not str or type(reason) is not str:
        raise FrameRefused("bad_error", repr(message)[:80])
    return ExchangeError(text[:500], reason[:500])


def _product_id(message: dict[str, object]) -> str:
    value = message.get("product_id")
    if type(value) is not str or not _PRODUCT_ID(value):
        raise FrameRefused("bad_product_id", repr(value)[:80])
    return value


def _decimal(message: dict[str, object], field: str, reason: str) -> str:
    value = message.get(field)
    if type(value) is not str or not _DECIMAL(value):
        raise FrameRefused(reason, f"{field} is {repr(value)[:80]}")
    return value


def _optional_decimal(message: dict[str, object], field: str) -> str:
    return _decimal(message, field, "bad_number") if field in message else "0"


def _integer(message: dict[str, object], field: str, reason: str) -> int:
    value = message.get(field)
    if type(value) is not int or not 0 <= value <= MAX_INTEGER:
        raise FrameRefused(reason, f"{field} is {repr(value)[:80]}")
    return value


def _time(message: dict[str, object]) -> str:
    value = message.get("time")
    if type(value) is not str or not _TIME(value):
        raise FrameRefused("bad_time", repr(value)[:80])
    if not _minute_exists(value[:16]):
        raise FrameRefused("bad_time", value)
    return value


@lru_cache(maxsize=1024)
def _minute_exists(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True

"""Advanced Trade's WebSocket protocol, the server's side of it: requests in, frames out. Pure.

Everything but errors comes in an envelope that is numbered by connection. The exchange's own words are quoted where
they are known; the others are in its manner.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Set
from typing import Any, NamedTuple

import orjson

HEARTBEATS = "heartbeats"
PRODUCT_CHANNELS = frozenset({"ticker", "market_trades"})
ALIASED = ("BTC", "ETH", "SOL", "XLM")  # their USDC books are the USD ones

# field of a ticker → field of the Exchange's
_TICKER_FIELDS = {
    "price": "price", "volume_24_h": "volume_24h", "low_24_h": "low_24h", "high_24_h": "high_24h",
    "low_52_w": "low_24h", "high_52_w": "high_24h", "best_bid": "best_bid", "best_ask": "best_ask",
    "best_bid_quantity": "best_bid_size", "best_ask_quantity": "best_ask_size",
}  # fmt: skip


class Request(NamedTuple):
    """A subscribe or unsubscribe of one channel; of one that is left as a whole, it names no product."""

    subscribe: bool
    channel: str
    product_ids: tuple[str, ...]


class RequestRefused(ValueError):
    """A request that is answered with an error frame."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.frame = error_frame(message)


def error_frame(message: str) -> bytes:
    """Return an ``error`` frame's JSON text: it has no envelope, and names neither channel nor request."""
    return orjson.dumps({"type": "error", "message": message, "simulated": True})


def parse_request(message: str | bytes) -> Request:
    """Read a client's message (``RequestRefused``); whether the products are known is not asked."""
    try:
        body = orjson.loads(message)
    except orjson.JSONDecodeError:
        body = None
    kind = body.get("type") if isinstance(body, dict) else None
    if not isinstance(body, dict) or kind not in ("subscribe", "unsubscribe"):
        raise RequestRefused("failed to parse message")
    channel, product_ids = body.get("channel"), body.get("product_ids", [])
    if channel not in (*PRODUCT_CHANNELS, HEARTBEATS):
        raise RequestRefused("authentication failure")
    if not isinstance(product_ids, list) or not all(isinstance(one, str) for one in product_ids):
        raise RequestRefused("failed to parse message")
    if channel == HEARTBEATS:
        return Request(kind == "subscribe", channel, (HEARTBEATS,))
    if kind == "subscribe" and not product_ids:
        raise RequestRefused("product_ids are missing")
    return Request(kind == "subscribe", channel, tuple(dict.fromkeys(product_ids)))


def aliases_of(product_ids: Iterable[str]) -> dict[str, str]:
    """Return the USDC ids that are subscribed under their own name and told of under the USD one, with that one."""
    known = frozenset(product_ids)
    return {f"{base}-USDC": f"{base}-USD" for base in ALIASED if f"{base}-USD" in known}


def time_text(wall: float) -> str:
    """Return seconds of the epoch as Go does: nanoseconds, without trailing zeros."""
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(wall))
    return f"{text}.{int(wall % 1 * 1e9):09d}".rstrip("0").rstrip(".") + "Z"


def envelope(channel: str, sequence_num: int, when: str, events: bytes) -> bytes:
    """Return a frame's JSON text around finished ``events``, those between the brackets."""
    head = f'{{"simulated":true,"channel":"{channel}","timestamp":"{when}","sequence_num":{sequence_num},"events":['
    return b"%b%b]}" % (head.encode(), events)


def tickers_event(kind: str, rows: list[dict[str, Any]]) -> bytes:
    """Return an event of the ``ticker`` channel; ``kind`` is ``snapshot`` or ``update``."""
    return orjson.dumps({"type": kind, "tickers": rows})


def trades_event(kind: str, rows: list[dict[str, Any]]) -> bytes:
    """Return an event of the ``market_trades`` channel."""
    return orjson.dumps({"type": kind, "trades": rows})


def ack_event(channels: Mapping[str, Set[str]]) -> bytes:
    """Return the event of an ack: the connection's whole set; what is not known is not in it."""
    return orjson.dumps({"subscriptions": {name: sorted(product_ids) for name, product_ids in channels.items()}})


def heartbeat_event(wall: float, uptime_seconds: float, counter: int) -> bytes:
    """Return the event of a heartbeat, its time as Go prints one."""
    when = f"{time_text(wall)[:-1].replace('T', ' ')} +0000 UTC m=+{uptime_seconds:.9f}"
    return orjson.dumps({"current_time": when, "heartbeat_counter": counter})


def ticker_row(frame: bytes) -> dict[str, Any]:
    """Return a ticker of this protocol from the Exchange's: no trade id, no trade time, no last size."""
    fields = orjson.loads(frame)
    row = {"simulated": True, "type": "ticker", "product_id": fields["product_id"]}
    row.update((name, fields[other]) for name, other in _TICKER_FIELDS.items())
    row["price_percent_chg_24_h"] = percent_text(fields["price"], fields["open_24h"])
    return row


def percent_text(price: str, opened: str) -> str:
    """Return by how much a price has changed, in percent; empty where that can't be known."""
    if not opened.strip("0."):
        return ""
    return f"{(float(price) / float(opened) - 1) * 100:.14f}".rstrip("0").rstrip(".")


def trade_row(product_id: str, row: dict[str, Any]) -> dict[str, Any]:
    """Return a trade of this protocol from one of the Exchange's REST interface."""
    return {
        "simulated": True,
        "product_id": product_id,
        "trade_id": str(row["trade_id"]),
        "price": row["price"],
        "size": row["size"],
        "time": row["time"],
        "side": row["side"].upper(),
    }

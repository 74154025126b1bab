"""Bodies of the Exchange's REST interface that tell prices: as strict as the codec of its WebSocket frames. Pure."""

from __future__ import annotations

from typing import Any

from hub.feed.dialects import fields
from hub.model import MAX_PRODUCTS, FrameRefused, Ticker


def parse_stats(body: object) -> dict[str, Ticker]:
    """Return product id → last price and last 24 hours of a ``GET /products/stats`` body; trade id and time unknown.

    A malformed entry is left out, as one that never traded is. Raises ``FrameRefused`` for what is no such object.
    """
    if type(body) is not dict or not body:
        raise FrameRefused("not_object", type(body).__name__)
    if len(body) > MAX_PRODUCTS:
        raise FrameRefused("too_many", f"{len(body)} products")
    found = {}
    for product_id, entry in body.items():
        stats = entry.get("stats_24hour") if type(entry) is dict else None
        if type(stats) is dict and (row := _day(product_id, stats)) is not None:
            found[product_id] = row
    return found


def parse_ticker(day: Ticker, body: object) -> Ticker:
    """Return a ``GET /products/{id}/ticker`` body, with the last 24 hours of ``day``. Raises ``FrameRefused``."""
    if type(body) is not dict:
        raise FrameRefused("not_object", type(body).__name__)
    return day._replace(
        price=fields.price(body),
        trade_id=fields.integer(body, "trade_id", "bad_trade_id"),
        time=fields.time(body),
        best_bid=fields.optional_decimal(body, "bid"),
        best_ask=fields.optional_decimal(body, "ask"),
        last_size=fields.optional_decimal(body, "size"),
        volume_24h=fields.optional_decimal(body, "volume"),
    )


def _day(product_id: str, stats: dict[str, Any]) -> Ticker | None:
    try:
        return Ticker(
            fields.product_id({"product_id": product_id}),
            fields.price({"price": stats.get("last")}),
            trade_id=0,
            time="",
            open_24h=fields.optional_decimal(stats, "open"),
            high_24h=fields.optional_decimal(stats, "high"),
            low_24h=fields.optional_decimal(stats, "low"),
            volume_24h=fields.optional_decimal(stats, "volume"),
        )
    except FrameRefused:
        return None

"""Bodies of the Exchange's REST interface that tell prices: as strict as the codec of its WebSocket frames."""

from __future__ import annotations

from hub.feed.dialects import exchange
from hub.model import FrameRefused, Ticker


def parse_stats(body: object) -> tuple[dict[str, Ticker], int]:
    """Return (product id → its last price and last 24 hours, how many entries were refused) of ``GET /products/stats``.

    The tickers have neither trade id nor time. Raises ``FrameRefused`` for what is no such object.
    """
    if type(body) is not dict or not body:
        raise FrameRefused("not_object", type(body).__name__)
    found, refused = {}, 0
    for product_id, entry in body.items():
        stats = entry.get("stats_24hour") if type(entry) is dict else None
        try:
            if type(stats) is not dict:
                raise FrameRefused("not_object", type(stats).__name__)
            found[product_id] = Ticker(
                exchange.product_id_of({"product_id": product_id}),
                exchange.price_of(stats, "last"),
                0,
                "",
                open_24h=exchange.optional_decimal(stats, "open"),
                high_24h=exchange.optional_decimal(stats, "high"),
                low_24h=exchange.optional_decimal(stats, "low"),
                volume_24h=exchange.optional_decimal(stats, "volume"),
            )
        except FrameRefused:
            refused += 1  # one that never traded has no last price
    return found, refused


def parse_ticker(day: Ticker, body: object) -> Ticker:
    """Return a ``GET /products/{id}/ticker`` body with the last 24 hours of ``day``. Raises ``FrameRefused``."""
    if type(body) is not dict:
        raise FrameRefused("not_object", type(body).__name__)
    return day._replace(
        price=exchange.price_of(body, "price"),
        trade_id=exchange.integer_of(body, "trade_id", "bad_trade_id"),
        time=exchange.time_of(body),
        best_bid=exchange.optional_decimal(body, "bid"),
        best_ask=exchange.optional_decimal(body, "ask"),
        last_size=exchange.optional_decimal(body, "size"),
        volume_24h=exchange.optional_decimal(body, "volume"),
    )

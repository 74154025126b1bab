"""The dashboard page: rendered with the prices of the moment, kept live by Socket.IO."""

from __future__ import annotations

import time
from typing import Any

import orjson
from flask import Blueprint, render_template

from hub import __version__
from hub.hub import PriceHub
from hub.slots import body as connections_body


def add_dashboard(routes: Blueprint, hub: PriceHub) -> None:
    """Add ``GET /dashboard`` to the routes."""

    @routes.get("/dashboard")
    def dashboard() -> str:
        now = time.monotonic()
        prices: list[dict[str, Any]] = []
        for quote in hub.book.quotes():
            entry = orjson.loads(hub.payload(quote, now))
            # the page shows the exchange's own digits
            entry.update(
                price=quote.ticker.price, bid=quote.ticker.best_bid, ask=quote.ticker.best_ask,
                age_seconds=round(now - quote.received_monotonic, 1),
            )  # fmt: skip
            prices.append(entry)
        prices.sort(key=lambda entry: -entry["volume_24h"] * float(entry["price"]))
        health = {**hub.get_health_summary(), "version": __version__}
        return render_template("dashboard.html", health=health, connections=connections_body(hub), prices=prices)

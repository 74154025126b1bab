"""Advanced Trade's REST interface, of what the hub asks for; badly answered, it is as the Exchange's."""

from __future__ import annotations

from typing import Any

from hub.simulator.advanced_protocol import aliases_of, percent_text, trade_row
from hub.simulator.broken import Faults, RestFault
from hub.simulator.http import Response, json_response, query
from hub.simulator.limits import ADVANCED_REST_BURST, ADVANCED_REST_PER_SECOND, MAX_TRADES_PAGE, RateLimit
from hub.simulator.market import Market
from hub.simulator.rest import Rest, integer, not_found

PREFIX = "/api/v3/brokerage/market/"


class AdvancedRest(Rest):
    """``GET /api/v3/brokerage/market/products`` and ``…/products/{id}/ticker``; one limit an address."""

    def __init__(self, market: Market, faults: Faults) -> None:
        super().__init__(market, faults)
        self._limit = RateLimit(ADVANCED_REST_PER_SECOND, ADVANCED_REST_BURST)
        self._aliases = aliases_of(market.product_ids)

    def handle(self, environ: dict[str, Any], now: float) -> Response:
        """Answer a request at monotonic ``now``."""
        if not self._limit.allow(environ["REMOTE_ADDR"], now):
            return json_response({"error": "rate_limit_exceeded", "message": "Too many requests"}, 429)
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return json_response({"message": "MethodNotAllowed"}, 405)
        parameters = query(environ)
        try:
            match environ["PATH_INFO"].removeprefix(PREFIX).strip("/").split("/"):
                case ["products"]:
                    return self._products(self._faults.rest.at(now), now, parameters)
                case ["products", product_id, "ticker"]:
                    return self._ticker(product_id, parameters)
        except ValueError as error:
            return json_response({"error": "INVALID_ARGUMENT", "message": str(error)}, 400)
        return not_found()

    def _products(self, fault: RestFault | None, now: float, parameters: dict[str, str]) -> Response:
        rows = [self._row(row) for row in self._listing(fault, now)]
        by_id = {row["product_id"]: row for row in rows}
        for alias, book in self._aliases.items():
            if book in by_id:
                by_id[book]["alias_to"] = [alias]
                changes = {"product_id": alias, "quote_currency_id": "USDC", "alias": book, "alias_to": []}
                rows.append({**by_id[book], **changes})
        if parameters.get("product_type", "SPOT") != "SPOT":
            rows = []
        offset = integer(parameters, "offset", len(rows)) or 0
        limit = integer(parameters, "limit", len(rows)) or len(rows)
        rows = rows[offset : offset + limit]
        return json_response({"products": rows, "num_products": len(rows), "pagination": None})

    def _row(self, listed: dict[str, Any]) -> dict[str, Any]:
        """Return a row of the list from the Exchange's; of what is not traded here no price is known."""
        online = listed["status"] == "online"
        row = {
            "product_id": listed["id"],
            "price": "",
            "price_percentage_change_24h": "",
            "volume_24h": "",
            "approximate_quote_24h_volume": "",
            "base_currency_id": listed["base_currency"],
            "quote_currency_id": listed["quote_currency"],
            "product_type": "SPOT",
            "status": listed["status"],
            "is_disabled": not online,
            "trading_disabled": listed["trading_disabled"],
            "view_only": False,
            "alias": "",
            "alias_to": [],
        }
        if listed["id"] in self._market.product_ids:
            day = self._market.stats(listed["id"])
            row["price"], row["volume_24h"] = day["last"], day["volume"]
            row["price_percentage_change_24h"] = percent_text(day["last"], day["open"])
            row["approximate_quote_24h_volume"] = f"{float(day['last']) * float(day['volume']):.2f}"
        return row

    def _ticker(self, product_id: str, parameters: dict[str, str]) -> Response:
        book = self._aliases.get(product_id, product_id)
        if book not in self._market.product_ids:
            return not_found()
        limit = integer(parameters, "limit", MAX_TRADES_PAGE) or MAX_TRADES_PAGE
        quote = self._market.ticker(book)
        trades = [trade_row(book, row) for row in self._page(book, limit, None, None)]
        return json_response({"trades": trades, "best_bid": quote["bid"], "best_ask": quote["ask"]})

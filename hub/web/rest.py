"""The REST routes of the contract (``docs/protocol.md``); each answers under ``/`` and under ``/api/``."""

from __future__ import annotations

import heapq
import re
import time
from collections.abc import Callable
from typing import Any

import orjson
from flask import Blueprint, Response, redirect, request, url_for

from hub.detect.relayed import check as check_relayed
from hub.explain import explain as explanation
from hub.fanout.latency import WINDOW_SECONDS
from hub.fanout.limits import client_address
from hub.hub import PriceHub
from hub.ledger import MAX_ENTRIES
from hub.model import HealthStatus, Quote, Standing, Trust
from hub.payload import iso_time, json_number, shown_source
from hub.plan import body as plan_body
from hub.web.access import writes
from hub.web.arguments import json_body, limit, product_id, since
from hub.web.guard import error_response, json_response
from hub.web.shared_body import SharedBodies

PRICES_LIMITS = (50, 10_000)  # what is given unasked, and at most
MAX_ALERT_BYTES = 16_384
PINNED = "PRIORITY_PAIRS"

# every route that a newcomer may try with a browser or curl
INDEX = (
    "/health",
    "/health/live",
    "/health/ready",
    "/connections",
    "/connections/conn_000",
    "/plan",
    "/prices",
    "/price/BTC-USD",
    "/price/BTC-USD/explain",
    "/gaps",
    "/latency",
    "/metrics",
    "/history",
    "/journal",
    "/signals",
    "/alerts",
    "/tickers",
    "/tickers/BTC-USD",
    "/priority-pairs",
    "/board",
    "/sparklines?products=BTC-USD",
    "/clients",
    "/actions",
    "/status",
    "/config",
    "/services/status",
    "/websocket/status",
    "/performance/metrics",
    "/dashboard",
    "/docs",
    "/openapi.json",
    "/asyncapi.json",
)


def make_blueprint(
    hub: PriceHub, name: str, bodies: SharedBodies | None = None,
    count_relay: Callable[[str, int], None] = lambda *_: None,
) -> Blueprint:  # fmt: skip
    """Return the routes on a hub; ``name`` tells the copies under different prefixes apart, which share ``bodies``.

    ``count_relay(address, size_bytes)`` raises for an alert that is one too many.
    """
    bodies = bodies or SharedBodies()
    routes = Blueprint(name, __name__)

    @routes.get("/health")
    @bodies.shared(urgent=True)
    def health() -> Response:
        summary = hub.get_health_summary()
        up = summary["connected_connections"] > 0 and summary["status"] != HealthStatus.CRITICAL
        return json_response(summary, 200 if up else 503)

    @routes.get("/plan")
    @bodies.shared()
    def plan() -> Response:
        return json_response(plan_body(hub))

    @routes.get("/prices")
    @bodies.shared(lambda: limit(*PRICES_LIMITS))
    def prices() -> Response:
        try:
            at_most = limit(*PRICES_LIMITS)
        except ValueError as error:
            return error_response(str(error), 400)
        now = time.monotonic()
        newest = heapq.nlargest(at_most, hub.book.quotes(), key=lambda quote: quote.received_monotonic)
        body = {
            "count": len(newest),
            "timestamp": iso_time(time.time()),
            "prices": {quote.ticker.product_id: _price_entry(hub, quote, now) for quote in newest},
            "stale_after_ms": hub.settings.stale_after_ms,
            "simulated": hub.simulated,
        }
        return json_response(body)

    @routes.get("/price/<product_id>")
    def price(product_id: str) -> Response:
        quote = hub.book.quote(product_id.upper())
        if quote is None:
            return error_response(f"Symbol {product_id.upper()[:64]} not found", 404, **_why_missing(hub, product_id))
        ticker = quote.ticker
        standing = hub.book.standing(ticker.product_id, time.monotonic())
        if standing is None:  # given up meanwhile
            return error_response(f"Symbol {ticker.product_id} not found", 404)
        try:
            limits = {name: _milliseconds(name) for name in ("max_age_ms", "max_tick_age_ms")}
        except ValueError as error:
            return error_response(str(error), 400)
        for name, age_ms in (("max_age_ms", standing.verified_ms), ("max_tick_age_ms", standing.age_ms)):
            limit = limits[name]
            if limit is not None and age_ms > limit:
                return _too_old(ticker.product_id, name, limit, age_ms, standing)
        body = {
            "symbol": ticker.product_id,
            "price": _number(ticker.price),
            "bid": _number(ticker.best_bid),
            "ask": _number(ticker.best_ask),
            "last_updated": iso_time(quote.received_at),
            "volume_24h": _number(ticker.volume_24h),
            "time": ticker.time,
            "trade_id": ticker.trade_id,
            "connection_id": quote.connection_id,
            "source": shown_source(ticker, quote.source),
            **_trust(standing),
            "reason": standing.reason,
            "stale_after_ms": hub.settings.stale_after_ms,
            "simulated": ticker.simulated,
        }
        return json_response(body)

    @routes.get("/price/<product_id>/explain")
    def explain(product_id: str) -> Response:
        try:
            return json_response(explanation(hub, product_id.upper()))
        except KeyError:
            return error_response(f"Symbol {product_id.upper()[:64]} not found", 404)

    @routes.get("/gaps")
    @bodies.shared(_gap_query)
    def gaps() -> Response:
        try:
            product, since, is_open, limit = _gap_query()
        except ValueError as error:
            return error_response(str(error), 400)
        found = hub.ledger.query(product, since, is_open, limit)
        body = {"epoch": hub.epoch, "count": len(found), "open": hub.ledger.open_count(), "gaps": found}
        return json_response({**body, "simulated": hub.simulated})

    @routes.get("/latency")
    @bodies.shared()
    def latency() -> Response:
        body = {"window_seconds": WINDOW_SECONDS, "stages": hub.fanout.latency.body(), "simulated": hub.simulated}
        return json_response(body)

    @routes.get("/tickers")
    @bodies.shared()
    def tickers() -> Response:
        now = time.monotonic()
        return json_response(
            {quote.ticker.product_id: orjson.Fragment(hub.payload(quote, now)) for quote in hub.book.quotes()}
        )

    @routes.get("/tickers/<product_id>")
    def ticker(product_id: str) -> Response:
        quote = hub.book.quote(product_id.upper())
        if quote is None:
            return error_response("Ticker not found", 404, **_why_missing(hub, product_id))
        return Response(hub.payload(quote), mimetype="application/json")

    @routes.get("/priority-pairs")
    def priority_pairs() -> Response:
        return json_response(hub.get_priority_stats())

    @routes.post("/priority-pairs")
    @writes
    def change_priority_pair() -> Response:
        body = json_body()
        if not isinstance(body, dict) or "product_id" not in body or "action" not in body:
            return error_response("product_id and action are required", 400)
        if body["action"] not in ("add", "remove"):
            return error_response("action must be add or remove", 400)
        change, done = {
            "add": (hub.add_priority_pair, "added to"), "remove": (hub.remove_priority_pair, "removed from")
        }[body["action"]]  # fmt: skip
        try:
            change(body["product_id"])
        except ValueError as error:
            return error_response(f"product_id: {error}", 400)
        except KeyError as error:
            return error_response(f"Symbol {error.args[0]} not found", 404)
        name = body["product_id"].upper()
        if body["action"] == "remove" and name in hub.priority.pinned:
            return json_response({"success": False, "message": f"{name} stays a priority pair: {PINNED} names it"})
        return json_response({"success": True, "message": f"{name} {done} priority pairs"})

    @routes.put("/priority-pairs")
    @writes
    def set_priority_pairs() -> Response:
        body = json_body()
        if not isinstance(body, dict) or not isinstance(body.get("product_ids"), list):
            return error_response("product_ids must be a list", 400)
        try:
            product_ids = hub.set_priority_pairs(body["product_ids"])
        except ValueError as error:
            return error_response(f"product_ids: {error}", 400)
        except KeyError as error:
            return error_response(f"Symbol {error.args[0]} not found", 404)
        message = f"{len(product_ids)} priority pairs set{_pinned(hub)}"
        return json_response({"success": True, "message": message, "product_ids": product_ids})

    @routes.delete("/priority-pairs")
    @writes
    def clear_priority_pairs() -> Response:
        hub.clear_priority_pairs()
        return json_response({"success": True, "message": f"priority pairs cleared{_pinned(hub)}"})

    @routes.post("/alert")
    @writes
    def alert() -> Response:
        body = json_body(MAX_ALERT_BYTES)
        if not isinstance(body, dict):
            return error_response("a JSON object is required", 400)
        if (problem := check_relayed("trade_update", body)) is not None:
            return error_response(problem, 400)
        count_relay(client_address(request.environ, hub.settings.trusted_proxies), len(orjson.dumps(body)))
        hub.relay("trade_update", body)
        return json_response({"success": True, "message": "relayed"})

    @routes.get("/")
    def index() -> Any:
        accepts = request.accept_mimetypes
        if accepts.quality("text/html") > accepts.quality("application/json"):
            return redirect(url_for(".dashboard"))
        links = {"rest": list(INDEX), "socketio": "/socket.io/", "dashboard": "/dashboard", "docs": "/docs"}
        return json_response({"service": "price-hub", "simulated": hub.simulated, **links})

    return routes


def _pinned(hub: PriceHub) -> str:
    count = len(hub.priority.pinned)
    return f"; {count} of {PINNED} {'stay' if count > 1 else 'stays'}" if count else ""


def _price_entry(hub: PriceHub, quote: Quote, now: float) -> dict[str, Any]:
    standing = hub.book.standing(quote.ticker.product_id, now)
    entry = {
        "price": _number(quote.ticker.price),
        "last_updated": iso_time(quote.received_at),
        "volume_24h": _number(quote.ticker.volume_24h),
        "source": shown_source(quote.ticker, quote.source),
        "connection_id": quote.connection_id,
        **(_trust(standing) if standing is not None else {}),
    }
    return {**entry, "simulated": True} if quote.ticker.simulated else entry


def _trust(standing: Standing) -> dict[str, Any]:
    names = ("trust", "age_ms", "verified_ms", "quote_age_ms")
    return {name: getattr(standing, name) for name in names}


def _milliseconds(name: str) -> int | None:
    text = request.args.get(name)
    if text is None:
        return None
    if not re.fullmatch(r"[0-9]{1,12}", text, re.ASCII):
        raise ValueError(f"{name} must be a number of milliseconds")
    return int(text)


def _too_old(product_id: str, name: str, limit: int, age_ms: int, standing: Standing) -> Response:
    """Return a problem (RFC 9457) instead of an old number."""
    what = "the last proof" if name == "max_age_ms" else "the last trade"
    detail = f"{what} of {product_id} is {age_ms} ms old, {limit} were allowed: {standing.reason}"
    body = {
        "type": "about:blank", "title": "Price too old", "status": 503, "detail": detail, "error": detail,
        "symbol": product_id, name: limit, "reason": standing.reason, **_trust(standing),
    }  # fmt: skip
    response = json_response(body, 503)
    response.mimetype = "application/problem+json"
    response.headers["Retry-After"] = "1"
    return response


def _gap_query() -> tuple[str | None, float | None, bool | None, int]:
    """Return (product, since in wall-clock seconds, open or closed, limit). Raises ``ValueError`` in words."""
    arguments = request.args
    product = product_id("product")
    words = {None: None, "true": True, "1": True, "false": False, "0": False}
    if arguments.get("open") not in words:
        raise ValueError("open must be true or false")
    return product, since(), words[arguments.get("open")], limit(1000, MAX_ENTRIES)


def _number(text: str) -> orjson.Fragment:
    return orjson.Fragment(json_number(text))


def _why_missing(hub: PriceHub, product_id: str) -> dict[str, str]:
    try:
        known = hub.book.explain(product_id.upper(), time.monotonic())
    except KeyError:
        return {}
    why = "" if known["trust"] is Trust.STARTING else f": {known['reason']}"
    return {"reason": f"it is watched, but has no price yet{why}"}

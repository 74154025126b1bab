"""Kinds of fault that hit the data of single products."""

from __future__ import annotations

from hub.simulator.delivery import BadTicker, Stuck
from hub.simulator.endpoint import Endpoint
from hub.simulator.kinds import FaultError, Wanted, kind, made_up

MAX_COUNT = 1_000_000


@kind("drop", "endpoint", "product", "count")
def _drop(wanted: Wanted, exchange: Endpoint, now: float) -> int:  # noqa: ARG001
    """The next trades of a product happen, and their tickers are not sent; of Advanced Trade, frames of trades."""
    exchange.faults.delivery.drop(wanted.product(exchange), wanted.whole("count", 1, MAX_COUNT))
    return 1


@kind("duplicate", "product", "count")
def _duplicate(wanted: Wanted, exchange: Endpoint, now: float) -> int:  # noqa: ARG001
    """A product's next tickers are sent twice."""
    exchange.faults.delivery.duplicate(wanted.product(exchange), wanted.whole("count", 1, MAX_COUNT))
    return 1


@kind("reorder", "product", "count")
def _reorder(wanted: Wanted, exchange: Endpoint, now: float) -> int:  # noqa: ARG001
    """A product's next tickers are late: each leaves behind the one that follows it."""
    exchange.faults.delivery.reorder(wanted.product(exchange), wanted.whole("count", 1, MAX_COUNT))
    return 1


@kind("bad_ticker", "product", "fields", "remove", "count")
def _bad_ticker(wanted: Wanted, exchange: Endpoint, now: float) -> int:  # noqa: ARG001
    """In front of each of a product's next tickers comes one with these fields replaced or removed."""
    fields, removed = wanted.mapping("fields"), wanted.names("remove")
    if not fields and not removed:
        raise FaultError("bad_ticker wants fields or remove")
    count = wanted.whole("count", 1, MAX_COUNT, default=1)
    exchange.faults.delivery.spoil(wanted.product(exchange), BadTicker(fields, removed), count)
    return 1


@kind("stuck", "endpoint", "product", "seconds", "until_resubscribed", "until_moved")
def _stuck(wanted: Wanted, exchange: Endpoint, now: float) -> int:
    """A product's tickers stop: everywhere, or until it is subscribed again, or until another connection does."""
    resubscribed, moved = wanted.flag("until_resubscribed"), wanted.flag("until_moved")
    if resubscribed and moved:
        raise FaultError("stuck is either until_resubscribed or until_moved")
    product_id = wanted.product(exchange)
    holders = {session.index for session in exchange.sessions() if product_id in session.product_ids()}
    indexes = holders if resubscribed or moved else None
    exchange.faults.delivery.withhold(product_id, Stuck(wanted.until(now), indexes, resubscribed))
    return len(holders)


@kind("quiet", "products", "seconds")
def _quiet(wanted: Wanted, exchange: Endpoint, now: float) -> int:
    """Products make no trades; heartbeats go on naming the last one."""
    market, products = made_up(exchange), wanted.products(exchange)
    market.quiet.add(products, wanted.until(now))
    return len(products)


@kind("burst", "factor", "seconds")
def _burst(wanted: Wanted, exchange: Endpoint, now: float) -> int:
    """Trades happen that many times as often."""
    made_up(exchange).rate_factor.set(wanted.number("factor"), wanted.until(now))
    return 1

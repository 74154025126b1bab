"""Kinds of fault that hit the exchange as a whole: upgrades, subscribing, REST, its clock."""

from __future__ import annotations

import math

from hub.simulator.broken import Flap, Refusal, RestFault
from hub.simulator.endpoint import Endpoint
from hub.simulator.http import HTML
from hub.simulator.kinds import FaultError, Wanted, kind, made_up

MAX_TIMES = 1_000_000
STATUSES = ("online", "offline", "internal", "delisted")
REST_WAYS = ("status", "html", "truncate", "empty", "body", "delay_seconds", "half", "tenfold")


@kind("refuse", "endpoint", "seconds", "status", "retry_after", "location", "hang")
def _refuse(wanted: Wanted, exchange: Endpoint, now: float) -> int:
    """Upgrades are refused, below 300 with HTML; connections that are open stay."""
    retry_after = f"{wanted.number('retry_after'):g}" if wanted.has("retry_after") else None
    status = wanted.whole("status", 200, 599, default=503)
    refusal = Refusal(status, retry_after, wanted.text("location"), wanted.flag("hang"))
    exchange.faults.refusal.set(refusal, wanted.until(now))
    return 1


@kind("restart", "endpoint", "seconds_down")
def _restart(wanted: Wanted, exchange: Endpoint, now: float) -> int:
    """All connections are reset at once, and for a while none is taken."""
    until = now + wanted.number("seconds_down")
    exchange.faults.refusal.set(Refusal(503, None, None, hang=False), until)
    sessions = exchange.sessions()
    for session in sessions:
        session.reset()
    return len(sessions)


@kind("flap", "endpoint", "seconds", "after_seconds")
def _flap(wanted: Wanted, exchange: Endpoint, now: float) -> int:
    """Every connection opened from now on is closed when it is that old."""
    exchange.faults.flap.set(Flap(now, wanted.number("after_seconds", default=2.0)), wanted.until(now))
    return 1


@kind("early_data", "seconds")
def _early_data(wanted: Wanted, exchange: Endpoint, now: float) -> int:
    """Tickers come before the ack of a subscribe, and after that of an unsubscribe."""
    exchange.faults.early_data.set(True, wanted.until(now))
    return 1


@kind("reject_product", "product", "seconds")
def _reject_product(wanted: Wanted, exchange: Endpoint, now: float) -> int:
    """A subscribe that holds the product is refused as a whole, although REST lists it."""
    exchange.faults.rejected.add([wanted.product(exchange)], wanted.until(now))
    return 1


@kind("status", "product", "status", "trading_disabled", "seconds")
def _status(wanted: Wanted, exchange: Endpoint, now: float) -> int:
    """A product is listed otherwise, null: not at all, and does not trade until it is ``online``, or for some seconds.

    Heartbeats go on for one that is halted, and stop for one that is delisted or not listed.
    """
    market, product_id, status = made_up(exchange), wanted.product(exchange), wanted.text("status")
    if status not in STATUSES and not wanted.is_null("status"):
        raise FaultError(f"status has to be one of {', '.join(STATUSES)}, or null, not {status!r}")
    gone, halted = status in (None, "delisted"), status != "online" or wanted.flag("trading_disabled")
    until = wanted.until(now) if wanted.has("seconds") else math.inf
    fields = None if status is None else {"status": status, "trading_disabled": gone or wanted.flag("trading_disabled")}
    exchange.faults.listed.set(product_id, fields, until)
    market.quiet.add([product_id], until if halted else now)
    exchange.faults.delivery.no_heartbeats.add([product_id], until if gone else now)
    return 1


@kind("partial_ack", "endpoint", "products", "times")
def _partial_ack(wanted: Wanted, exchange: Endpoint, now: float) -> int:  # noqa: ARG001
    """The next subscribes with one of these products leave them out: no ack of them, no data."""
    products = frozenset(wanted.products(exchange))
    exchange.faults.leave_out(products, wanted.whole("times", 1, MAX_TIMES, default=1))
    return len(products)


@kind("clock", "offset_seconds", "seconds")
def _clock(wanted: Wanted, exchange: Endpoint, now: float) -> int:
    """The exchange's clock is off, in all frames and in REST."""
    made_up(exchange)
    exchange.faults.clock_offset_seconds.set(wanted.signed("offset_seconds"), wanted.until(now))
    return 1


@kind("rest_lag", "endpoint", "seconds", "lag_seconds")
def _rest_lag(wanted: Wanted, exchange: Endpoint, now: float) -> int:
    """REST's pages of trades lack the youngest."""
    made_up(exchange)
    exchange.faults.rest_lag_seconds.set(wanted.number("lag_seconds"), wanted.until(now))
    return 1


@kind("rest", "endpoint", "seconds", *REST_WAYS)
def _rest(wanted: Wanted, exchange: Endpoint, now: float) -> int:
    """REST answers with an error, HTML, half a body, none, another one, late, or a list of another length."""
    if not any(wanted.has(name) for name in REST_WAYS):
        raise FaultError(f"rest wants at least one of {', '.join(REST_WAYS)}")
    half, tenfold = wanted.flag("half"), wanted.flag("tenfold")
    if half and tenfold:
        raise FaultError("rest is either half or tenfold")
    status = wanted.whole("status", 200, 599) if wanted.has("status") else None
    given = wanted.text("body")
    body = given.encode() if given is not None else None
    content_type = "application/json"
    if wanted.flag("empty"):
        body = b""
    elif wanted.flag("html"):
        body, content_type = HTML, "text/html"
    elif status is not None and body is None:
        body = b'{"message":"simulated fault"}'
    delay = wanted.number("delay_seconds", default=0.0)
    factor = 0.5 if half else 10.0 if tenfold else 1.0
    fault = RestFault(status, body, content_type, wanted.flag("truncate"), delay, factor)
    exchange.faults.rest.set(fault, wanted.until(now))
    return 1

"""Kinds of fault that change which products there are: new ones are listed, others delisted."""

from __future__ import annotations

import math
import re
import time

from hub.simulator.endpoint import Endpoint
from hub.simulator.kinds import FaultError, Wanted, kind, made_up
from hub.simulator.products import make_product

PRODUCT_ID = re.compile(r"[A-Z0-9]{1,20}-[A-Z0-9]{1,20}")
MAX_LISTED = 1_000


@kind("list", "products")
def _list(wanted: Wanted, exchange: Endpoint, now: float) -> int:
    """New products are listed and trade at once; they stay when the faults are cleared."""
    market, names = made_up(exchange), dict.fromkeys(wanted.names("products"))
    if not names or len(names) > MAX_LISTED or not all(map(PRODUCT_ID.fullmatch, names)):
        raise FaultError(f"products has to be a list of 1 to {MAX_LISTED} ids such as NEW-USD")
    listed = {row["id"] for row in market.listing()}
    if known := [one for one in names if one in listed]:
        raise FaultError(f"products has to name new ones, and {known[0]} is listed")
    for one in names:
        market.add(make_product(one), time.time() + (exchange.faults.clock_offset_seconds.at(now) or 0.0))
    return len(names)


@kind("delist", "products", "unlisted")
def _delist(wanted: Wanted, exchange: Endpoint, now: float) -> int:  # noqa: ARG001
    """Products are listed as delisted (``unlisted``: not at all): no trades, no heartbeats, no new subscriptions."""
    market, products = made_up(exchange), wanted.products(exchange)
    fields = None if wanted.flag("unlisted") else {"status": "delisted", "trading_disabled": True}
    for one in products:
        exchange.faults.listed.set(one, fields, math.inf)
    market.quiet.add(products, math.inf)
    exchange.faults.delivery.no_heartbeats.add(products, math.inf)
    exchange.faults.rejected.add(products, math.inf)
    return len(products)

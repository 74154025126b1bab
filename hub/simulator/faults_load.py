"""Kinds of fault that hit how busy products are."""

from __future__ import annotations

from hub.simulator.endpoint import Endpoint
from hub.simulator.kinds import FaultError, Wanted, kind, made_up


@kind("concentrate", "products", "share")
def _concentrate(wanted: Wanted, exchange: Endpoint, now: float) -> int:  # noqa: ARG001 - every kind has the same form
    """Some products have that share of all trades, evenly, until it is asked for with share 0."""
    share = wanted.number("share")
    if share >= 1:
        raise FaultError(f"share has to be less than 1, not {share:g}")
    products = wanted.products(exchange)
    made_up(exchange).concentrate(products, share)
    return len(set(products))

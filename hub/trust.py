"""How far a price can be trusted. Pure: a verdict from (now, the evidence).

Trust speaks of the *price*: of trades. Bid and ask move without one, so they carry an age of their own.

- ``live``: a trade reached us within ``stale_after``, and nothing says that we miss a later one.
- ``quiet``: no trade for longer, and the heartbeat proves that there was none.
- ``behind``: a heartbeat has named a later trade for ``BEHIND_SECONDS``, or the product's connection was lost (or is
  silent) and nothing was proved since; it is being repaired.
- ``stale``: no proof within ``stale_after``. It outranks all of the above: an old price always says so.
- ``starting``: no price yet.
- ``halted``, ``delisted``: by the exchange's product list. They outrank everything: nobody can trade at that price. But
  a trade that is newer than the list outranks the list, until the next one.
"""

from __future__ import annotations

from typing import NamedTuple

from hub.model import Product, Trust

BEHIND_SECONDS = 1.0  # a heartbeat may overtake its ticker, but not for long

Verdict = tuple[Trust, str]
"""A state, and the reason for it in words."""


class Evidence(NamedTuple):
    """What is known of one product; times are monotonic seconds, None for never.

    ``verified_at``: the last proof that ours is the latest trade (a new trade, or a heartbeat that names no later one).
    ``ahead_since``: since when a heartbeat names a trade that we do not have. ``doubted``: its connection was lost
    or silent, and nothing was proved since. ``catalogue``: what the product list says against it (``by_catalogue``).
    ``by_rest``: the last proof is REST's, since no socket delivers.
    """

    last_trade_at: float | None
    verified_at: float | None
    ahead_since: float | None
    doubted: bool
    stale_after: float
    catalogue: Verdict | None = None
    by_rest: bool = False


def by_catalogue(product: Product) -> Verdict | None:
    """Return what the exchange's product list says against a product's price; None where it is online."""
    if product.online:
        return None
    if product.status is None:
        return Trust.DELISTED, "the exchange does not list it any more"
    said = f"status={product.status}" if product.status != "online" else "trading_disabled=true"
    return Trust.DELISTED if product.delisted else Trust.HALTED, f"the exchange says {said}"


def judge(now: float, seen: Evidence) -> Verdict:
    """Return the state of a watched product at ``now``."""
    if seen.catalogue is not None:
        return seen.catalogue
    if seen.last_trade_at is None or seen.verified_at is None:
        return Trust.STARTING, "no price yet"
    if now - seen.verified_at > seen.stale_after:
        return Trust.STALE, "nothing has proved this price lately"
    if seen.doubted:
        return Trust.BEHIND, "its connection was lost, or is silent"
    if seen.ahead_since is not None and now - seen.ahead_since >= BEHIND_SECONDS:
        return Trust.BEHIND, "a heartbeat names a later trade"
    if now - seen.last_trade_at > seen.stale_after:
        return Trust.QUIET, "no trades, as REST says" if seen.by_rest else "no trades, as the heartbeat proves"
    return Trust.LIVE, "REST says so: no socket delivers" if seen.by_rest else "trades arrive in order"

"""Which of the listed products are asked for. Pure.

A selector is an id (``BTC-USD``), a pattern with ``*`` for a whole side (``*-USD``, ``BTC-*``, ``*-*``), ``top:200``,
or an exclusion (``!DOGE-USD``, ``!*-USDC``):

- An id is chosen even if it is halted. What a pattern finds must be online, or be watched already.
- ``top:N`` cuts what the patterns before it found (those since the last ``top``) to the N with the most volume; with no
  pattern before it, everything of the quote currency. Ids neither count nor suffer. ``*-USD,top:100,*-EUR,top:50`` is
  the top 100 in USD and the top 50 in EUR.
- Exclusions hold wherever they stand; what they exclude takes no place in ``top``. Alone they take away from everything
  of the quote currency.
- Volumes are compared in USD. One that can't be converted ranks last.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from decimal import Decimal
from math import ceil
from typing import NamedTuple

from hub.model import Product

TOP = "top:"
# A watched product leaves the top when its rank is below so many times N; another one is in when its rank is above N by
# this factor: volumes that change a little move nobody.
SLACK = 1.2
USD_LIKE = ("USD", "USDC")  # the exchange changes one into the other, one to one, and has no market between them
BRIDGES = ("USDC", "BTC", "ETH", "USDT")  # traded in many currencies: they tell what one is worth in another


class Chosen(NamedTuple):
    """``product_ids`` that are asked for; ``unknown_ids`` are asked for by their id, and not there to trade."""

    product_ids: frozenset[str]
    unknown_ids: tuple[str, ...]


def by_volume(selectors: Iterable[str]) -> bool:
    """Tell whether the choice depends on volumes."""
    return any(item.startswith(TOP) for item in selectors)


def select(
    products: Iterable[Product], selectors: Sequence[str], everything: Sequence[str],
    volumes_usd: Mapping[str, Decimal], watched: Collection[str] = (),
) -> Chosen:  # fmt: skip
    """Return what the selectors choose; ``everything`` are the patterns where they have none.

    ``volumes_usd``: product id → 24 h volume in USD, for ``top``. ``watched`` are the ids that were chosen before.
    """
    known = {item.id: item for item in products if not item.delisted}
    excluded = [item[1:] for item in selectors if item.startswith("!")]
    there = [item for item in known.values() if item.online or item.id in watched]
    there = [item for item in there if not _matches(item.id, excluded)]
    ranked = sorted(there, key=lambda item: (-volumes_usd.get(item.id, Decimal(0)), -item.volume_24h_quote, item.id))
    chosen: set[str] = set()
    unknown: list[str] = []
    group: list[str] = []
    for item in [item for item in selectors if not item.startswith("!")] or everything:
        if item.startswith(TOP):
            chosen |= _top(_found(ranked, group or everything), int(item[len(TOP) :]), watched)
            group = []
        elif "*" in item:
            group.append(item)
        elif not _matches(item, excluded):
            if item in known:
                chosen.add(item)
            else:
                unknown.append(item)
    return Chosen(frozenset(chosen.union(_found(ranked, group))), tuple(unknown))


def _matches(product_id: str, names: Iterable[str]) -> bool:
    base, _, quote = product_id.partition("-")
    return not {product_id, f"*-{quote}", f"{base}-*", "*-*"}.isdisjoint(names)


def _found(ranked: Iterable[Product], patterns: Sequence[str]) -> list[str]:
    return [item.id for item in ranked if _matches(item.id, patterns)]


def _top(ranked: Sequence[str], count: int, watched: Collection[str]) -> set[str]:
    """Return the first ``count``, with slack for those that are watched."""
    safe, slack = dict.fromkeys(ranked[: int(count / SLACK)]), dict.fromkeys(ranked[: ceil(count * SLACK)])
    staying = [item for item in slack if item in watched and item not in safe]
    others = [item for item in ranked if item not in watched and item not in safe]
    return set([*safe, *staying, *others][:count])


def usd_rate(currency: str, prices: Mapping[str, Decimal]) -> Decimal | None:
    """Return what one unit of a currency is worth in USD by the last prices (product id → price), None if unknown."""
    if currency in USD_LIKE:
        return Decimal(1)
    if price := prices.get(f"{currency}-USD"):
        return price
    for base in BRIDGES:
        there = prices.get(f"{base}-{currency}")
        here = Decimal(1) if base in USD_LIKE else prices.get(f"{base}-USD")
        if there and here:
            return here / there
    return None

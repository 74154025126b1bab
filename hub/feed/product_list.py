"""The exchange's lists, parsed: products and how they are listed, 24 h statistics. No I/O but a warning."""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterable
from dataclasses import replace
from decimal import Decimal
from typing import Any, NamedTuple

from hub.model import MAX_PRODUCTS, Product
from hub.parse import PRODUCT_ID
from hub.turns import in_turns

_DECIMAL = re.compile(r"[0-9]{1,30}(\.[0-9]{1,30})?", re.ASCII)
_STATUS = re.compile(r"[ -~]{0,40}")
log = logging.getLogger(__name__)


class CatalogueError(Exception):
    """No believable product list; the text says why."""


class Stats(NamedTuple):
    """The last 24 hours of all products: id → volume in the quote currency, id → last price."""

    volumes: dict[str, Decimal]
    prices: dict[str, Decimal]


def parse_products(body: Any) -> list[Product]:
    """Return the products of a ``GET /products`` body, whatever their status.

    Raises ``CatalogueError`` if it is no such list, one of more than ``MAX_PRODUCTS``, or of delisted products alone.
    """
    if not isinstance(body, list) or not body:
        raise CatalogueError("the product list is no list, or empty")
    _bound(len(body), "the product list")
    products, malformed = [], 0
    for item in in_turns(body):
        entry: dict[str, Any] = item if isinstance(item, dict) else {}
        texts = [entry.get(name) for name in ("id", "base_currency", "quote_currency", "status")]
        product_id, base, quote, status = (text if isinstance(text, str) else "" for text in texts)
        whole = all(isinstance(text, str) for text in texts)
        if whole and PRODUCT_ID.fullmatch(product_id) and _STATUS.fullmatch(status):
            disabled = entry.get("trading_disabled") is True
            products.append(Product(product_id, base, quote, status=status, trading_disabled=disabled))
        else:
            malformed += 1
    if malformed:
        log.warning("product list: %d of %d entries are malformed and left out", malformed, len(body))
    if all(product.delisted for product in products):
        raise CatalogueError("the product list names no product that is not delisted")
    return products


def parse_stats(body: Any) -> Stats:
    """Return what a ``GET /products/stats`` body says of the last 24 hours.

    Raises ``CatalogueError`` if it is no such object, or too large. A product without volume or last price is left out.
    """
    if not isinstance(body, dict) or not body:
        raise CatalogueError("the statistics are no object, or empty")
    _bound(len(body), "the statistics")
    stats = Stats({}, {})
    for product_id, entry in in_turns(body.items()):
        day = entry.get("stats_24hour", entry) if isinstance(entry, dict) else {}
        texts = [day.get("volume"), day.get("last")] if isinstance(day, dict) else []
        numbers = [Decimal(text) for text in texts if isinstance(text, str) and _DECIMAL.fullmatch(text)]
        if len(numbers) == 2:
            stats.volumes[product_id] = numbers[0] * numbers[1]
            stats.prices[product_id] = numbers[1]
    return stats


def _bound(count: int, what: str) -> None:
    if count > MAX_PRODUCTS:
        raise CatalogueError(f"{what}: {count} products, at most {MAX_PRODUCTS} are taken")


def named_in(body: Any) -> frozenset[str]:
    """Return the ids that a list names, in malformed entries too."""
    return frozenset(item["id"] for item in body if isinstance(item, dict) and isinstance(item.get("id"), str))


def trading_count(listed: Iterable[Product]) -> int:
    """Return how many products of a list are there to trade; halted ones are: a halt makes no list shorter."""
    return sum(not product.delisted for product in listed)


def relist(
    products: Iterable[Product], body: Any, listed: Iterable[Product], named_before: Collection[str]
) -> tuple[Product, ...]:
    """Return the products as a list has them now; ``listed`` are the well-formed entries of its ``body``.

    What neither it nor the list before it names is delisted: one list may be cut off. What it alone does not name, or
    names in a malformed entry, stays as it was.
    """
    found = {item.id: item for item in listed}
    named = named_in(body)
    stated = []
    for product in in_turns(products):
        now = found.get(product.id)
        if now is not None:
            stated.append(replace(product, status=now.status, trading_disabled=now.trading_disabled))
        elif product.id in named or product.id in named_before:
            stated.append(product)
        else:
            stated.append(replace(product, status=None, trading_disabled=False))
    return tuple(stated)

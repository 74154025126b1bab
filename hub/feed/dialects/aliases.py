"""Which of the ids that were asked for a frame of Advanced Trade speaks of, and the REST answers that tell it. Pure.

Who subscribes ``XLM-USDC`` is told of ``XLM-USD``: one book under two names. The product list says which (``alias`` and
``alias_to``); the text of an id does not, since ``USDT-USDC`` and ``EURC-USDC`` are books of their own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from hub.feed.dialects import fields
from hub.feed.dialects.advanced_trade import HEARTBEATS, AdvancedTradeDialect, parse_trades
from hub.model import MAX_PRODUCTS, Event, FrameRefused, Market, Product, Subscriptions, Ticker

_STATUS = re.compile(r"[ -~]{0,40}", re.ASCII).fullmatch
_VOLUME = re.compile(r"[0-9]{1,30}(?:\.[0-9]{1,30})?", re.ASCII).fullmatch


class MarketProduct(NamedTuple):
    """A row of the product list; ``alias`` is the id that frames carry in place of its own, empty for none.

    ``alias_to`` are the ids of which this one is the alias.
    """

    product: Product
    alias: str
    alias_to: tuple[str, ...]


class MarketProducts(NamedTuple):
    """The spot products of a list, and how many of its rows were malformed and left out."""

    products: tuple[MarketProduct, ...]
    malformed: int


def parse_market_products(body: object) -> MarketProducts:
    """Return what a ``GET /api/v3/brokerage/market/products`` body lists, whatever its status; futures are passed over.

    Raises ``FrameRefused`` if it is no such list, or if none of its rows can be used: a failure is no empty list.
    """
    rows = body.get("products") if type(body) is dict else None
    if type(rows) is not list:
        raise FrameRefused("not_list", f"products is {type(rows).__name__}")
    if len(rows) > MAX_PRODUCTS:
        raise FrameRefused("too_many", f"{len(rows)} products")
    products, malformed = [], 0
    for row in rows:
        try:
            if type(row) is not dict:
                raise FrameRefused("not_object", type(row).__name__)
            if row.get("product_type", "SPOT") == "SPOT":
                products.append(_market_product(row))
        except FrameRefused:
            malformed += 1
    if not products:
        raise FrameRefused("no_products", f"{malformed} rows are malformed")
    return MarketProducts(tuple(products), malformed)


def parse_market_trades(product_id: str, body: object) -> list[Ticker]:
    """Return the trades of a ``GET …/market/products/{id}/ticker`` body as tickers of that product, the oldest first.

    Raises ``FrameRefused`` for a body that is wrong in any of its rows.
    """
    rows = body.get("trades") if type(body) is dict else None
    if type(rows) is not list or any(type(row) is not dict for row in rows):
        raise FrameRefused("not_list", f"trades is {type(rows).__name__}")
    return [trade._replace(product_id=product_id) for trade in parse_trades(rows)]


class AliasMap:
    """Translates the ids in frames to those that were asked for; without any product list each stands for itself."""

    def __init__(self, asked: Iterable[str], products: Iterable[MarketProduct] = ()) -> None:
        books = book_ids(products)
        self._asked: dict[str, tuple[str, ...]] = {}
        for product_id in dict.fromkeys(asked):
            book = books.get(product_id, product_id)
            self._asked[book] = (*self._asked.get(book, ()), product_id)

    def asked_for(self, product_id: str) -> tuple[str, ...]:
        """Return the ids asked for that a frame's id stands for: none, if nobody asked; several, under several names.
        """
        return self._asked.get(product_id, ())

    def translate(self, event: Event) -> tuple[Event, ...]:
        """Return an event as if the exchange had answered in the ids that were asked for: none, one or several."""
        if isinstance(event, Ticker | Market):
            names = self.asked_for(event.product_id)
            return tuple(event if name == event.product_id else event._replace(product_id=name) for name in names)
        if isinstance(event, Subscriptions):
            channels = event.channels.items()
            return (Subscriptions({name: self._known_by(name, product_ids) for name, product_ids in channels}),)
        return (event,)

    def _known_by(self, channel: str, product_ids: frozenset[str]) -> frozenset[str]:
        if channel == HEARTBEATS:
            return product_ids
        return frozenset(name for product_id in product_ids for name in self.asked_for(product_id))


class AliasedDialect(AdvancedTradeDialect):
    """The protocol, in the ids that were asked for: the owner sets ``aliases`` whenever they change."""

    def __init__(self) -> None:
        self.aliases = AliasMap(())

    def decode(self, frame: bytes) -> tuple[Event, ...]:
        """Return the events of one frame; raises ``FrameRefused``."""
        aliases = self.aliases
        return tuple(one for event in super().decode(frame) for one in aliases.translate(event))


def book_ids(products: Iterable[MarketProduct]) -> Mapping[str, str]:
    """Return the id that frames carry for each product that has another one; its own row's word counts first."""
    books: dict[str, str] = {}
    own: dict[str, str] = {}
    for row in products:
        books.update(dict.fromkeys(row.alias_to, row.product.id))
        if row.alias:
            own[row.product.id] = row.alias
    return {one: book for one, book in {**books, **own}.items() if one != book}


def _market_product(row: dict[str, Any]) -> MarketProduct:
    product_id = fields.product_id(row)
    status, base, quote = row.get("status"), row.get("base_currency_id"), row.get("quote_currency_id")
    if type(status) is not str or not _STATUS(status):
        raise FrameRefused("bad_status", repr(status)[:80])
    if type(base) is not str or type(quote) is not str:
        raise FrameRefused("bad_currencies", f"{base!r:.80} {quote!r:.80}")
    volume = row.get("approximate_quote_24h_volume")
    product = Product(
        product_id,
        base,
        quote,
        volume_24h_quote=Decimal(volume) if type(volume) is str and _VOLUME(volume) else Decimal(0),
        status=status,
        trading_disabled=any(row.get(name) is True for name in ("trading_disabled", "is_disabled", "view_only")),
    )
    alias, alias_to = row.get("alias") or "", row.get("alias_to") or []
    if alias and not fields.is_product_id(alias):
        raise FrameRefused("bad_alias", repr(alias)[:80])
    if type(alias_to) is not list or not all(fields.is_product_id(item) for item in alias_to):
        raise FrameRefused("bad_alias", repr(alias_to)[:80])
    return MarketProduct(product, alias, tuple(alias_to))

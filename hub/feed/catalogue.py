"""Which products there are: read from the exchange, kept on disk, chosen by the settings.

A list that can't be believed (a failure, HTML, empty, cut off) changes nothing: the last good one stays. The file on
disk is used, marked as old, while the exchange's REST interface is down. What is watched is chosen once; later lists
tell how the exchange lists it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import tempfile
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson

from hub.config import PRODUCT_ID, Settings
from hub.feed.rest import RestClient, RestError
from hub.model import Product

log = logging.getLogger(__name__)

SHORTEST, LONGEST = 0.75, 2.0  # times the kept list's length: what is outside is suspicious
BELIEVED_AFTER = 10  # times in a row that the exchange says so
LATEST_SECOND = 253_402_300_799  # the last that a date can tell
_DECIMAL = re.compile(r"[0-9]{1,30}(\.[0-9]{1,30})?", re.ASCII)
_STATUS = re.compile(r"[ -~]{0,40}")


class CatalogueError(Exception):
    """No believable product list; the text says why."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The products of the settings' choice, the busiest first.

    ``unknown_ids`` are ids of ``MONITORING_CRYPTOS`` that are not listed, or delisted. ``as_of`` is the wall-clock
    second at which the exchange told the list; ``old`` is set for a list from disk.
    """

    products: tuple[Product, ...]
    unknown_ids: tuple[str, ...]
    as_of: float
    old: bool


def parse_products(body: Any) -> list[Product]:
    """Return the products of a ``GET /products`` body, whatever their status.

    Raises ``CatalogueError`` if it is no such list, or one of delisted products alone.
    """
    if not isinstance(body, list) or not body:
        raise CatalogueError("the product list is no list, or empty")
    products, malformed = [], 0
    for item in body:
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


def parse_volumes(body: Any) -> dict[str, Decimal]:
    """Return product id → 24 h volume in the quote currency of a ``GET /products/stats`` body.

    Raises ``CatalogueError`` if it is no such object. A product without volume or last price is left out.
    """
    if not isinstance(body, dict) or not body:
        raise CatalogueError("the statistics are no object, or empty")
    volumes = {}
    for product_id, entry in body.items():
        stats = entry.get("stats_24hour", entry) if isinstance(entry, dict) else {}
        texts = [stats.get("volume"), stats.get("last")] if isinstance(stats, dict) else []
        numbers = [Decimal(text) for text in texts if isinstance(text, str) and _DECIMAL.fullmatch(text)]
        if len(numbers) == 2:
            volumes[product_id] = numbers[0] * numbers[1]
    return volumes


def choose(
    listed: Iterable[Product], volumes: Mapping[str, Decimal], settings: Settings
) -> tuple[tuple[Product, ...], tuple[str, ...]]:
    """Return (the products that the settings ask for, the busiest first; the ids asked for that are unknown).

    A product that is asked for by its id may be halted; all others must be online. Raises ``CatalogueError`` where none
    is, and where ``TOP_USD_PAIRS`` is set and no volume is known.
    """
    known = {
        item.id: replace(item, volume_24h_quote=volumes.get(item.id, Decimal(0)))
        for item in listed
        if not item.delisted
    }
    unknown: tuple[str, ...] = ()
    if settings.monitoring_cryptos:
        chosen = [known[item] for item in settings.monitoring_cryptos if item in known]
        unknown = tuple(item for item in settings.monitoring_cryptos if item not in known)
    else:
        online = [item for item in known.values() if item.online]
        if not online:
            raise CatalogueError("the product list names no online product")
        chosen = [item for item in online if item.quote_currency == settings.quote_currency]
    chosen.sort(key=lambda item: (-item.volume_24h_quote, item.id))
    if settings.top_usd_pairs and not settings.monitoring_cryptos:
        if not volumes:
            raise CatalogueError("TOP_USD_PAIRS needs volumes, and the exchange's statistics can't be had")
        chosen = chosen[: settings.top_usd_pairs]
    return tuple(chosen), unknown


def named_in(body: Any) -> frozenset[str]:
    """Return the ids that a list names, in malformed entries too."""
    return frozenset(item["id"] for item in body if isinstance(item, dict) and isinstance(item.get("id"), str))


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
    for product in products:
        now = found.get(product.id)
        if now is not None:
            stated.append(replace(product, status=now.status, trading_disabled=now.trading_disabled))
        elif product.id in named or product.id in named_before:
            stated.append(product)
        else:
            stated.append(replace(product, status=None, trading_disabled=False))
    return tuple(stated)


class CatalogueSource:
    """Reads catalogues: from the exchange, else from the last good file of the same exchange."""

    def __init__(self, rest: RestClient, settings: Settings) -> None:
        self._rest = rest
        self._settings = settings
        self._usual: int | None = None  # length that a list is held against, None before the first that was believed
        self._repeated = (0, 0)  # (length of the last list, how many in a row had it)
        self._named: frozenset[str] = frozenset()  # ids in the last list that was believed
        place = re.sub(r"[^A-Za-z0-9.-]", "_", urlsplit(settings.rest_url).netloc)
        # simulated products never get onto the disk, where a later start could take them for real ones
        self._path = None if settings.simulate else Path(settings.state_dir) / f"catalogue-{place}.json"

    def fetch(self) -> Catalogue:
        """Choose the catalogue by the exchange's list and keep that on disk. Raises ``CatalogueError``."""
        body, listed = self._listed()
        stats, volumes = self._volumes()
        products, unknown = choose(listed, volumes, self._settings)
        self._named = named_in(body)
        return Catalogue(products, unknown, self._save(body, stats), old=False)

    def refresh(self, catalogue: Catalogue) -> Catalogue:
        """Return the same products as the exchange lists them now. Raises ``CatalogueError``.

        It costs one request: the volumes stay those of the choice.
        """
        body, listed = self._listed()
        products = relist(catalogue.products, body, listed, self._named)
        self._named = named_in(body)
        return replace(catalogue, products=products, as_of=self._save(body, self._kept_stats()), old=False)

    def _listed(self) -> tuple[Any, list[Product]]:
        """Return the exchange's list, as it came and parsed. Raises ``CatalogueError`` if it can't be believed."""
        try:
            body = self._rest.get_json("/products")
        except RestError as error:
            raise CatalogueError(str(error)) from error
        listed = parse_products(body)
        self._doubt(_length(listed))
        return body, listed

    def _doubt(self, count: int) -> None:
        """Raise ``CatalogueError`` for a list that is suspiciously shorter or longer than the usual one.

        One that says the same ``BELIEVED_AFTER`` times in a row is believed in the end. Until then a shorter one that
        is believed does not become the usual one: else a list that melts away step by step would be believed.
        """
        usual = self._usual if self._usual is not None else self._kept_length()
        self._repeated = (count, self._repeated[1] + 1 if self._repeated[0] == count else 1)
        stays = self._repeated[1] >= BELIEVED_AFTER
        if usual and not stays and not usual * SHORTEST <= count <= usual * LONGEST:
            raise CatalogueError(f"{count} products, where the kept list has {usual}: not believed yet")
        self._usual = count if stays else max(count, usual)

    def _kept_length(self) -> int:
        """Return how many products the list on disk has, 0 where there is none."""
        try:
            kept = self._kept()
            return _length(parse_products(kept["products"])) if kept else 0
        except (CatalogueError, KeyError, TypeError) as error:
            log.warning("no kept list to compare with: %r", error)
            return 0

    def _kept_stats(self) -> Any:
        """Return the statistics on disk, None where there are none."""
        try:
            return (self._kept() or {})["stats"]
        except (CatalogueError, KeyError, TypeError) as error:
            log.debug("no kept statistics: %r", error)
            return None

    def _volumes(self) -> tuple[Any, dict[str, Decimal]]:
        """Return (the statistics, the volumes in them): the exchange's, else the kept ones, else nothing."""
        try:
            body = self._rest.get_json("/products/stats")
            return body, parse_volumes(body)
        except (RestError, CatalogueError) as error:
            log.warning("no fresh volumes: %s", error)
        try:
            body = self._kept_stats()
            return body, parse_volumes(body)
        except CatalogueError as error:
            log.warning("no kept volumes: %s", error)
            return None, {}

    def load(self) -> Catalogue:
        """Read the last good catalogue from disk. Raises ``CatalogueError``."""
        kept = self._kept()
        if kept is None:
            raise CatalogueError("no product list is kept on disk")
        try:
            as_of = float(kept["as_of"])
            if not 0 <= as_of <= LATEST_SECOND:
                raise ValueError(f"as_of is {as_of}")
            listed = parse_products(kept["products"])
            volumes = parse_volumes(kept["stats"]) if kept["stats"] else {}
        except (KeyError, TypeError, ValueError) as error:
            raise CatalogueError(f"the product list on disk can't be used: {error!r}") from error
        products, unknown = choose(listed, volumes, self._settings)
        return Catalogue(products, unknown, as_of, old=True)

    def _kept(self) -> Any:
        """Return the parsed file, None where there is none. Raises ``CatalogueError`` for one that can't be read."""
        try:
            return orjson.loads(self._path.read_bytes()) if self._path is not None else None
        except FileNotFoundError:
            return None
        except (OSError, orjson.JSONDecodeError) as error:
            raise CatalogueError(f"the product list on disk can't be read: {error}") from error

    def _save(self, products: Any, stats: Any) -> float:
        """Write the file whole or not at all; return the wall-clock second that it bears.

        A disk that refuses costs a warning, not the prices.
        """
        now = time.time()
        if self._path is None:
            return now
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self._path.parent, prefix=self._path.name)
            try:
                with os.fdopen(handle, "wb") as stream:
                    stream.write(orjson.dumps({"as_of": now, "products": products, "stats": stats}))
                Path(name).replace(self._path)
            except BaseException:
                with contextlib.suppress(OSError):
                    Path(name).unlink()
                raise
        except OSError as error:
            log.warning("the product list can't be kept in %s: %s", self._path, error)
        return now


def _length(listed: Iterable[Product]) -> int:
    """Return how many products of a list are there to trade; halted ones are: a halt makes no list shorter."""
    return sum(not product.delisted for product in listed)

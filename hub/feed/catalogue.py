"""Which products there are: read from the exchange, kept on disk, chosen by the settings.

A list that can't be believed (a failure, HTML, empty, cut off) changes nothing: the last good one stays. The file on
disk is used, marked as old, while the exchange's REST interface is down.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
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


class CatalogueError(Exception):
    """No believable product list; the text says why."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The products of the settings' choice, the busiest first.

    ``unknown_ids`` are ids of ``MONITORING_CRYPTOS`` that are not listed and online. ``as_of`` is the wall-clock second
    at which the exchange told the list; ``old`` is set for a list from disk.
    """

    products: tuple[Product, ...]
    unknown_ids: tuple[str, ...]
    as_of: float
    old: bool


def parse_products(body: Any) -> list[Product]:
    """Return the online products of a ``GET /products`` body. Raises ``CatalogueError`` if it is no such list."""
    if not isinstance(body, list) or not body:
        raise CatalogueError("the product list is no list, or empty")
    products, malformed = [], 0
    for item in body:
        entry: dict[str, Any] = item if isinstance(item, dict) else {}
        product = Product(entry.get("id", ""), entry.get("base_currency", ""), entry.get("quote_currency", ""))
        texts = (product.id, product.base_currency, product.quote_currency, entry.get("status"))
        if not all(isinstance(text, str) for text in texts) or not PRODUCT_ID.fullmatch(product.id):
            malformed += 1
        elif entry["status"] == "online" and entry.get("trading_disabled") is not True:
            products.append(product)
    if malformed:
        log.warning("product list: %d of %d entries are malformed and left out", malformed, len(body))
    if not products:
        raise CatalogueError("the product list names no online product")
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

    Raises ``CatalogueError`` where ``TOP_USD_PAIRS`` is set and no volume is known.
    """
    known = {
        item.id: Product(item.id, item.base_currency, item.quote_currency, volumes.get(item.id, Decimal(0)))
        for item in listed
    }
    unknown: tuple[str, ...] = ()
    if settings.monitoring_cryptos:
        chosen = [known[item] for item in settings.monitoring_cryptos if item in known]
        unknown = tuple(item for item in settings.monitoring_cryptos if item not in known)
    else:
        chosen = [item for item in known.values() if item.quote_currency == settings.quote_currency]
    chosen.sort(key=lambda item: (-item.volume_24h_quote, item.id))
    if settings.top_usd_pairs and not settings.monitoring_cryptos:
        if not volumes:
            raise CatalogueError("TOP_USD_PAIRS needs volumes, and the exchange's statistics can't be had")
        chosen = chosen[: settings.top_usd_pairs]
    return tuple(chosen), unknown


class CatalogueSource:
    """Reads catalogues: from the exchange, else from the last good file of the same exchange."""

    def __init__(self, rest: RestClient, settings: Settings) -> None:
        self._rest = rest
        self._settings = settings
        self._doubted = (0, 0)  # (length of a list that was not believed, times in a row)
        place = re.sub(r"[^A-Za-z0-9.-]", "_", urlsplit(settings.rest_url).netloc)
        # simulated products never get onto the disk, where a later start could take them for real ones
        self._path = None if settings.simulate else Path(settings.state_dir) / f"catalogue-{place}.json"

    def fetch(self) -> Catalogue:
        """Read the catalogue from the exchange and keep it on disk. Raises ``CatalogueError``."""
        try:
            products_body = self._rest.get_json("/products")
            listed = parse_products(products_body)
        except RestError as error:
            raise CatalogueError(str(error)) from error
        self._doubt(len(listed))
        stats_body, volumes = self._volumes()
        products, unknown = choose(listed, volumes, self._settings)
        now = time.time()
        self._save({"as_of": now, "products": products_body, "stats": stats_body})
        return Catalogue(products, unknown, now, old=False)

    def _doubt(self, count: int) -> None:
        """Raise ``CatalogueError`` for a list that is suspiciously shorter or longer than the kept one.

        One that says the same ``BELIEVED_AFTER`` times in a row is believed in the end.
        """
        try:
            kept = self._kept()
            before = len(parse_products(kept["products"])) if kept else 0
        except (CatalogueError, KeyError, TypeError) as error:
            log.warning("no kept list to compare with: %r", error)
            return
        if not before or before * SHORTEST <= count <= before * LONGEST:
            self._doubted = (0, 0)
            return
        self._doubted = (count, self._doubted[1] + 1 if self._doubted[0] == count else 1)
        if self._doubted[1] < BELIEVED_AFTER:
            raise CatalogueError(f"{count} products online, where the kept list has {before}: not believed yet")

    def _volumes(self) -> tuple[Any, dict[str, Decimal]]:
        """Return (the statistics, the volumes in them): the exchange's, else the kept ones, else nothing."""
        try:
            body = self._rest.get_json("/products/stats")
            return body, parse_volumes(body)
        except (RestError, CatalogueError) as error:
            log.warning("no fresh volumes: %s", error)
        try:
            body = (self._kept() or {})["stats"]
            return body, parse_volumes(body)
        except (CatalogueError, KeyError, TypeError) as error:
            log.warning("no kept volumes: %r", error)
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

    def _save(self, content: dict[str, Any]) -> None:
        """Write the file whole or not at all; a disk that refuses costs a warning, not the prices."""
        if self._path is None:
            return
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self._path.parent, prefix=self._path.name)
            try:
                with os.fdopen(handle, "wb") as stream:
                    stream.write(orjson.dumps(content))
                Path(name).replace(self._path)
            except BaseException:
                with contextlib.suppress(OSError):
                    Path(name).unlink()
                raise
        except OSError as error:
            log.warning("the product list can't be kept in %s: %s", self._path, error)

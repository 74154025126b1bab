"""Which products there are: read from the exchange, kept on disk, chosen by the settings.

A list that can't be believed (a failure, HTML, empty, cut off) changes nothing: the last good one stays. The file on
disk is used, marked as old, while the exchange's REST interface is down. Each list that is believed chooses anew:

- What fits the settings joins. What is halted stays, as the list has it.
- What is delisted stays for ``DELISTED_KEEP_SECONDS``, and until the next list at the least, so that everybody sees it
  as delisted; then it leaves. Trades that come meanwhile start that time over.
- What fits no longer (it fell out of the ``top``) leaves at once. Volumes are read with every 12th list.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import tempfile
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson

from hub.feed.product_list import (
    CatalogueError,
    Stats,
    named_in,
    parse_products,
    parse_stats,
    relist,
    trading_count,
)
from hub.feed.rest import RestClient, RestError
from hub.feed.selectors import by_volume, select, usd_rate
from hub.model import Product
from hub.settings import Settings
from hub.turns import in_turns

log = logging.getLogger(__name__)

SHORTEST, LONGEST = 0.75, 2.0  # times the kept list's length: what is outside is suspicious
BELIEVED_AFTER = 10  # times in a row that the exchange says so, and for as long as:
BELIEVED_AFTER_SECONDS = 3_600.0  # a refused list is read again within a minute: ten times are no long outage
LOOKS_A_VOLUME = 12  # lists, where volumes matter: one more request each time, and a rank is no news of the minute
LATEST_SECOND = 253_402_300_799  # the last that a date can tell
NO_STATS = Stats({}, {})


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The products of the settings' choice, the busiest first.

    Some may be delisted and still shown. ``unknown_ids`` are asked for by their id, and not listed, or
    delisted. ``as_of`` is the wall-clock second at which the exchange told the list; ``old`` is set for one from disk.
    """

    products: tuple[Product, ...]
    unknown_ids: tuple[str, ...]
    as_of: float
    old: bool


def selectors_of(settings: Settings) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return (what chooses the products, whichever setting says so; the patterns of the quote currencies)."""
    everything = tuple(f"*-{currency}" for currency in settings.quote_currencies)
    if settings.monitoring_cryptos or settings.products:
        return settings.monitoring_cryptos or settings.products, everything
    return (*everything, *([f"top:{settings.top_usd_pairs}"] if settings.top_usd_pairs else [])), everything


def choose(
    listed: Iterable[Product], stats: Stats, settings: Settings, watched: Collection[str] = (),
    shown: Collection[str] = (),
) -> tuple[tuple[Product, ...], tuple[str, ...]]:  # fmt: skip
    """Return (the products that the settings ask for, the busiest first; the ids asked for that are unknown).

    ``watched`` are the ids that were chosen before, ``shown`` those that stay, asked for or not. Raises
    ``CatalogueError`` where the choice depends on volumes and none is known, and where nothing is online.
    """
    selectors, everything = selectors_of(settings)
    volumes = stats.volumes
    products = [replace(item, volume_24h_quote=volumes.get(item.id, Decimal(0))) for item in in_turns(listed)]
    if by_volume(selectors) and not stats.volumes:
        raise CatalogueError("TOP_USD_PAIRS and top:N need volumes, and the exchange's statistics can't be had")
    rates = {quote: usd_rate(quote, stats.prices) for quote in {item.quote_currency for item in products}}
    usd = {item.id: item.volume_24h_quote * (rates[item.quote_currency] or 0) for item in in_turns(products)}
    product_ids, unknown = select(products, selectors, everything, usd, watched)
    patterns = any("*" in item or item.startswith(("top:", "!")) for item in selectors)
    if patterns and not watched and not any(item.online for item in products):
        raise CatalogueError("the product list names no online product")
    chosen = [item for item in products if item.id in product_ids or item.id in shown]
    unrated = sorted({item.quote_currency for item in chosen if rates[item.quote_currency] is None})
    if unrated and by_volume(selectors) and not watched:
        log.warning("no rate to USD for %s: the volumes of their products rank last", ",".join(unrated))
    chosen.sort(key=lambda item: (-usd[item.id], -item.volume_24h_quote, item.id))
    return tuple(chosen), tuple(item for item in unknown if item not in shown)


class CatalogueSource:
    """Reads catalogues: from the exchange, else from the last good file of the same exchange."""

    def __init__(self, rest: RestClient, settings: Settings, clock: Callable[[], float] = time.monotonic) -> None:
        self._rest = rest
        self._settings = settings
        self._clock = clock
        self._usual: int | None = None  # length that a list is held against, None before the first that was believed
        self._repeated = (0, 0, 0.0)  # (length of the last list, how many in a row had it, since when)
        self._named: frozenset[str] = frozenset()  # ids in the last list that was believed
        self._delisted_at: dict[str, float] = {}  # product that is shown as delisted → since when
        self._stats, self._stats_body = NO_STATS, None
        self._looks = 0  # lists since the volumes were read
        place = re.sub(r"[^A-Za-z0-9.-]", "_", urlsplit(settings.rest_url).netloc)
        # simulated products never get onto the disk, where a later start could take them for real ones
        self._path = None if settings.simulate else Path(settings.state_dir) / f"catalogue-{place}.json"

    def fetch(self, before: Catalogue | None = None) -> Catalogue:
        """Choose by the exchange's list and its volumes, and keep both on disk. Raises ``CatalogueError``.

        ``before`` is what was served until now: it says what is watched, and may be delisted by now.
        """
        body, listed = self._listed()
        self._read_volumes()
        return self._follow(before, body, listed)

    def refresh(self, before: Catalogue) -> Catalogue:
        """Choose anew by the exchange's list of now, with one request, mostly. Raises ``CatalogueError``."""
        body, listed = self._listed()
        self._looks += 1
        if self._looks >= LOOKS_A_VOLUME and by_volume(selectors_of(self._settings)[0]):
            self._read_volumes()
        return self._follow(before, body, listed)

    def _follow(self, before: Catalogue | None, body: Any, listed: list[Product]) -> Catalogue:
        """Return the catalogue by a list that is believed."""
        stated = relist(before.products if before is not None else (), body, listed, self._named)
        there = {item.id: item for item in (*listed, *stated)}
        watched = {item.id for item in stated if not item.delisted}
        shown = self._linger(item.id for item in stated if item.delisted)
        products, unknown = choose(there.values(), self._stats, self._settings, watched, shown)
        self._named = named_in(body)
        time.sleep(0)  # each of these steps takes tens of milliseconds for the longest list
        return Catalogue(products, unknown, self._save(body, self._stats_body), old=False)

    def _linger(self, delisted: Iterable[str]) -> Collection[str]:
        """Return those that are shown still: each for its time, and by one list at the least."""
        now, kept, since = self._clock(), self._settings.delisted_keep_seconds, self._delisted_at
        self._delisted_at = {
            item: since.get(item, now) for item in delisted if item not in since or now - since[item] < kept
        }
        return self._delisted_at

    def trades(self, product_id: str) -> None:
        """Note that a product trades, whatever the list says: it must not leave meanwhile."""
        self._delisted_at.pop(product_id, None)

    def _listed(self) -> tuple[Any, list[Product]]:
        """Return the exchange's list, as it came and parsed. Raises ``CatalogueError`` if it can't be believed."""
        try:
            body = self._rest.get_json("/products")
        except RestError as error:
            raise CatalogueError(str(error)) from error
        listed = parse_products(body)
        self._doubt(trading_count(listed))
        return body, listed

    def _doubt(self, count: int) -> None:
        """Raise ``CatalogueError`` for a list that is suspiciously shorter or longer than the usual one.

        One that says the same ``BELIEVED_AFTER`` times in a row, over ``BELIEVED_AFTER_SECONDS``, is believed in the
        end. Until then a shorter one that is believed does not become the usual one: else a list that melts away step
        by step would be believed.
        """
        usual, now = self._usual if self._usual is not None else self._kept_length(), self._clock()
        length, times, since = self._repeated
        times, since = (times + 1, since) if length == count else (1, now)
        self._repeated = (count, times, since)
        stays = times >= BELIEVED_AFTER and now - since >= BELIEVED_AFTER_SECONDS
        if usual and not stays and not usual * SHORTEST <= count <= usual * LONGEST:
            raise CatalogueError(f"{count} products, where the kept list has {usual}: not believed yet")
        self._usual = count if stays else max(count, usual)

    def _kept_length(self) -> int:
        """Return how many products the list on disk has, 0 where there is none."""
        try:
            kept = self._kept()
            return trading_count(parse_products(kept["products"])) if kept else 0
        except (CatalogueError, KeyError, TypeError) as error:
            log.warning("no kept list to compare with: %r", error)
            return 0

    def _read_volumes(self) -> None:
        """Read the statistics: the exchange's; where they can't be had, those of before, else the kept ones."""
        try:
            body = self._rest.get_json("/products/stats")
            self._stats, self._stats_body = parse_stats(body), body
            self._looks = 0
            return
        except (RestError, CatalogueError) as error:
            log.warning("no fresh volumes: %s", error)
        if self._stats_body is None:
            try:
                body = (self._kept() or {})["stats"]
                self._stats, self._stats_body = parse_stats(body), body
            except (CatalogueError, KeyError, TypeError) as error:
                log.warning("no kept volumes: %r", error)

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
            stats = parse_stats(kept["stats"]) if kept["stats"] else NO_STATS
        except (KeyError, TypeError, ValueError) as error:
            raise CatalogueError(f"the product list on disk can't be used: {error!r}") from error
        products, unknown = choose(listed, stats, self._settings)
        self._named = named_in(kept["products"])
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

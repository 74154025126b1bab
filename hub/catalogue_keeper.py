"""Keeps the product list: tries until the exchange's own is had, then reads it now and then for what changed.

Until it is had the kept one serves, marked as old. Each list of the exchange chooses the products anew, and tells how
they are listed. A failure changes nothing but that the list is called old. When a product trades that the list says
does not, it is read again soon.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from random import Random
from typing import NamedTuple

from hub.feed.backoff import Backoff
from hub.feed.catalogue import Catalogue, CatalogueSource
from hub.feed.product_list import CatalogueError
from hub.logs import Cooldown
from hub.payload import iso_time
from hub.trust import by_catalogue
from hub.worker import Worker

RETRY_SECONDS = (2.0, 60.0)  # first and longest bound of the wait between two tries
LOOK_AGAIN_SECONDS = 5.0  # least wait between two looks where trades refute the list
LATE_REFRESHES = 2.0  # intervals after which a list counts as old
NAMED = 20  # products in one line of the log
log = logging.getLogger(__name__)
_warn = Cooldown(log)


class Change(NamedTuple):
    """A product joined, left, or was delisted; ``event`` is the word for it on the wire."""

    event: str
    product_id: str
    reason: str


class CatalogueKeeper:
    """Owner of the catalogue; ``take(catalogue)`` is called with each that is to be served."""

    def __init__(self, source: CatalogueSource, take: Callable[[Catalogue], None], refresh_seconds: float) -> None:
        self.source = source
        self._take = take
        self._refresh_seconds = refresh_seconds
        self._backoff = Backoff(*RETRY_SECONDS, float("inf"), Random())
        self.catalogue: Catalogue | None = None
        self.problem: str | None = "the product list has not been read yet"
        self._looked_at = self._due_at = float("-inf")  # monotonic seconds: the last look's end, and the next
        self._read_at = float("-inf")  # when the exchange's own list was last had: its ``as_of`` is data
        self._refuted = False  # whether a trade has refuted the list since the last look began
        self.worker = Worker("catalogue", self.look)

    def look_again(self, product_id: str) -> None:
        """Have the list read soon: this product trades, and the list says that it does not."""
        _warn.warning("look_again", "product=%s trades, where the product list says otherwise: read again", product_id)
        self.source.trades(product_id)
        self._refuted = True
        self.worker.wake()

    def look(self) -> float:
        """Read the list if it is due; return the seconds until it is."""
        if self._refuted:
            self._due_at = min(self._due_at, self._looked_at + LOOK_AGAIN_SECONDS)
        if (left := self._due_at - time.monotonic()) > 0:
            return left
        self._refuted = False
        seconds = self.step()
        self._looked_at = time.monotonic()
        self._due_at = self._looked_at + seconds
        return seconds

    def step(self) -> float:
        """Read the list once; return the seconds until the next time."""
        known = self.catalogue
        try:
            self._serve(self.source.fetch(known) if known is None or known.old else self.source.refresh(known))
        except CatalogueError as error:
            log.warning("no product list from the exchange: %s", error)
            self._fall_back(f"no product list from the exchange: {error}")
            return max(0.5, self._backoff.failed())
        self._read_at = time.monotonic()
        self._backoff.failures = 0
        self.problem = None
        if self.catalogue is not None and not self.catalogue.products:
            self.problem = "no product of the exchange fits the settings"
            log.error("%s", self.problem)
        return self._refresh_seconds

    def _fall_back(self, problem: str) -> None:
        try:
            if self.catalogue is None:
                self._serve(self.source.load())
        except CatalogueError as error:
            problem = f"{problem}; {error}"
        if self.catalogue is not None:
            if not self.catalogue.old and time.monotonic() - self._read_at < LATE_REFRESHES * self._refresh_seconds:
                return  # one that failed is made up for by the next, before anybody could have missed it
            problem = f"the product list is old (of {iso_time(self.catalogue.as_of)}): {problem}"
        self.problem = problem

    def _serve(self, catalogue: Catalogue) -> None:
        before = self.catalogue
        if catalogue.unknown_ids and (before is None or before.unknown_ids != catalogue.unknown_ids):
            log.warning("not listed, or delisted: %s", ", ".join(catalogue.unknown_ids))
        against = _against(catalogue)
        if against != (_against(before) if before is not None else []):
            more = f" and {len(against) - NAMED} more" if len(against) > NAMED else ""
            log.warning("halted or delisted: %s%s", "; ".join(against[:NAMED]) or "none any more", more)
        found = changes(before, catalogue)
        for event in dict.fromkeys(change.event for change in found):
            told = [change.product_id for change in found if change.event == event]
            log.warning("%s: %d: %s%s", event, len(told), ", ".join(told[:NAMED]), ", …" if told[NAMED:] else "")
        self._take(catalogue)
        self.catalogue = catalogue


def _against(catalogue: Catalogue) -> list[str]:
    """Return, of each product that is not online, the id and why."""
    said = ((product.id, by_catalogue(product)) for product in catalogue.products)
    return [f"{product_id}: {verdict[1]}" for product_id, verdict in said if verdict is not None]


def changes(before: Catalogue | None, after: Catalogue) -> list[Change]:
    """Return what clients are told of a new catalogue: nothing of the first one."""
    if before is None:
        return []
    old, new = ({item.id: item for item in catalogue.products} for catalogue in (before, after))
    found = []
    for product_id, now in new.items():
        then, verdict = old.get(product_id), by_catalogue(now)
        if now.delisted and (then is None or not then.delisted):
            found.append(Change("product_delisted", product_id, verdict[1] if verdict is not None else ""))
        elif not now.delisted and then is None:
            found.append(Change("product_listed", product_id, "it is listed, and fits the settings"))
        elif not now.delisted and then is not None and then.delisted:
            found.append(Change("product_listed", product_id, "the exchange lists it again"))
    for product_id, then in old.items():
        if product_id not in new:
            verdict = by_catalogue(then) if then.delisted else None
            reason = verdict[1] if verdict is not None else "it does not fit the settings any more"
            found.append(Change("product_left", product_id, reason))
    return found

"""Keeps the product list: tries until the exchange's own is had, then reads it now and then for what was halted.

Until it is had the kept one serves, marked as old. The exchange's first list settles which products are watched; later
ones tell how these are listed. A failure changes nothing but that the list is called old. When a product trades that
the list says does not, it is read again soon.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from random import Random

from hub.feed.backoff import Backoff
from hub.feed.catalogue import Catalogue, CatalogueError, CatalogueSource
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
            self._serve(self.source.fetch() if known is None or known.old else self.source.refresh(known))
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
        self._take(catalogue)
        self.catalogue = catalogue


def _against(catalogue: Catalogue) -> list[str]:
    """Return, of each product that is not online, the id and why."""
    said = ((product.id, by_catalogue(product)) for product in catalogue.products)
    return [f"{product_id}: {verdict[1]}" for product_id, verdict in said if verdict is not None]

"""Keeps trying for the product list until the exchange's own is had; meanwhile the kept one serves, marked as old."""

from __future__ import annotations

import logging
from collections.abc import Callable
from random import Random

from hub.feed.backoff import Backoff
from hub.feed.catalogue import Catalogue, CatalogueError, CatalogueSource
from hub.payload import iso_time
from hub.worker import Worker

RETRY_SECONDS = (2.0, 60.0)  # first and longest bound of the wait between two tries
log = logging.getLogger(__name__)


class CatalogueKeeper:
    """Owner of the catalogue; ``take(catalogue)`` is called with each that is to be served."""

    def __init__(self, source: CatalogueSource, take: Callable[[Catalogue], None]) -> None:
        self.source = source
        self._take = take
        self._backoff = Backoff(*RETRY_SECONDS, float("inf"), Random())
        self.catalogue: Catalogue | None = None
        self.problem: str | None = "the product list has not been read yet"
        self.worker = Worker("catalogue", self.step)

    def step(self) -> float | None:
        """Try once; return the seconds until the next try, None when the exchange's list is served."""
        try:
            self._serve(self.source.fetch())
        except CatalogueError as error:
            log.warning("no product list from the exchange: %s", error)
            self._fall_back(f"no product list from the exchange: {error}")
            return max(0.5, self._backoff.failed())
        self.problem = None
        if self.catalogue is not None and not self.catalogue.products:
            self.problem = "no product of the exchange fits the settings"
            log.error("%s", self.problem)
        return None

    def _fall_back(self, problem: str) -> None:
        try:
            if self.catalogue is None:
                self._serve(self.source.load())
        except CatalogueError as error:
            problem = f"{problem}; {error}"
        if self.catalogue is not None:
            problem = f"the product list is old (of {iso_time(self.catalogue.as_of)}): {problem}"
        self.problem = problem

    def _serve(self, catalogue: Catalogue) -> None:
        if catalogue.unknown_ids:
            log.warning("not listed or not online: %s", ", ".join(catalogue.unknown_ids))
        self._take(catalogue)
        self.catalogue = catalogue

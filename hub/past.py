"""What the process before this one left: its open gaps, and the last trade id of each product.

Between that id and a product's first trade of now lies what nobody saw: the ledger's ``restart``.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

from hub.book import Book
from hub.feed.repair import Repair
from hub.ledger import Gap, Ledger
from hub.model import Cause
from hub.records import Records
from hub.settings import Settings
from hub.store import Store
from hub.watch import Watch


class Past:
    """Owner of the last ids of before, and of the file that keeps them and the gaps; no file for simulated prices."""

    def __init__(
        self, settings: Settings, book: Book, ledger: Ledger, watch: Watch, repair: Repair, records: Records,
    ) -> None:  # fmt: skip
        self._book = book
        self._ledger = ledger
        self._watch = watch
        self._repair = repair
        self._ids: dict[str, int] = {}
        self._settled: frozenset[str] | None = None  # the products that the exchange's own list has settled
        # simulated prices must not outlive their process
        self.store = None if settings.simulate else Store(
            _ledger_path(settings), book.last_ids, self.restore, records
        )

    def restore(self, gaps: list[Gap], last_ids: dict[str, int]) -> None:
        """Take in what was kept: at the start, or as soon as it can be read."""
        self._ledger.restore(gaps)
        self._ids.update(last_ids)
        self._forget_others()
        if self._book.products:
            self._watch.keep(set(self._book.products))
        for product_id in self._book.last_ids():
            self.resume(product_id)

    def settle(self) -> None:
        """Note that the exchange's own list has said which products are watched now."""
        watched = frozenset(self._book.products)
        if watched != self._settled:
            self._settled = watched
            self._forget_others()

    def _forget_others(self) -> None:
        """Forget the last ids of products that are not watched: when they are again, nothing is owed of meanwhile.

        Not before the exchange's own list: what a kept one lacks may be watched a moment later.
        """
        if self._settled is None:
            return
        watched = set(self._book.products)
        for product_id in list(self._ids):
            if product_id not in watched:
                self._ids.pop(product_id, None)
        if self.store is not None:
            self.store.keep_only(watched)

    def resume(self, product_id: str) -> None:
        """Have fetched what was missed before a product's first trade: from that on, the book takes older ones."""
        self._repair.add(product_id, self._ledger.missing_of(product_id))
        first = self._book.first_id(product_id)
        before = self._ids.pop(product_id, first)
        if before + 1 < first:
            self._watch.jumped(product_id, None, (before + 1, first - 1), Cause.RESTART)

    def keep(self, gaps: list[Gap]) -> None:
        """Have changed gaps written to the file."""
        if self.store is not None:
            for gap in gaps:
                self.store.keep(gap)


def _ledger_path(settings: Settings) -> Path:
    """Return the file that outlives a restart: one an exchange."""
    place = re.sub(r"[^A-Za-z0-9.-]", "_", urlsplit(settings.ws_url).netloc)
    return Path(settings.state_dir) / f"ledger-{place}.sqlite"

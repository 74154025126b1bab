"""Keeps what Advanced Trade's product list says of aliases: which ids its frames carry for those asked for."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from random import Random

from hub.feed.backoff import Backoff
from hub.feed.dialects import AliasedDialect
from hub.feed.dialects.aliases import AliasMap, MarketProduct, parse_market_products
from hub.feed.rest import RestClient, RestError
from hub.logs import Cooldown
from hub.model import FrameRefused
from hub.worker import Worker

RETRY_SECONDS = (2.0, 60.0)  # first and longest bound of the wait between two tries
LIST = "/api/v3/brokerage/market/products"
log = logging.getLogger(__name__)
_warn = Cooldown(log)


class AliasKeeper:
    """Owner of the list. Until it is had, each id stands for itself, which is true of all but those in USDC."""

    def __init__(self, rest: RestClient, dialect: AliasedDialect, refresh_seconds: float) -> None:
        self._rest = rest
        self._dialect = dialect
        self._refresh_seconds = refresh_seconds
        self._backoff = Backoff(*RETRY_SECONDS, float("inf"), Random())
        self._asked: tuple[str, ...] = ()
        self._products: tuple[MarketProduct, ...] = ()
        self.worker = Worker("aliases", self.step)

    def ask(self, product_ids: Sequence[str]) -> None:
        """Set which products are asked for."""
        self._asked = tuple(product_ids)
        self._translate()

    def _translate(self) -> None:
        self._dialect.aliases = AliasMap(self._asked, self._products)

    def step(self) -> float:
        """Read the list once; return the seconds until the next time."""
        try:
            found = parse_market_products(self._rest.get_json(LIST))
        except (RestError, FrameRefused) as error:
            _warn.warning("aliases", "no product list of Advanced Trade: %s", error)
            return max(0.5, self._backoff.failed())
        self._backoff.failures = 0
        self._products = found.products
        self._translate()
        return self._refresh_seconds

    def stop(self, timeout_seconds: float) -> None:
        """End the worker and close idle connections. Idempotent."""
        self.worker.stop(timeout_seconds)
        self._rest.close()

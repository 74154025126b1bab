"""PriceHub, the composition root: builds the rooms, passes a price from one to the next, starts, drains, stops.

It is also the in-process interface: ``from hub import PriceHub``; see ``docs/protocol.md``.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from random import Random
from typing import Any

import orjson

from hub.book import Book
from hub.config import PRODUCT_ID, Settings, load
from hub.detect import health
from hub.detect.volume import VolumeAlert, VolumeDetector
from hub.fanout.broadcast import Fanout
from hub.fanout.priority import UPDATE_INTERVAL_SECONDS, PriorityPairs
from hub.feed.backoff import Backoff
from hub.feed.catalogue import Catalogue, CatalogueError, CatalogueSource
from hub.feed.pool import ConnectionPool
from hub.feed.rest import RestClient
from hub.model import ConnectionSnapshot, ConnectionStatus, Event, HealthStatus, Heartbeat, Order, Quote, Ticker
from hub.payload import iso_time

CATALOGUE_RETRY_SECONDS = (2.0, 60.0)  # first and longest bound of the wait between two tries
HOUSEKEEPING_SECONDS = 1.0
MAX_PRIORITY_PAIRS = 1_000
HEARTBEATS_FRESH = 10  # heartbeats for which one proves that its product is quiet

log = logging.getLogger(__name__)


class PriceHub:
    """The hub without its web server. ``start`` and ``stop`` are idempotent; every method is thread-safe.

    Prices, tickers and events are given as the ``dict`` of the ``ticker_update`` payload.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings if settings is not None else load([], os.environ).settings
        self.book = Book(HEARTBEATS_FRESH * self.settings.heartbeat_seconds)
        self.fanout = Fanout(self.settings.flush_ms / 1000)
        self.priority = PriorityPairs(self._publish)
        self.pool = ConnectionPool(self.settings, self._on_event)
        window_seconds = self.settings.window_minutes * 60
        cooldown = self.settings.volume_cooldown_seconds
        self._volume = VolumeDetector(
            window_seconds, self.settings.volume_threshold, window_seconds if cooldown is None else cooldown
        )
        self._rest = RestClient(self.settings.rest_url)
        self._catalogue_source = CatalogueSource(self._rest, self.settings)
        self._catalogue: Catalogue | None = None
        self._catalogue_problem: str | None = "the product list has not been read yet"
        self._errors = health.ErrorWindow()
        self._listeners: defaultdict[str, list[Callable[[Any], object]]] = defaultdict(list)
        self.counters: Counter[str] = Counter()  # see docs/protocol.md, GET /health
        self._simulated = self.settings.simulate
        self._was_covered = False
        self._started_at = time.monotonic()
        self._started = False
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._keep_catalogue, name="catalogue", daemon=True),
            threading.Thread(target=self._keep_house, name="housekeeping", daemon=True),
        ]

    # -- life --------------------------------------------------------------------------------------

    def start(self) -> PriceHub:
        """Start everything; return the hub itself."""
        if not self._started:
            self._started = True
            self._started_at = time.monotonic()
            self.fanout.start()
            self.priority.start()
            self.pool.start()
            for thread in self._threads:
                thread.start()
        return self

    def stop(self, timeout_seconds: float = 4.0) -> None:
        """Stop taking in, send what is gathered, end every thread, within ``timeout_seconds`` altogether."""
        give_up_at = time.monotonic() + timeout_seconds

        def left() -> float:
            return max(0.05, give_up_at - time.monotonic())

        self._stop.set()
        if not self._started:
            return
        self.pool.stop(left() / 2)
        self.priority.stop(left() / 2)
        self._publish("hub_stopping", '{"reconnect":true}')
        self.fanout.stop(left() / 2)
        for thread in self._threads:
            thread.join(left())
        self._rest.close()

    # -- the way of a price ------------------------------------------------------------------------

    def _on_event(self, connection_id: str, event: Event, wall: float, monotonic: float) -> None:
        if type(event) is Ticker:
            self._on_ticker(connection_id, event, wall, monotonic)
        elif type(event) is Heartbeat:
            self.book.beat(event, monotonic)

    def _on_ticker(self, connection_id: str, ticker: Ticker, wall: float, monotonic: float) -> None:
        if ticker.simulated:
            self._simulated = True
        elif self.settings.simulate:
            ticker = ticker._replace(simulated=True)
        first = self.book.quote(ticker.product_id) is None
        taken = self.book.apply(ticker, connection_id, wall, monotonic)
        if taken is None:
            self.counters["unexpected"] += 1
            return
        order, quote = taken
        self.counters[order.value] += 1
        # nothing may wait between the book's change and the publishing of it: a new client's snapshot is taken from
        # the book, and would repeat this tick
        if order is Order.NEW:
            self._publish("ticker_update", quote.payload)
            self.priority.tick(quote)
            if not first:  # a product's first ticker is its last trade, sent again: no volume of now
                alert = self._volume.trade(ticker.product_id, float(ticker.last_size), monotonic)
                if alert is not None:
                    self._publish("volume_alert", _alert_payload(alert, quote))
        elif order is Order.LATE:
            self._publish("trade_backfill", quote.payload)

    def _publish(self, event: str, payload: str) -> None:
        self.fanout.publish(event, payload)
        for listener in self._listeners.get(event, ()):
            try:
                listener(orjson.loads(payload))
            except Exception:
                self.counters["listener_errors"] += 1
                log.exception("a listener of %s raised", event)

    def relay(self, event: str, payload: object) -> None:
        """Send an event of a client or of ``POST /alert`` to every client, unchanged.

        Raises ``orjson.JSONEncodeError`` (a ``TypeError``) for what strict JSON can't hold.
        """
        self._publish(event, orjson.dumps(payload).decode())

    # -- threads -----------------------------------------------------------------------------------

    def _keep_catalogue(self) -> None:
        first, longest = CATALOGUE_RETRY_SECONDS
        backoff = Backoff(first, longest, float("inf"), Random())
        while not self._stop.is_set():
            try:
                if self._read_catalogue():
                    return
            except Exception as error:
                log.exception("bug in reading the product list")
                self._catalogue_problem = f"no product list: {type(error).__name__}"
            self._stop.wait(max(0.5, backoff.failed()))

    def _read_catalogue(self) -> bool:
        """Take the exchange's list, else the kept one; return whether it is the exchange's."""
        try:
            self._take_catalogue(self._catalogue_source.fetch())
            return True
        except CatalogueError as error:
            log.warning("no product list from the exchange: %s", error)
            problem = f"no product list from the exchange: {error}"
        try:
            if self._catalogue is None:
                self._take_catalogue(self._catalogue_source.load())
        except CatalogueError as error:
            problem = f"{problem}; {error}"
        if self._catalogue is not None:
            problem = f"the product list is old (of {iso_time(self._catalogue.as_of)}): {problem}"
        self._catalogue_problem = problem
        return False

    def _take_catalogue(self, catalogue: Catalogue) -> None:
        problem = None
        if catalogue.unknown_ids:
            log.warning("not listed or not online: %s", ", ".join(catalogue.unknown_ids))
        if not catalogue.products:
            problem = "no product of the exchange fits the settings"
            log.error("%s", problem)
        product_ids = [product.id for product in catalogue.products]
        self._catalogue = catalogue
        self.book.set_products(product_ids)
        self.pool.set_products(product_ids)
        self._volume.keep(product_ids)
        if not catalogue.old:
            self._catalogue_problem = problem

    def _keep_house(self) -> None:
        while not self._stop.wait(HOUSEKEEPING_SECONDS):
            self._errors.sample(time.monotonic(), *self.pool.totals())
            self.get_health_summary()  # notes that it was healthy once, whether or not anybody asks

    # -- reading -----------------------------------------------------------------------------------

    @property
    def simulated(self) -> bool:
        """Whether any price of this hub may be simulated."""
        return self._simulated

    @property
    def unknown_ids(self) -> tuple[str, ...]:
        """Ids of ``MONITORING_CRYPTOS`` that the exchange does not list as online."""
        return self._catalogue.unknown_ids if self._catalogue else ()

    def connections(self) -> list[ConnectionSnapshot]:
        """Return every connection slot, in order."""
        return self.pool.snapshots()

    def get_health_summary(self) -> dict[str, Any]:
        """Return the body of ``GET /health``."""
        now = time.monotonic()
        slots = self.pool.snapshots()
        connected = sum(slot.status is ConnectionStatus.CONNECTED for slot in slots)
        total = len(self.book.products)
        active, ticking = self.book.activity(now)
        messages_total, errors_total = self.pool.totals()
        error_ratio, messages_per_second = self._errors.rates()
        uptime = now - self._started_at
        seen = health.HealthInput(
            uptime, len(slots), connected, total, active, error_ratio, self._catalogue_problem, self._was_covered
        )
        status, reasons = health.verdict(seen)
        self._was_covered = self._was_covered or status is HealthStatus.HEALTHY
        return {
            "status": status,
            "total_connections": len(slots),
            "connected_connections": connected,
            "total_products": total,
            "active_products": active,
            "ticking_products": ticking,
            "coverage_percentage": health.coverage_percentage(active, total),
            "total_messages_received": messages_total,
            "total_errors": errors_total,
            "uptime_seconds": round(uptime, 3),
            "price_samples": len(self.book.quotes()),
            "last_updated": iso_time(time.time()),
            "messages_per_second": round(messages_per_second, 1),
            "refused_frames": self.pool.refused(),
            "counters": {**self.counters, "missing": self.book.missing_total()},
            "clients": self.fanout.client_count,
            "unknown_products": list(self.unknown_ids),
            "reasons": reasons,
            "simulated": self.simulated,
        }

    def get_current_ticker(self, product_id: str) -> dict[str, Any] | None:
        """Return the latest payload of a product, None if there is none."""
        quote = self.book.quote(product_id.upper())
        return orjson.loads(quote.payload) if quote else None

    def get_all_tickers(self) -> dict[str, dict[str, Any]]:
        """Return product → latest payload, for every product that has one."""
        return {quote.ticker.product_id: orjson.loads(quote.payload) for quote in self.book.quotes()}

    # -- events and priority pairs -----------------------------------------------------------------

    def on(self, event: str, listener: Callable[[Any], object]) -> Callable[[Any], object]:
        """Call ``listener(payload)`` for every such event, from the hub's threads; it should return soon.

        Events: those that Socket.IO clients get (``ticker_update``, ``trade_backfill``, ``priority_ticker_update``,
        ``volume_alert``, ``spike_alert``, ``trade_update``). A listener that raises is logged and called again.
        """
        self._listeners[event].append(listener)
        return listener

    def check_product_id(self, product_id: object) -> str:
        """Return the id in upper case. Raises ``ValueError`` if it can't be one, ``KeyError`` if it is not watched."""
        found = _as_product_id(product_id)
        if self.book.products and not self.book.knows(found):
            raise KeyError(found)
        return found

    def add_priority_pair(self, product_id: str) -> None:
        """Make a product a priority pair. Raises as ``check_product_id``."""
        checked = self.check_product_id(product_id)
        if len(self.priority.last_updates()) >= MAX_PRIORITY_PAIRS:
            raise ValueError(f"there are {MAX_PRIORITY_PAIRS} priority pairs, which is the most")
        self.priority.add(checked)

    def remove_priority_pair(self, product_id: str) -> bool:
        """Make a product an ordinary one; return whether it was a priority pair. ``ValueError`` for what is no id."""
        return self.priority.remove(_as_product_id(product_id))

    def get_priority_pairs(self) -> list[str]:
        """Return the priority pairs, in the order of adding."""
        return list(self.priority.last_updates())

    def clear_priority_pairs(self) -> None:
        """Remove every priority pair."""
        self.priority.replace(())

    def set_priority_pairs(self, product_ids: Iterable[str]) -> list[str]:
        """Replace the set; return it. Raises as ``check_product_id``, and then changes nothing."""
        checked = list(dict.fromkeys(self.check_product_id(item) for item in product_ids))
        if len(checked) > MAX_PRIORITY_PAIRS:
            raise ValueError(f"{len(checked)} priority pairs are more than {MAX_PRIORITY_PAIRS}")
        self.priority.replace(checked)
        return checked

    def get_priority_stats(self) -> dict[str, Any]:
        """Return the body of ``GET /priority-pairs``."""
        updates = self.priority.last_updates()
        return {
            "totalPriorityPairs": len(updates),
            "priorityPairs": list(updates),
            "updateInterval": int(UPDATE_INTERVAL_SECONDS * 1000),
            "lastUpdates": {item: None if at is None else iso_time(at) for item, at in updates.items()},
        }

    # -- the older interface's names, for the scripts that import it -------------------------------

    getCurrentTicker = get_current_ticker  # noqa: N815
    getAllTickers = get_all_tickers  # noqa: N815
    addPriorityPair = add_priority_pair  # noqa: N815
    removePriorityPair = remove_priority_pair  # noqa: N815
    getPriorityPairs = get_priority_pairs  # noqa: N815
    clearPriorityPairs = clear_priority_pairs  # noqa: N815
    getPriorityStats = get_priority_stats  # noqa: N815
    getHealthSummary = get_health_summary  # noqa: N815
    disconnect = stop


def _as_product_id(text: object) -> str:
    if not isinstance(text, str) or not PRODUCT_ID.fullmatch(text.upper()):
        raise ValueError("product ids look like BTC-USD")
    return text.upper()


def _alert_payload(alert: VolumeAlert, quote: Quote) -> str:
    numbers: dict[str, Any] = {
        "crypto": alert.product_id,
        "current_vol": alert.current_vol,
        "avg_vol": alert.avg_vol,
        "threshold": alert.threshold,
        "ratio": alert.ratio,
        "ticker": orjson.Fragment(quote.payload),
    }
    if quote.ticker.simulated:
        numbers["simulated"] = True
    return orjson.dumps(numbers).decode()



"""PriceHub, the composition root: builds the rooms, passes a price from one to the next, starts, drains, stops.

It is also the in-process interface: ``from hub import PriceHub``; see ``docs/protocol.md``.
"""

from __future__ import annotations

import logging
import os
import secrets
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import orjson

from hub.alerts.desk import Desk
from hub.board import Board
from hub.book import Book
from hub.catalogue_keeper import CatalogueKeeper, changes
from hub.config import load
from hub.fanout.broadcast import Fanout, Mode
from hub.fanout.priority import UPDATE_INTERVAL_SECONDS, PriorityPairs
from hub.feed.catalogue import Catalogue, CatalogueSource
from hub.feed.fallback import Fallback
from hub.feed.paths import Paths
from hub.feed.repair import Repair
from hub.feed.rest import RestClient
from hub.flow import Flow
from hub.history import History
from hub.journal import Journal
from hub.ledger import Ledger
from hub.logs import Cooldown
from hub.loop_watch import LoopWatch
from hub.model import ConnectionSnapshot, Quote
from hub.notes import Notes
from hub.parse import PRODUCT_ID
from hub.past import Past
from hub.payload import aged_payload, iso_time
from hub.records import Records
from hub.settings import Settings
from hub.summary import Summary
from hub.trust import by_catalogue
from hub.watch import Watch
from hub.worker import Worker

MAX_PRIORITY_PAIRS = 1_000
ALERTS_SECONDS = 1.0  # of stopping, for what waits to be delivered
HEARTBEATS_FRESH = 10  # heartbeats for which one proves that its product is quiet

log = logging.getLogger(__name__)
_warn = Cooldown(log)


class PriceHub:
    """The hub without its web server. ``start`` and ``stop`` are idempotent; every method is thread-safe.

    Prices, tickers and events are given as the ``dict`` of the ``ticker_update`` payload.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self.settings = settings = settings if settings is not None else load([], os.environ).settings
        self.epoch = f"{int(time.time()):x}-{secrets.token_hex(4)}"
        self.joining: Callable[[], int] = lambda: 0  # how many sessions have not joined yet; set by the web server
        self.counters: Counter[str] = Counter()  # see docs/protocol.md, GET /health
        self.journal = Journal(next_id=int(time.time() * 1000))
        self.notes = Notes(self.journal, settings.missed_heartbeats * settings.heartbeat_seconds)
        self.book = Book(settings.stale_after_ms / 1000, HEARTBEATS_FRESH * settings.heartbeat_seconds)
        self.fanout = Fanout(
            settings.flush_ms / 1000, Mode(settings.fanout_mode), self._snapshot, lambda: self.book.products,
            settings.client_buffer_bytes,
        )  # fmt: skip
        self.priority = PriorityPairs(self.publish, pinned=settings.priority_pairs)
        self.ledger = Ledger(
            self.epoch,
            lambda gaps: self.past.keep(gaps),  # noqa: PLW0108 - that is built after it, and from it
            next_id=int(time.time() * 1000),
        )
        self.alerts = Desk(settings, self.publish, self.notes.alert, lambda: self.simulated)
        self.rest = RestClient(settings.rest_url)
        self.flow = flow = Flow(self)
        self.repair = Repair(self.rest, self.ledger.missing_of, flow.on_fetched)
        self.fallback = Fallback(self.rest, self.book.unproved, flow.on_rest_price, flow.on_rest_trade)
        self.paths = Paths(
            settings, flow.callbacks, flow.on_pause, last_id=self.book.last_id,
            # what any client may change moves no product from one socket to another
            priority=lambda: self.priority.pinned,
        )
        self.pool = self.paths.primary
        self.watch = Watch(
            self.book, self.pool, self.ledger, self.repair, self.publish, self.paths.snapshots, self.notes,
            flow.on_trust,
        )
        self.catalogue = CatalogueKeeper(
            CatalogueSource(self.rest, settings), self._take_catalogue, settings.catalogue_refresh_seconds
        )
        self._summary = Summary(self)
        self.history = History(self, self._summary)
        records = Records(self.journal, self.history.rings, self.alerts.firing_rows, self.alerts.restore)
        self.past = Past(settings, self.book, self.ledger, self.watch, self.repair, records)
        self.store = self.past.store
        self._listeners: defaultdict[str, list[Callable[[Any], object]]] = defaultdict(list)
        self.started_at = time.monotonic()
        self.board = Board(self)
        self.loop_watch = LoopWatch(settings.loop_stall_exit_seconds)  # started by who owns the process
        self._started = self._stopped = self._draining = False
        self._workers = [
            self.fanout.worker, self.priority.worker, self.watch.worker, self.repair.worker, self.fallback.worker,
            self.catalogue.worker, self.history.worker, self.board.worker,
            *(channel.worker for channel in self.alerts.channels),
            *([self.store.worker] if self.store is not None else []),
        ]  # fmt: skip

    # -- life -----------------------------------------------------------------------------------------

    def start(self) -> PriceHub:
        """Start everything; return the hub itself."""
        if self._started:
            return self
        self._started = True
        self.started_at = time.monotonic()
        if self.store is not None:
            self.store.step()  # restores; where the file can't be opened yet, its worker goes on trying
        self.paths.start()
        for worker in self._workers:
            worker.start()
        return self

    def drain(self, within_seconds: float) -> None:
        """Tell every client that the hub stops, and let none in any more; prices go on until ``stop``. Idempotent."""
        if not self._draining:
            self._draining = True
            self.publish("hub_stopping", f'{{"reconnect":true,"within_ms":{int(within_seconds * 1000)}}}')
            self.fanout.send_all()

    def stop(self, timeout_seconds: float = 4.0) -> None:
        """Stop taking in, send what is gathered, end every thread, within ``timeout_seconds`` altogether."""
        if not self._started or self._stopped:
            return
        self._stopped = True
        give_up_at = time.monotonic() + timeout_seconds

        def left() -> float:
            return max(0.05, give_up_at - time.monotonic())

        self.drain(0.0)
        self.paths.stop(left() / 2)
        self.fanout.stop(left() / 2)
        self.alerts.stop(min(ALERTS_SECONDS, left() / 2))
        for worker in self._workers:
            worker.stop(left() / 2)
        if self.store is not None:
            self.store.stop(left())
        self.rest.close()

    # -- what goes out --------------------------------------------------------------------------------

    def _snapshot(self, product_ids: Iterable[str] | None) -> list[tuple[str, str, str]]:
        """Return what a client is sent first of these products, or of all: the current tickers."""
        now, quotes = time.monotonic(), self.book.quotes() if product_ids is None else map(self.book.quote, product_ids)
        return [("ticker_update", self.payload(quote, now), quote.ticker.product_id) for quote in quotes if quote]

    def publish(self, event: str, payload: str, product_id: str | None = None) -> None:
        self.fanout.publish(event, payload, product_id)
        for listener in self._listeners.get(event, ()):
            try:
                listener(orjson.loads(payload))
            except (Exception, SystemExit):  # noqa: BLE001 - an exit would end the thread that brought the tick
                self.counters["listener_errors"] += 1
                _warn.exception(event, "a listener of event=%s raised", event)

    def relay(self, event: str, payload: object) -> None:
        """Send an event of a client or of ``POST /alert`` to every client, unchanged.

        Raises ``orjson.JSONEncodeError`` (a ``TypeError``) for what strict JSON can't hold.
        """
        text = orjson.dumps(payload).decode()
        self.publish(event, text)
        self.notes.alert(event, text)

    def _take_catalogue(self, catalogue: Catalogue) -> None:
        verdicts = {product.id: found for product in catalogue.products if (found := by_catalogue(product))}
        product_ids = tuple(product.id for product in catalogue.products)
        before = self.catalogue.catalogue
        if product_ids != self.book.products:
            self.book.set_products(product_ids)
            self.paths.set_products(product_ids)
            self.flow.keep(product_ids)
        self.watch.keep(set(product_ids))  # with every list: a tick of one that left may have been on its way
        if not catalogue.old:
            self.past.settle()
        self.book.set_catalogue(verdicts, catalogue.as_of)
        self.paths.set_idle(self.book.idle())
        told = changes(before, catalogue)
        self.notes.listings(told)
        for event, product_id, reason in told:
            if event == "product_left":
                self.priority.remove(product_id)
            body = {"crypto": product_id, "reason": reason, "time": iso_time(catalogue.as_of)}
            # to all, whatever they chose: who named ids must know of those that come and go
            self.publish(event, orjson.dumps(body).decode())

    # -- reading --------------------------------------------------------------------------------------

    @property
    def draining(self) -> bool:
        """Whether it is about to stop: what goes away now goes on purpose."""
        return self._draining

    @property
    def simulated(self) -> bool:
        """Whether any price of this hub may be simulated."""
        return self.flow.simulated

    def connections(self) -> list[ConnectionSnapshot]:
        """Return every connection slot, in order."""
        return self.paths.snapshots()

    def rotate(self, connection_id: str) -> bool:
        """Have a connection replaced without a break, soon; False if there is no such slot."""
        return self.paths.rotate(connection_id)

    def get_health_summary(self) -> dict[str, Any]:
        """Return the body of ``GET /health``."""
        return self._summary.body()

    @property
    def workers(self) -> list[Worker]:
        """The hub's own workers."""
        return [*self._workers, *self.paths.workers]

    def failed_workers(self, now: float) -> int:
        """Return how many of them met a bug lately (``now``: monotonic seconds)."""
        return sum(worker.failed_lately(now) for worker in self.workers)

    def worker_failures(self) -> Counter[str]:
        """Return the name of each worker → how many bugs it met."""
        found: Counter[str] = Counter()
        for worker in (*self._workers, *self.paths.workers):
            found[worker.name] += worker.failures
        return found

    def payload(self, quote: Quote, now: float | None = None) -> str:
        """Return a quote of the book as JSON text, with its trust and ages at ``now`` (monotonic)."""
        standing = self.book.standing(quote.ticker.product_id, time.monotonic() if now is None else now)
        return aged_payload(quote, standing) if standing is not None else quote.body + "}"

    def get_current_ticker(self, product_id: str) -> dict[str, Any] | None:
        """Return the latest payload of a product, None if there is none."""
        quote = self.book.quote(product_id.upper())
        return orjson.loads(self.payload(quote)) if quote else None

    def get_all_tickers(self) -> dict[str, dict[str, Any]]:
        """Return product → latest payload, for every product that has one."""
        return {quote.ticker.product_id: orjson.loads(self.payload(quote)) for quote in self.book.quotes()}

    # -- events and priority pairs --------------------------------------------------------------------

    def on(self, event: str, listener: Callable[[Any], object]) -> Callable[[Any], object]:
        """Call ``listener(payload)`` for every such event, from the hub's threads; it should return soon.

        Events: those that Socket.IO clients get (``docs/protocol.md``). A listener that raises is logged, counted and
        called again.
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
        """Make a product an ordinary one; return whether it was a priority pair: one of ``PRIORITY_PAIRS`` stays one.

        Raises ``ValueError`` for what is no id.
        """
        return self.priority.remove(_as_product_id(product_id))

    def get_priority_pairs(self) -> list[str]:
        """Return the priority pairs, in the order of adding."""
        return list(self.priority.last_updates())

    def clear_priority_pairs(self) -> None:
        """Remove every priority pair but those of ``PRIORITY_PAIRS``."""
        self.priority.replace(())

    def set_priority_pairs(self, product_ids: Iterable[str]) -> list[str]:
        """Replace the set, but for ``PRIORITY_PAIRS``; return it. Changes nothing where ``check_product_id`` raises."""
        checked = list(dict.fromkeys(self.check_product_id(item) for item in product_ids))
        if len(checked) > MAX_PRIORITY_PAIRS:
            raise ValueError(f"{len(checked)} priority pairs are more than {MAX_PRIORITY_PAIRS}")
        self.priority.replace(checked)
        return list(self.priority.last_updates())

    def get_priority_stats(self) -> dict[str, Any]:
        """Return the body of ``GET /priority-pairs``."""
        updates = self.priority.last_updates()
        return {
            "totalPriorityPairs": len(updates),
            "priorityPairs": list(updates),
            "updateInterval": int(UPDATE_INTERVAL_SECONDS * 1000),
            "lastUpdates": {item: None if at is None else iso_time(at) for item, at in updates.items()},
            "pinned": list(self.priority.pinned),
        }

    # -- the older interface's names, for the scripts that import it ----------------------------------

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

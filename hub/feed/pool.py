"""The connection pool: shards on slots, one pace for all connects, one watchdog over all sockets."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from random import Random
from typing import NamedTuple

from hub.feed import balance, sharding, tls, watchdog
from hub.feed.backoff import Backoff
from hub.feed.budget import Budget
from hub.feed.connection import Connection
from hub.feed.dialects import Dialect, by_name
from hub.feed.intake import Callbacks
from hub.feed.schedule import Schedule, Seen
from hub.feed.tally import Totals
from hub.feed.transfers import Transfers
from hub.logs import Cooldown
from hub.model import ConnectionSnapshot
from hub.settings import Settings
from hub.worker import Worker

WATCH_INTERVAL_SECONDS = 0.05
HEARTBEATS_MISSED_WARN = 5
SETTLE_SECONDS = 5.0  # after a pause of the hub nothing is rotated or moved
LOAD_WINDOW_SECONDS = 15.0  # shorter: noise moves products; longer: a crowded connection stays so
LOAD_SAMPLES = 5
PROBE_SECONDS = 4.0  # between two tries to connect while no socket is open
REST_SECONDS = 600.0  # from one move of a product to the next
SPREAD_SECONDS = 30.0  # for which balancing goes on once it has begun

log = logging.getLogger(__name__)
_warn = Cooldown(log)


class Path(NamedTuple):
    """Where a pool connects to, what is spoken there, and how its slots are called."""

    dialect: Dialect
    url: str
    prefix: str = "conn"


class ConnectionPool:
    """Keeps every wanted product on exactly one connection. Owner of the slots; thread-safe.

    ``last_id(product)`` returns the latest trade id that the book has, -1 for none; ``priority()`` the priority
    products.
    """

    def __init__(
        self, settings: Settings, callbacks: Callbacks, paused: Callable[[float], None],
        rng: Random | None = None, *, last_id: Callable[[str], int] = lambda _: -1,
        priority: Callable[[], Collection[str]] = tuple, path: Path | None = None,
    ) -> None:  # fmt: skip
        self._settings = settings
        self._callbacks = callbacks
        self._paused = paused  # called with the seconds for which the hub itself stood still
        self._rng = rng or Random()
        self._priority = priority
        self.path = path or Path(by_name(settings.dialect), settings.ws_url)
        self._per_connection = self.path.dialect.products_per_socket or settings.products_per_connection
        self._limits = watchdog.Limits(
            silence_seconds=settings.missed_heartbeats * settings.heartbeat_seconds,
            connect_seconds=settings.connect_timeout_seconds,
        )
        self.budget = Budget(
            settings.connect_interval_ms / 1000, messages_per_window=self.path.dialect.messages_per_second
        )
        self._probed_at = 0.0
        self._was_up = False
        self._hurried_at = float("-inf")
        # one context for all: it holds the trusted roots, which cost time and memory to load
        self._tls = tls.context() if self.path.url.startswith("wss:") else None
        self._slots: list[Connection] = []
        self._products: tuple[str, ...] = ()  # the busiest first
        self._needed = 0  # slots; those after them leave when their products have gone over
        self._idle: frozenset[str] = frozenset()  # products that the exchange halted or delisted
        self._retired = Totals()
        self._retired_causes: Counter[str] = Counter()
        self._retired_refused: Counter[str] = Counter()
        self.transfers = Transfers(last_id, self._put_in_place, self._count_retired, callbacks.transferred)
        self.schedule = Schedule(settings.rotate_after_seconds, self._rng)
        self._ticks: dict[str, int] = {}  # product → tickers that came; each is counted by one thread at a time
        self.meter = balance.Meter(LOAD_WINDOW_SECONDS, LOAD_SAMPLES)
        self._resting = balance.Resting(REST_SECONDS)
        self._spread_until = 0.0
        self._change = threading.Lock()  # one change of the slots at a time
        self._stop = threading.Event()
        self._watched_at = self._resumed_at = time.monotonic()
        self.worker = Worker("pool-watchdog", self._watch)

    def start(self) -> None:
        """Start the watchdog; connections start with ``set_products``."""
        self._watched_at = self._resumed_at = time.monotonic()
        self.worker.start()

    def _new_connection(self, connection_id: str) -> Connection:
        settings = self._settings
        backoff = Backoff(
            settings.backoff_base_seconds, settings.backoff_cap_seconds, settings.backoff_reset_seconds, self._rng
        )
        return Connection(
            connection_id, self.path.url, self.path.dialect, self._limits, backoff, self._callbacks,
            self.budget.wait, self._tls, self._ticks, self.budget.send,
        )  # fmt: skip

    def set_products(self, product_ids: Sequence[str]) -> None:
        """Bring the connections to these products, the busiest first; what stays is not touched.

        What changes its connection is handed over; what is new is subscribed at once, what is gone let go.
        """
        with self._change:
            if self._stop.is_set():
                return
            now = time.monotonic()
            self._note(self.transfers.give_up(now, "products_changed"), now)
            self._products = tuple(product_ids)
            self._arrange(now)
            for gone in frozenset(self._ticks.copy()).difference(product_ids):
                self._ticks.pop(gone, None)
        log.info("pool products=%d connections=%d", len(set(product_ids)), self._needed)

    def _arrange(self, now: float) -> None:
        """Bring the slots to the products, with the smallest change from what they have now."""
        current = [slot.products for slot in self._slots]
        shards = sharding.assign(self._products, self._per_connection, current)
        numbers = range(len(current), len(shards))
        started = [self._new_connection(f"{self.path.prefix}_{number:03d}") for number in numbers]
        slots = self._slots = [*self._slots, *started]
        self._needed = len(shards)
        held = {item: slot for slot in slots if slot.is_open for item in slot.products}
        routes = {
            item: (held[item], slot)
            for slot, shard in zip(slots, shards, strict=False)
            for item in shard if held.get(item, slot) is not slot
        }  # fmt: skip
        if routes:
            self.transfers.move(routes, self._idle, now, "the product list changed", insisted=True)
        for index, slot in enumerate(slots):
            staying = [item for item, (source, _) in routes.items() if source is slot]
            slot.want([*(shards[index] if index < len(shards) else ()), *staying])
        for slot in started:
            slot.start()
        self._retire_slots()

    def _is_unfinished(self) -> bool:
        """Tell whether something that was given up left a slot without products, or products where no slot should be.

        An empty slot must have a socket first: to it they would go.
        """
        empty = [slot for slot in self._slots[: self._needed] if not slot.products]
        return all(slot.is_open for slot in empty) and bool(empty or len(self._slots) > self._needed)

    def _retire_slots(self) -> None:
        """Give up the last slots where they are not needed, and their products have gone."""
        while len(self._slots) > self._needed and not self._slots[-1].products:
            slot = self._slots.pop()
            self._count_retired(slot)  # at once: a reader of the totals sees it in one of the places
            self.transfers.leave(slot)
        self.schedule.keep([slot.id for slot in self._slots])

    def _count_retired(self, connection: Connection) -> None:
        self._retired = Totals(*map(sum, zip(self._retired, connection.totals(), strict=True)))
        self._retired_causes.update(connection.tally.all_causes())
        self._retired_refused.update(connection.tally.all_refused())

    def _put_in_place(self, old: Connection, new: Connection) -> None:
        self._slots = [new if slot is old else slot for slot in self._slots]

    def set_idle(self, product_ids: Iterable[str]) -> None:
        """Set which products are halted or delisted: a connection that has no others may be silent."""
        silent = [slot for slot in self._slots if self._may_be_silent(slot)]
        self._idle = frozenset(product_ids)
        if not all(map(self._may_be_silent, silent)):
            self._resumed_at = time.monotonic()  # what must bring data again has as long for it as a new connection

    def _may_be_silent(self, slot: Connection) -> bool:
        return bool(self._idle and slot.products) and self._idle.issuperset(slot.products)

    def slot_of(self, product_id: str) -> Connection | None:
        """Return the slot that must deliver a product."""
        owner = self.transfers.owner(product_id)
        return owner or next((slot for slot in self._slots if product_id in slot.products), None)

    def resubscribe(self, product_id: str) -> None:
        """Subscribe anew to a product whose connection is fine otherwise."""
        if (slot := self.slot_of(product_id)) is not None:
            _warn.warning("resubscribe", "resubscribe product=%s connection=%s", product_id, slot.id)
            slot.refresh(product_id)

    def move(self, product_id: str, only_open: bool = False) -> bool:
        """Give a product that its slot does not deliver to the one with the fewest; False if there is no other.

        There is nothing to wait for: it breaks before it makes. A handover of it, or a rotation, is given up.
        """
        with self._change:
            now = time.monotonic()
            if self.transfers.hinders(product_id):
                self._note(self.transfers.give_up(now, "move"), now)
            source = self.slot_of(product_id)
            others = [
                slot for slot in self._slots[: self._needed] if slot is not source and (slot.is_open or not only_open)
            ]
            if source is None or not others or self._stop.is_set():
                return False
            target = min(others, key=lambda slot: (not slot.is_open, len(slot.products)))
            _warn.warning("move", "move product=%s from=%s to=%s", product_id, source.id, target.id)
            source.want([item for item in source.products if item != product_id])
            target.want([*target.products, product_id])
            self._resting.add([product_id], now)
        return True

    def rotate(self, connection_id: str, why: str = "on demand") -> bool:
        """Have a slot's socket replaced without a break, soon; False if there is no such slot."""
        known = any(slot.id == connection_id for slot in self._slots)
        if known:
            self.schedule.ask(connection_id, why)
        return known

    def replace(self, connection_id: str, cause: str) -> None:
        """End a slot's socket; the slot opens the next."""
        for slot in self._slots:
            if slot.id == connection_id:
                slot.replace(cause)

    def catching_up(self, now: float) -> bool:
        """Tell whether any socket may hold frames that came while the hub stood still."""
        return any(slot.catching_up(now) for slot in self._slots if not self._may_be_silent(slot))

    def silent_products(self, now: float, after_heartbeats: float) -> list[str]:
        """Return the products of open sockets that have brought nothing for so many heartbeats."""
        limit = after_heartbeats * self._settings.heartbeat_seconds
        return [item for slot in self._slots if slot.silent_seconds(now) >= limit for item in slot.products]

    def without_heartbeats(self, now: float) -> list[str]:
        """Return the open connections that bring no heartbeats any more (their data may flow)."""
        limit = HEARTBEATS_MISSED_WARN * self._settings.heartbeat_seconds
        return [slot.id for slot in self._slots if self._beatless_seconds(slot, now) > limit]

    def _beatless_seconds(self, slot: Connection, now: float) -> float:
        since = slot.without_heartbeats_since()
        return 0.0 if since is None or self._may_be_silent(slot) else now - max(since, self._resumed_at)

    def begin_stop(self) -> None:
        """Tell every connection to close, and wait for none. Idempotent."""
        self._stop.set()
        for connection in (*self._slots, *self.transfers.beside()):
            connection.stop()

    def stop(self, timeout_seconds: float = 2.0) -> None:
        """Close every connection and wait for the threads, no longer than that altogether. Idempotent."""
        end = time.monotonic() + timeout_seconds
        self._stop.set()
        self.worker.stop(timeout_seconds)
        with self._change:
            connections = [*self._slots, *self.transfers.beside()]
        for connection in connections:
            connection.stop()
        left = [item.id for item in connections if not item.join(max(0.0, end - time.monotonic()))]
        if left:
            log.error("threads that did not end: %s", ",".join(left))

    def slots(self) -> list[Connection]:
        """Return the slots' connections, in order."""
        return list(self._slots)

    def snapshots(self) -> list[ConnectionSnapshot]:
        """Return every slot, in order."""
        return [slot.snapshot() for slot in self._slots]

    def ticks(self) -> dict[str, int]:
        """Return product → tickers that came, since the start."""
        return self._ticks.copy()

    def totals(self) -> Totals:
        """Return the counts since the start, given-up slots included."""
        return Totals(*map(sum, zip(self._retired, *(slot.totals() for slot in self._slots), strict=True)))

    def causes(self) -> Counter[str]:
        """Return how many sockets came to their end, or tries to connect to nothing, by cause."""
        return sum((slot.tally.all_causes() for slot in self._slots), self._retired_causes)

    def refused(self) -> Counter[str]:
        """Return how many frames were not believed or not understood, by reason."""
        return sum((slot.tally.all_refused() for slot in self._slots), self._retired_refused)

    def plan(self, now: float) -> balance.Plan:
        """Return what would move by the load that was measured."""
        _, ticks = self.meter.rates()
        shards = {slot.id: slot.products for slot in self._slots[: self._needed]}
        resting, begun = self._resting.at(now), now < self._spread_until
        closed = {slot.id for slot in self._slots if not (slot.is_open and slot.given)}
        return balance.plan(shards, ticks, self._priority(), self._per_connection, resting, begun, closed)

    def seconds_to_connect(self, now: float) -> float:
        """Return when, at best, every slot will have its socket; 0 if all have."""
        at, ready = self.budget.next_connect_seconds(), 0.0
        for wait in sorted(slot.attempt_in_seconds(now) for slot in self._slots if not slot.is_open):
            ready = max(at, wait)
            at = ready + self.budget.interval_seconds
        return ready

    def _watch(self) -> float:
        now = time.monotonic()
        paused = now - self._watched_at
        self._watched_at = now
        if paused > WATCH_INTERVAL_SECONDS + watchdog.PAUSE_SECONDS:
            log.warning("the hub stood still for %.1f s; no connection is judged by it", paused)
            self._resumed_at = now
            self.meter.start_over()
            self._paused(paused)
        for connection in (*self._slots, *self.transfers.beside()):
            connection.watch(now, self._resumed_at, self._may_be_silent(connection))
        self._probe(now)
        with self._change:
            if not self._stop.is_set():
                self._note(self.transfers.step(now), now)
                self._transfer(now)
        return WATCH_INTERVAL_SECONDS

    def _probe(self, now: float) -> None:
        """While every socket is gone, try one more often than its backoff says; when one is back, all the others.

        Those not again and again: an endpoint that takes everybody for a moment only has the backoff.
        """
        waiting = [slot for slot in self._slots if not slot.is_open]
        if len(waiting) < len(self._slots):
            late = [] if self._was_up else [slot for slot in waiting if slot.attempt_in_seconds(now)]
            if late and now - self._hurried_at > self._settings.backoff_reset_seconds:
                self._hurried_at = now
                for slot in late:
                    slot.hurry(now)
            self._was_up = True
        elif waiting:
            self._was_up = False
            if now - self._probed_at > PROBE_SECONDS:
                self._probed_at = now
                waiting[self._rng.randrange(len(waiting))].hurry(now)

    def _note(self, ended: tuple[str | None, bool] | None, now: float) -> None:
        """Take in how a transfer ended."""
        if ended is None:
            return
        connection_id, well = ended
        if connection_id is not None:
            self.schedule.ended(connection_id, well, now)
        else:
            self._resting.end(self.transfers.not_moved)
            self._retire_slots()

    def _transfer(self, now: float) -> None:
        """Begin what is due, one thing at a time, and nothing while reading is behind or several sockets are missing.

        One that is missing for long, or comes and goes, keeps no other from being replaced or relieved.
        """
        slots = [slot for slot in self._slots if slot.is_open]
        missing, settling = len(self._slots) - len(slots), now - self._resumed_at < SETTLE_SECONDS
        if settling:
            self.meter.start_over()
        shards = {slot.id: slot.products for slot in self._slots}
        sampled = self.meter.sample(now, self._ticks, shards, [slot.id for slot in slots if slot.given])
        if missing > 1 or settling or not self.transfers.free or not slots or self.catching_up(now):
            return
        if self._is_unfinished():
            self._arrange(now)
            return
        seen = [Seen(slot.id, slot.age_seconds(now), self._beatless_seconds(slot, now)) for slot in slots if slot.given]
        if (due := self.schedule.next(now, seen)) is not None:
            connection_id, why = due
            slot = next(slot for slot in slots if slot.id == connection_id)
            self.transfers.rotate(slot, self._new_connection(connection_id), self._idle, now, why)
        elif sampled and self.meter.rates()[0] >= LOAD_WINDOW_SECONDS:
            self._balance(now)

    def _balance(self, now: float) -> None:
        """Hand over what sits on a connection that has too much to do."""
        found = self.plan(now)
        by_id = {slot.id: slot for slot in self._slots}
        routes: dict[str, tuple[Connection, Connection]] = {}
        for step in found.steps:
            source, target = by_id[step.source], by_id[step.target]
            routes[step.product_id] = source, target
            if step.partner is not None:
                routes[step.partner] = target, source
        if not routes:
            return
        self._resting.add(routes.keys(), now)
        if now >= self._spread_until:
            self._spread_until = now + SPREAD_SECONDS
        self.transfers.move(routes, self._idle, now, found.why)
        for slot in by_id.values():
            if coming := [item for item, (_, target) in routes.items() if target is slot]:
                slot.want([*slot.products, *coming])

"""The connection pool: shards on slots, one pace for all connects, one watchdog over all sockets."""

from __future__ import annotations

import logging
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from random import Random

from hub.config import Settings
from hub.feed import sharding, watchdog
from hub.feed.backoff import Backoff
from hub.feed.connection import Callbacks, Connection
from hub.feed.dialects import by_name
from hub.logs import Cooldown
from hub.model import ConnectionSnapshot
from hub.worker import Worker

WATCH_INTERVAL_SECONDS = 0.05
HEARTBEATS_MISSED_WARN = 5

log = logging.getLogger(__name__)
_warn = Cooldown(log)


class Pacer:
    """Permission to connect, at most one an interval over all connections: the exchange counts connects per address."""

    def __init__(self, interval_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._interval = interval_seconds
        self._clock = clock
        self._next = 0.0
        self._turn = threading.Lock()  # held while waiting: the others stand in line behind it

    def wait(self, stop: threading.Event) -> bool:
        """Wait for the next free moment and take it; False if ``stop`` was set meanwhile."""
        with self._turn:
            while (remaining := self._next - self._clock()) > 0:
                if stop.wait(remaining):
                    return False
            self._next = self._clock() + self._interval
            return not stop.is_set()


class ConnectionPool:
    """Keeps every wanted product on exactly one connection. Owner of the slots; thread-safe."""

    def __init__(
        self, settings: Settings, callbacks: Callbacks, paused: Callable[[float], None],
        rng: Random | None = None,
    ) -> None:  # fmt: skip
        self._settings = settings
        self._callbacks = callbacks
        self._paused = paused  # called with the seconds for which the hub itself stood still
        self._rng = rng or Random()
        self._dialect = by_name(settings.dialect)
        self._limits = watchdog.Limits(
            silence_seconds=settings.missed_heartbeats * settings.heartbeat_seconds,
            connect_seconds=settings.connect_timeout_seconds,
        )
        self._pacer = Pacer(settings.connect_interval_ms / 1000)
        # one context for all: it holds the trusted roots, which cost time and memory to load
        self._tls = ssl.create_default_context() if settings.ws_url.startswith("wss:") else None
        self._slots: list[Connection] = []
        self._idle: frozenset[str] = frozenset()  # products that the exchange halted or delisted
        self._retired_messages = 0
        self._retired_errors = 0
        self._retired_refused: Counter[str] = Counter()
        self._change = threading.Lock()  # one change of the slots at a time
        self._stop = threading.Event()
        self._watched_at = self._resumed_at = time.monotonic()
        self.worker = Worker("pool-watchdog", self._watch)

    def start(self) -> None:
        """Start the watchdog; connections start with ``set_products``."""
        self._watched_at = self._resumed_at = time.monotonic()
        self.worker.start()

    def set_products(self, product_ids: Sequence[str]) -> None:
        """Bring the connections to these products, the busiest first; what stays is not touched."""
        settings = self._settings
        with self._change:
            if self._stop.is_set():
                return
            current = [slot.products for slot in self._slots]
            shards = sharding.assign(product_ids, settings.products_per_connection, current)
            started = []
            for index in range(len(self._slots), len(shards)):
                backoff = Backoff(
                    settings.backoff_base_seconds, settings.backoff_cap_seconds, settings.backoff_reset_seconds,
                    self._rng,
                )  # fmt: skip
                slot = Connection(
                    f"conn_{index:03d}", settings.ws_url, self._dialect, self._limits, backoff, self._callbacks,
                    self._pacer.wait, self._tls,
                )  # fmt: skip
                started.append(slot)
            retired = self._slots[len(shards) :]
            for slot in retired:
                slot.stop()
                self._retired_messages += slot.total_messages
                self._retired_errors += slot.error_count
                self._retired_refused.update(slot.refused)
            self._slots = self._slots[: len(shards)] + started
            for slot, shard in zip(self._slots, shards, strict=True):
                slot.want(shard)
            for slot in started:
                slot.start()
        log.info("pool products=%d connections=%d", len(set(product_ids)), len(shards))

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
        return next((slot for slot in self._slots if product_id in slot.products), None)

    def resubscribe(self, product_id: str) -> None:
        """Subscribe anew to a product whose connection is fine otherwise."""
        if (slot := self.slot_of(product_id)) is not None:
            _warn.warning("resubscribe", "resubscribe product=%s connection=%s", product_id, slot.id)
            slot.refresh(product_id)

    def move(self, product_id: str) -> bool:
        """Give a product to the slot with the fewest; False if there is no other."""
        with self._change:
            source = self.slot_of(product_id)
            others = [slot for slot in self._slots if slot is not source]
            if source is None or not others or self._stop.is_set():
                return False
            target = min(others, key=lambda slot: len(slot.products))
            _warn.warning("move", "move product=%s from=%s to=%s", product_id, source.id, target.id)
            source.want([item for item in source.products if item != product_id])
            target.want([*target.products, product_id])
        return True

    def replace(self, connection_id: str, cause: str) -> None:
        """End a slot's socket; the slot opens the next."""
        for slot in self._slots:
            if slot.id == connection_id:
                slot.interrupt(slot.snapshot().generation, cause)

    def catching_up(self, now: float) -> bool:
        """Tell whether any socket may hold frames that came while the hub stood still."""
        return any(slot.catching_up(now) for slot in self._slots if not self._may_be_silent(slot))

    def silent_products(self, now: float, after_heartbeats: float) -> list[str]:
        """Return the products of open sockets that have brought nothing for so many heartbeats."""
        limit = after_heartbeats * self._settings.heartbeat_seconds
        return [item for slot in self._slots if slot.silent_seconds(now) >= limit for item in slot.products]

    def without_heartbeats(self, now: float) -> list[str]:
        """Return the open connections that bring no heartbeats any more (their data may flow)."""
        limit = now - HEARTBEATS_MISSED_WARN * self._settings.heartbeat_seconds
        return [
            slot.id
            for slot in self._slots
            if (since := slot.without_heartbeats_since()) is not None
            and max(since, self._resumed_at) < limit
            and not self._may_be_silent(slot)
        ]

    def stop(self, timeout_seconds: float = 2.0) -> None:
        """Close every connection and wait for the threads, no longer than that altogether. Idempotent."""
        self._stop.set()
        self.worker.stop(timeout_seconds)
        with self._change:
            slots = list(self._slots)
        for slot in slots:
            slot.stop()
        end = time.monotonic() + timeout_seconds
        left = [slot.id for slot in slots if not slot.join(max(0.0, end - time.monotonic()))]
        if left:
            log.error("threads that did not end: %s", ",".join(left))

    def snapshots(self) -> list[ConnectionSnapshot]:
        """Return every slot, in order."""
        return [slot.snapshot() for slot in self._slots]

    def totals(self) -> tuple[int, int]:
        """Return (frames received, errors) since the start, given-up slots included."""
        slots = self._slots
        return (
            self._retired_messages + sum(slot.total_messages for slot in slots),
            self._retired_errors + sum(slot.error_count for slot in slots),
        )

    def refused(self) -> dict[str, int]:
        """Return how many frames were not believed or not understood, by reason."""
        total = self._retired_refused.copy()
        for slot in self._slots:
            total.update(slot.refused)
        return dict(total)

    def _watch(self) -> float:
        now = time.monotonic()
        paused = now - self._watched_at
        self._watched_at = now
        if paused > WATCH_INTERVAL_SECONDS + watchdog.PAUSE_SECONDS:
            log.warning("the hub stood still for %.1f s; no connection is judged by it", paused)
            self._resumed_at = now
            self._paused(paused)
        for slot in self._slots:
            slot.watch(now, self._resumed_at, self._may_be_silent(slot))
        return WATCH_INTERVAL_SECONDS

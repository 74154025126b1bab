"""The night watch: trust reviewed, gaps noted and repaired, stuck products and connections put right.

Escalation for what a heartbeat names, or a price by REST that has changed tells of, and the socket does not bring:
after a second the product is *behind* and the trades that were named are fetched; after three it is subscribed anew (or
its connection replaced, if that brings nothing for anybody); after eight it is moved to another connection; then, as
long as it lasts, one or the other every half minute.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable

import orjson

from hub.book import Book
from hub.feed.connection import SLOW_CONSUMER
from hub.feed.pool import ConnectionPool
from hub.feed.repair import Repair
from hub.ledger import Gap, Ledger
from hub.logs import Cooldown
from hub.model import Cause, ConnectionSnapshot, ConnectionStatus, IdRange, Late, TrustChange
from hub.notes import Notes
from hub.payload import iso_time
from hub.trust import BEHIND_SECONDS
from hub.worker import Worker

REVIEW_SECONDS = 0.2
PAUSE_SECONDS = 1.0  # a review that comes this much late: the hub stood still, and readers go first
SETTLE_SECONDS = 8.0  # at most, for reading what a pause left in the buffers; no longer than the pause was
REVIEWS_BETWEEN = 10  # at least, from one settling to the next: a hub that is late again and again must judge, too
REQUEST_SETTLE_SECONDS = 2.0  # a request waits no longer
SETTLE_STEP_SECONDS = 0.02
DOUBT_HEARTBEATS = 2.5  # of silence on a whole connection; the watchdog replaces it at three
RESUBSCRIBE_SECONDS = 3.0
MOVE_SECONDS = 8.0
RETRY_SECONDS = 30.0  # from one step to the next after that, for as long as it lasts
log = logging.getLogger(__name__)
_warn = Cooldown(log)


class Watch:
    """Looks at the book every ``REVIEW_SECONDS``; owner of who was resubscribed or moved, and when."""

    def __init__(
        self, book: Book, pool: ConnectionPool, ledger: Ledger, repair: Repair,
        publish: Callable[[str, str, str], None], connections: Callable[[], list[ConnectionSnapshot]], notes: Notes,
        changed: Callable[[TrustChange], None] = lambda _: None,
    ) -> None:  # fmt: skip
        """``connections()`` returns the slots of all paths, ``pool`` those of the primary one."""
        self._changed = changed
        self._book = book
        self._connections = connections
        self._pool = pool
        self._ledger = ledger
        self._repair = repair
        self._publish = publish
        self._notes = notes
        self._treated: dict[str, tuple[int, float]] = {}  # product → steps of the escalation taken, when the last was
        self._owed_at: dict[str, float] = {}  # product → when it was last owed anything
        self._offline: dict[str, Gap] = {}  # connection → its gap in the ledger
        self._returning: dict[str, Cause] = {}  # products whose next jump is their lost connection's doing
        self._reviewed_at = time.monotonic()
        self._settle_until = 0.0  # the end of a pause's aftermath
        self._reviews = REVIEWS_BETWEEN  # since the last pause that was given time to settle
        self.worker = Worker("watch", self.step)

    # -- what others tell -----------------------------------------------------------------------------

    def jumped(self, product_id: str, connection_id: str | None, missing: IdRange, cause: Cause | None = None) -> None:
        """Note trades that did not come, and have them fetched."""
        if cause is None:
            cause = self._returning.get(product_id, Cause.SEQUENCE)
        for gap in self._ledger.open_ids(product_id, connection_id, cause, missing):
            self._repair.add(product_id, gap.missing)

    def arrived(self, product_id: str) -> None:
        """Note that a product delivers (asked for every tick)."""
        if product_id in self._returning:
            self._returning.pop(product_id, None)

    def lost(self, connection_id: str, product_ids: tuple[str, ...], cause: str) -> None:
        """Note that a connection is gone."""
        self._book.doubt(product_ids)
        why = Cause.OVERFLOW if cause == SLOW_CONSUMER else Cause.DISCONNECT
        self._returning.update(dict.fromkeys(product_ids, why))
        if connection_id not in self._offline:
            self._offline[connection_id] = self._ledger.open_connection(connection_id, why)
        log.debug("lost connection=%s cause=%s", connection_id, cause)

    def delivering(self, connection_id: str) -> None:
        """Note that a connection brings data again."""
        self._end_offline(connection_id, "reconnected")

    def _end_offline(self, connection_id: str, healed: str) -> None:
        gap = self._offline.pop(connection_id, None)
        if gap is not None:
            self._ledger.close(gap, healed)

    def keep(self, product_ids: Collection[str]) -> None:
        """Note which products are watched from now on; the others are owed nothing."""
        self._ledger.keep(product_ids)
        self._returning = {item: why for item, why in self._returning.items() if item in product_ids}

    def paused(self, seconds: float) -> None:
        """Note that the hub itself stood still: what came meanwhile waited in buffers, and is read now."""
        self._ledger.close(self._ledger.open_connection(None, Cause.PAUSE), "read from the buffers", seconds)

    # -- the worker -------------------------------------------------------------------------------------

    def step(self) -> float:
        """Review everything once."""
        now = time.monotonic()
        paused = self._stood_still(now)
        self._reviewed_at = now
        if paused:
            return REVIEW_SECONDS
        self._reviews += 1
        self._book.doubt(self._pool.silent_products(now, DOUBT_HEARTBEATS))
        self.tell(self._book.review(now, time.time()))
        late = self._book.late(now, BEHIND_SECONDS)
        for item in late:
            if item.missing is not None:
                slot = self._pool.slot_of(item.product_id)
                self.jumped(item.product_id, slot.id if slot else None, item.missing, Cause.HEARTBEAT)
        for connection_id in self._offline.keys() - {slot.connection_id for slot in self._connections()}:
            self._end_offline(connection_id, "retired")
        self._treat([item for item in late if item.undelivered_since is not None], now)
        return REVIEW_SECONDS

    def settle(self) -> None:
        """After a pause of the hub, wait a little for the readers to catch up: what waits in buffers goes first."""
        give_up_at = time.monotonic() + REQUEST_SETTLE_SECONDS
        while self._stood_still(now := time.monotonic()) and now < give_up_at:
            time.sleep(SETTLE_STEP_SECONDS)

    def _stood_still(self, now: float) -> bool:
        """Tell whether the hub has just stood still and may not have read what came meanwhile."""
        late = now - self._reviewed_at
        if late > REVIEW_SECONDS + PAUSE_SECONDS and self._reviews >= REVIEWS_BETWEEN:
            self._reviewed_at = now
            self._settle_until = now + min(late, SETTLE_SECONDS)
            self._reviews = 0
        return now < self._settle_until and self._pool.catching_up(now)

    def tell(self, changes: Iterable[TrustChange]) -> None:
        """Send ``trust_update`` for each change."""
        for change in changes:
            self._changed(change)
            body = {
                "crypto": change.product_id,
                "trust": change.trust,
                "previous": change.previous,
                "reason": change.reason,
                "verified_ms": change.verified_ms,
                "time": iso_time(change.at),
            }
            self._publish("trust_update", orjson.dumps(body).decode(), change.product_id)

    def _treat(self, owed: list[Late], now: float) -> None:
        owing = {item.product_id: now - (item.undelivered_since or now) for item in owed}
        self._owed_at.update(dict.fromkeys(owing, now))
        # a new subscription brings the last ticker: that alone is no recovery
        for product_id in [item for item, at in self._owed_at.items() if now - at > RETRY_SECONDS]:
            del self._owed_at[product_id]
            self._treated.pop(product_id, None)
        patients = {product_id: age for product_id, age in owing.items() if age >= RESUBSCRIBE_SECONDS}
        if not patients:
            return
        for slot in self._pool.snapshots():
            here = [product_id for product_id in slot.product_ids if product_id in patients]
            if not here or slot.status is not ConnectionStatus.CONNECTED or slot.uptime_seconds < RESUBSCRIBE_SECONDS:
                continue
            mute = not self._book.delivering(slot.product_ids, now - RESUBSCRIBE_SECONDS)
            owed_here = sum(product_id in owing for product_id in slot.product_ids)
            if mute and (owed_here > 1 or len(slot.product_ids) == 1):
                _warn.warning("no_data", "connection=%s brings no data for %s", slot.connection_id, ",".join(here))
                self._pool.replace(slot.connection_id, "no_data")
                continue
            for product_id in here:
                self._escalate(product_id, patients[product_id], now)

    def _escalate(self, product_id: str, age_seconds: float, now: float) -> None:
        """Take the next step if it is due: subscribe anew and move, by turns."""
        taken, last_at = self._treated.get(product_id, (0, float("-inf")))
        # by the last step, not by the age alone: each subscription brings a ticker, and the age begins anew
        if now - last_at >= RETRY_SECONDS or (taken == 1 and age_seconds >= MOVE_SECONDS):
            self._treated[product_id] = taken + 1, now
            source = self._slot_id(product_id)
            if taken % 2 and self._pool.move(product_id):
                self._notes.moved(product_id, source, self._slot_id(product_id), age_seconds)
            else:
                self._pool.resubscribe(product_id)
                self._notes.resubscribed(product_id, source, age_seconds)

    def _slot_id(self, product_id: str) -> str:
        slot = self._pool.slot_of(product_id)
        return slot.id if slot is not None else "no connection"

"""The ledger: every interval in which something could have been missed, why, and how it healed.

Kept in bounded memory; ``hub.store`` keeps it over restarts. Thread-safe. Times are wall-clock seconds (data), lengths
are measured by the monotonic clock.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left, bisect_right, insort
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any, NamedTuple

from hub.feed.continuity import holding, without
from hub.model import Cause, IdRange
from hub.payload import iso_time

MAX_ENTRIES = 10_000  # past it the oldest closed entry is forgotten, then the oldest open one (and counted)
MAX_GROWN_IDS = 10_000  # of a gap that grows: a longer one might be more than the repair fetches


@dataclass(slots=True, eq=False)
class Gap:
    """One interval: of a product (ids ``first_id`` to ``last_id``) or of a connection (no ids).

    ``missing`` are the ids that did not come yet; the gap is open while there are any, or until it is closed. One that
    is closed and has some says that they never came: its product was not watched any more.
    """

    id: int
    epoch: str
    product: str | None
    connection_id: str | None
    cause: str
    first_id: int | None
    last_id: int | None
    opened_at: float
    missing: list[IdRange] = field(default_factory=list)
    opened_monotonic: float = 0.0
    closed_at: float | None = None
    duration_ms: int | None = None
    healed: str | None = None

    def body(self) -> dict[str, Any]:
        """Return the entry as ``GET /gaps`` shows it."""
        return {
            "id": self.id,
            "epoch": self.epoch,
            "product": self.product,
            "connection_id": self.connection_id,
            "cause": self.cause,
            "first_id": self.first_id,
            "last_id": self.last_id,
            "missing": sum(last - first + 1 for first, last in self.missing),
            "missing_ranges": [list(item) for item in self.missing],
            "opened_at": iso_time(self.opened_at),
            "closed_at": None if self.closed_at is None else iso_time(self.closed_at),
            "duration_ms": self.duration_ms,
            "open": self.closed_at is None,
            "healed": self.healed,
        }


class Incidents(NamedTuple):
    """How many gaps there are; ``lost_at``: when the latest of the connections' that are open began, if any is."""

    connections_lost: int
    pauses: int
    gaps: int
    gaps_open: int
    lost_at: float | None


class Ledger:
    """Owner of the gaps. ``changed`` is called with gaps that opened or closed, outside of the lock."""

    def __init__(self, epoch: str, changed: Callable[[list[Gap]], None], next_id: int = 1) -> None:
        self.epoch = epoch
        self._changed = changed
        self._lock = threading.Lock()  # one change at a time
        self._next_id = next_id  # larger than those of the processes before, for ``restore`` may come late
        self._gaps: OrderedDict[int, Gap] = OrderedDict()
        self._missing: dict[str, list[tuple[int, int, Gap]]] = {}  # product → what is missing, sorted, and whose it is
        self._forgotten: list[Gap] = []  # open ones that did not fit, not told as changed yet
        self.forgotten_total = 0
        self.totals: Counter[str] = Counter()  # gaps by cause
        self.totals_of_slots: Counter[str] = Counter()  # gaps by connection

    def restore(self, gaps: Iterable[Gap]) -> None:
        """Take in what a process before this one kept, oldest first; trades that are missing still stay so.

        At any time: what was noted meanwhile stays, and is told as changed, for the file may not have it.
        """
        ended = []
        with self._lock:
            mine, self._gaps = self._gaps, OrderedDict()
            for gap in gaps:
                if gap.id in mine:
                    continue
                self._gaps[gap.id] = gap
                self._next_id = max(self._next_id, gap.id + 1)
                if gap.closed_at is None and gap.product is None:  # its connection ended with its process
                    self._close(gap, "restarted")
                    ended.append(gap)
                elif gap.closed_at is None:
                    self._miss(gap)
            self._gaps.update(mine)
            self._bound()
            forgotten, self._forgotten = self._forgotten, []
        self._changed([*ended, *mine.values(), *forgotten])

    def open_ids(self, product: str, connection_id: str | None, cause: Cause, missing: IdRange) -> list[Gap]:
        """Note that these trades of a product did not come; return the gaps that are new or grew.

        Ids that are noted already make none. Those right after an open gap of the same kind make it grow: a product
        that is stuck is named a later trade with each heartbeat.
        """
        with self._lock:
            held, (first, last) = self._missing.get(product, []), missing
            noted = held[bisect_left(held, first, key=itemgetter(1)) : bisect_right(held, last, key=itemgetter(0))]
            made = [
                self._grow(product, connection_id, cause, item) or self._add(product, connection_id, cause, item)
                for item in _difference(missing, noted)
            ]
            forgotten, self._forgotten = self._forgotten, []
        if made:
            self._changed([*made, *forgotten])
        return made

    def open_connection(self, connection_id: str | None, cause: Cause) -> Gap:
        """Note that a connection (None: all of them) brings nothing from now on."""
        with self._lock:
            gap = self._add(None, connection_id, cause, None)
            forgotten, self._forgotten = self._forgotten, []
        self._changed([gap, *forgotten])
        return gap

    def close(self, gap: Gap, healed: str, seconds: float | None = None) -> None:
        """Note that a connection's gap is over; ``seconds`` where its length is known better. Idempotent."""
        with self._lock:
            if gap.closed_at is not None:
                return
            self._close(gap, healed)
            if seconds is not None:
                gap.duration_ms = int(seconds * 1000)
                gap.opened_at = time.time() - seconds
        self._changed([gap])

    def keep(self, products: Collection[str]) -> None:
        """Close the gaps of all other products: they are not watched, so what is missing of them is owed to nobody.

        It stays missing: such a gap is closed with its ``missing`` as they were.
        """
        with self._lock:
            gone = [self._missing.pop(product) for product in list(self._missing) if product not in products]
            ended = list(dict.fromkeys(gap for items in gone for *_, gap in items))
            for gap in ended:
                self._close(gap, "not watched")
        self._changed(ended)

    def deny(self, product: str, last_id: int) -> None:
        """Note that a product has had no trades after this one: what is missing of them was named by mistake."""
        with self._lock:
            held = self._missing.get(product, [])
            cut = list(dict.fromkeys(gap for _, last, gap in held if last > last_id))
            if not cut:
                return
            self._missing[product] = [(a, min(b, last_id), gap) for a, b, gap in held if a <= last_id]
            for gap in cut:
                gap.missing = [(a, min(b, last_id)) for a, b in gap.missing if a <= last_id]
                if not gap.missing:
                    self._close(gap, "denied")
        self._changed(cut)

    def has_open(self, product: str) -> bool:
        """Tell whether a product has an open gap (cheap: asked for every tick)."""
        return product in self._missing

    def arrived(self, product: str, trade_id: int, how: str) -> bool:
        """Note that a trade came after all; return whether it was missing. Its gap closes with the last of them."""
        with self._lock:
            held = self._missing.get(product, [])
            if (index := holding(held, trade_id)) is None:
                return False
            first, last, gap = held[index]
            held[index : index + 1] = [(*part, gap) for part in without([(first, last)], trade_id) or ()]
            gap.missing = without(gap.missing, trade_id) or []
            if not gap.missing:
                self._close(gap, how)
        self._changed([gap])
        return True

    def missing_of(self, product: str) -> list[IdRange]:
        """Return which trades of a product are missing still, over all its gaps: disjoint ranges, sorted."""
        with self._lock:
            return [(first, last) for first, last, _ in self._missing.get(product, ())]

    def open_count(self) -> int:
        """Return how many gaps are open."""
        with self._lock:
            return sum(gap.closed_at is None for gap in self._gaps.values())

    def open_by_product(self) -> dict[str, int]:
        """Return product → how many gaps of it are open; those without any are left out."""
        with self._lock:
            return {product: len({gap.id for *_, gap in held}) for product, held in self._missing.items()}

    def incidents(self, since: float) -> Incidents:
        """Count what ``query`` would return of all products, in one pass."""
        with self._lock:
            gaps = [gap for gap in self._gaps.values() if gap.closed_at is None or gap.closed_at >= since]
        whole = [gap for gap in gaps if gap.product is None]
        pauses = sum(gap.cause == Cause.PAUSE for gap in whole)
        gaps_open = sum(gap.closed_at is None and gap.product is not None for gap in gaps)
        lost_at = max((gap.opened_at for gap in whole if gap.closed_at is None), default=None)
        return Incidents(len(whole) - pauses, pauses, len(gaps) - len(whole), gaps_open, lost_at)

    def query(
        self, product: str | None = None, since: float | None = None, is_open: bool | None = None, limit: int = 1000
    ) -> list[dict[str, Any]]:
        """Return bodies, the newest first: of one product, not over before ``since``, open or closed ones."""
        with self._lock:
            found: list[dict[str, Any]] = []
            for gap in reversed(self._gaps.values()):
                if len(found) >= limit:
                    break
                if product is not None and gap.product != product:
                    continue
                if since is not None and gap.closed_at is not None and gap.closed_at < since:
                    continue
                if is_open is not None and (gap.closed_at is None) != is_open:
                    continue
                found.append(gap.body())
            return found

    def _add(self, product: str | None, connection_id: str | None, cause: Cause, ids: IdRange | None) -> Gap:
        first, last = ids if ids is not None else (None, None)
        gap = Gap(
            self._next_id, self.epoch, product, connection_id, cause.value, first, last, time.time(),
            [ids] if ids is not None else [], time.monotonic(),
        )  # fmt: skip
        self._next_id += 1
        self._gaps[gap.id] = gap
        self._miss(gap)
        self.totals[cause.value] += 1
        if connection_id is not None:
            self.totals_of_slots[connection_id] += 1
        self._bound()
        return gap

    def _grow(self, product: str, connection_id: str | None, cause: Cause, ids: IdRange) -> Gap | None:
        """Have the open gap that ends right before these ids hold them, too; None if there is none."""
        held, (first, last) = self._missing.get(product, []), ids
        index = bisect_left(held, first, key=itemgetter(0))
        if not index:
            return None
        begin, end, gap = held[index - 1]
        kind = (gap.last_id, gap.epoch, gap.connection_id, gap.cause)
        if kind != (first - 1, self.epoch, connection_id, cause.value) or last - (gap.first_id or 0) >= MAX_GROWN_IDS:
            return None
        gap.last_id = last
        if end == first - 1:
            held[index - 1], gap.missing[-1] = (begin, last, gap), (begin, last)
        else:  # its last ones came
            held.insert(index, (first, last, gap))
            gap.missing.append(ids)
        return gap

    def _close(self, gap: Gap, healed: str) -> None:
        gap.closed_at = time.time()
        if gap.epoch == self.epoch:
            gap.duration_ms = int((time.monotonic() - gap.opened_monotonic) * 1000)
        else:
            gap.duration_ms = max(0, int((gap.closed_at - gap.opened_at) * 1000))  # the clock of another process
        gap.healed = healed
        self._drop_open(gap)

    def _miss(self, gap: Gap) -> None:
        for first, last in gap.missing:
            insort(self._missing.setdefault(gap.product or "", []), (first, last, gap), key=itemgetter(0))

    def _drop_open(self, gap: Gap) -> None:
        product = gap.product or ""
        if gap.missing:  # else none of it is left
            self._missing[product] = [item for item in self._missing.get(product, ()) if item[2] is not gap]
        if not self._missing.get(product, True):
            del self._missing[product]

    def _bound(self) -> None:
        while len(self._gaps) > MAX_ENTRIES:
            oldest = next((gap for gap in self._gaps.values() if gap.closed_at is not None), None)
            if oldest is None:
                oldest = next(iter(self._gaps.values()))
                self.forgotten_total += 1
                self._close(oldest, "forgotten")
                self._forgotten.append(oldest)
            del self._gaps[oldest.id]


def _difference(item: IdRange, others: Iterable[tuple[int, int, Gap]]) -> list[IdRange]:
    """Return what of a range lies in none of the others."""
    parts = [item]
    for first, last, _ in others:
        parts = [
            part
            for a, b in parts
            for part in ((a, min(b, first - 1)), (max(a, last + 1), b))
            if part[0] <= part[1]
        ]  # fmt: skip
    return list(dict.fromkeys(parts))

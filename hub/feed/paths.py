"""The ways by which prices come: a pool of connections each. The first is the primary one, another stands beside it.

Both bring every product; the book lets each trade id through once, whoever is first.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence

from hub.feed.aliases import AliasKeeper
from hub.feed.dialects import AliasedDialect, by_name
from hub.feed.intake import Callbacks
from hub.feed.policy import ON_DEMAND
from hub.feed.pool import ConnectionPool, Path
from hub.feed.rest import RestClient
from hub.model import ConnectionSnapshot, ConnectionStatus
from hub.settings import Settings
from hub.worker import Worker

PREFIXES = ("conn", "adv")  # of connection ids: the primary path's, and the other's


class Paths:
    """Owner of the pools; ``primary`` is the one that is repaired product by product."""

    def __init__(
        self, settings: Settings, callbacks: Callable[[bool], Callbacks], paused: Callable[[float], None],
        *, last_id: Callable[[str], int], priority: Callable[[], Collection[str]],
    ) -> None:  # fmt: skip
        """``callbacks(primary)`` returns whom the connections of a path tell."""
        self._pools: dict[str, ConnectionPool] = {}
        self._aliases: list[AliasKeeper] = []
        for name, prefix in zip(settings.feeds, PREFIXES, strict=False):
            dialect = by_name(name)
            if isinstance(dialect, AliasedDialect):
                rest = RestClient(settings.advanced_trade_rest_url)
                self._aliases.append(AliasKeeper(rest, dialect, settings.catalogue_refresh_seconds))
            first = not self._pools
            self._pools[name] = ConnectionPool(
                settings, callbacks(first), paused if first else lambda _: None, last_id=last_id, priority=priority,
                path=Path(dialect, settings.ws_url_of(name), prefix),
            )  # fmt: skip
        self.primary = next(iter(self._pools.values()))

    def start(self) -> None:
        """Start the watchdogs; connections start with ``set_products``."""
        for pool in self._pools.values():
            pool.start()
        for keeper in self._aliases:
            keeper.worker.start()

    @property
    def workers(self) -> list[Worker]:
        """What ``start`` starts."""
        return [*(pool.worker for pool in self._pools.values()), *(keeper.worker for keeper in self._aliases)]

    def set_products(self, product_ids: Sequence[str]) -> None:
        """Bring every path to these products, the busiest first."""
        for keeper in self._aliases:
            keeper.ask(product_ids)
        for pool in self._pools.values():
            pool.set_products(product_ids)

    def set_idle(self, product_ids: Iterable[str]) -> None:
        """Set which products are halted or delisted."""
        idle = frozenset(product_ids)
        for pool in self._pools.values():
            pool.set_idle(idle)

    def rotate(self, connection_id: str) -> bool:
        """Have a slot's socket replaced without a break, soon; False if there is no such slot."""
        return any(pool.rotate(connection_id) for pool in self._pools.values())

    def reconnect(self, connection_id: str) -> bool:
        """Have a slot give up its socket, if it has one, and open the next; False if there is no such slot."""
        slots = [slot for pool in self._pools.values() for slot in pool.slots() if slot.id == connection_id]
        for slot in slots:
            if slot.is_open:
                slot.replace(ON_DEMAND)
            else:
                slot.hurry(time.monotonic())
        return bool(slots)

    def stop(self, timeout_seconds: float) -> None:
        """Close every connection, within that time altogether. Idempotent."""
        give_up_at = time.monotonic() + timeout_seconds
        for pool in self._pools.values():
            pool.begin_stop()  # all at once: the threads of one path may be slow to end
        for pool in self._pools.values():
            pool.stop(max(0.05, give_up_at - time.monotonic()))
        for keeper in self._aliases:
            keeper.stop(max(0.05, give_up_at - time.monotonic()))

    # -- reading --------------------------------------------------------------------------------------

    def snapshots(self) -> list[ConnectionSnapshot]:
        """Return every slot: the primary path's, in order, then the other's."""
        return [slot for pool in self._pools.values() for slot in pool.snapshots()]

    def pools(self) -> dict[str, ConnectionPool]:
        """Return path → its pool, the primary one first."""
        return dict(self._pools)

    def up(self) -> dict[str, tuple[int, int]]:
        """Return path → (its slots that are connected, all of its slots)."""
        counts = {}
        for name, pool in self._pools.items():
            slots = pool.snapshots()
            counts[name] = sum(slot.status is ConnectionStatus.CONNECTED for slot in slots), len(slots)
        return counts

    def totals(self) -> tuple[int, int]:
        """Return (frames received, errors) since the start."""
        totals = [pool.totals() for pool in self._pools.values()]
        return sum(one.messages for one in totals), sum(one.errors for one in totals)

    def refused(self) -> dict[str, int]:
        """Return how many frames were not believed or not understood, by reason."""
        total: Counter[str] = Counter()
        for pool in self._pools.values():
            total.update(pool.refused())
        return dict(total)

    def transferred(self) -> dict[str, int]:
        """Return how often connections and products were handed over, by how it ended."""
        total: Counter[str] = Counter()
        for pool in self._pools.values():
            total.update(pool.transfers.counters)
        return dict(total)

    def without_heartbeats(self, now: float) -> list[str]:
        """Return the open connections that bring no heartbeats any more."""
        return [item for pool in self._pools.values() for item in pool.without_heartbeats(now)]

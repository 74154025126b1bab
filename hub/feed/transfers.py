"""The handover that is under way, one at a time, from its start to its last trace: of a slot, or of some products.

A rotation gives a whole slot to a successor; a move gives products to other slots. One that is not through in time is
given up: the old one stays, and nothing is told to anybody but the log and the counters. A move that the product list
asks for is ``insisted`` on: past its time a target that has a socket has the products, proved or not.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from hub.feed.connection import Connection
from hub.feed.handover import Handover, Phase, Route
from hub.logs import Cooldown
from hub.model import Transferred

GIVE_UP_SECONDS = 10.0  # a connect (with its turn), an acknowledgement and a heartbeat take two
INSIST_SECONDS = 60.0  # a target that is new may not be able to connect at once
TRACE_SECONDS = 5.0  # at most, until the last event of an ended one is passed on

log = logging.getLogger(__name__)
_warn = Cooldown(log)


@dataclass(slots=True)
class _Transfer:
    handover: Handover
    routes: dict[str, tuple[Connection, Connection]]
    why: str
    give_up_at: float
    pair: tuple[Connection, Connection] | None  # a rotation's: the slot's connection, and its successor
    insisted: bool = False

    def sides(self) -> set[Connection]:
        return {side for route in (*self.routes.values(), *((self.pair,) if self.pair else ())) for side in route}


class Transfers:
    """Owner of what is under way. Calls come one at a time (the pool's lock), but for those that only read."""

    def __init__(
        self, last_id: Callable[[str], int], replace: Callable[[Connection, Connection], None],
        retire: Callable[[Connection], None], tell: Callable[[Transferred], None] = lambda _: None,
    ) -> None:  # fmt: skip
        """``replace(old, new)`` puts a successor into its slot, ``retire(connection)`` notes what a failed one cost.

        ``tell(ended)`` is called at each end, and does not wait.
        """
        self._last_id = last_id
        self._replace = replace
        self._retire = retire
        self._tell = tell
        self._running: _Transfer | None = None
        self._ended: tuple[_Transfer, float] | None = None  # its connections know of it still; since when
        self._leaving: list[Connection] = []  # stopped; their threads may run
        self.not_moved: frozenset[str] = frozenset()  # what the last one gave back
        self.counters: Counter[str] = Counter()

    @property
    def running(self) -> bool:
        """Whether one is under way."""
        return self._running is not None

    @property
    def free(self) -> bool:
        """Whether the next may begin."""
        return self._running is None and self._ended is None

    def rotate(self, slot: Connection, successor: Connection, idle: Collection[str], now: float, why: str) -> None:
        """Have a slot's products go over to a successor that has not been started; start it."""
        successor.succeed(slot)
        refused = slot.set_aside()
        given = [item for item in slot.products if item not in refused]
        # what is halted or delisted brings nothing, and a delisted one may be refused now: it is not waited for
        routes = dict.fromkeys([item for item in given if item not in idle] or given, (slot, successor))
        handover = self._begin(routes, idle, now, whole=True)
        self._running = _Transfer(handover, routes, why, now + GIVE_UP_SECONDS, (slot, successor))
        for side in (slot, successor):
            side.attach(handover)
        log.info("rotate connection=%s products=%d why=%s", slot.id, len(routes), why)
        successor.start()

    def move(
        self, routes: Mapping[str, tuple[Connection, Connection]], idle: Collection[str], now: float, why: str,
        insisted: bool = False,
    ) -> None:  # fmt: skip
        """Have products go from slot to slot. Whoever asks has the targets want them, after this."""
        handover = self._begin(routes, idle, now, whole=False)
        give_up_at = now + (INSIST_SECONDS if insisted else GIVE_UP_SECONDS)
        self._running = transfer = _Transfer(handover, dict(routes), why, give_up_at, None, insisted)
        for side in transfer.sides():
            side.attach(handover)
        log.info("hand over products=%s why=%s", ",".join(routes), why)

    def _begin(
        self, routes: Mapping[str, tuple[Connection, Connection]], idle: Collection[str], now: float, whole: bool
    ) -> Handover:
        self._forget()
        return Handover({item: Route(*route) for item, route in routes.items()}, self._last_id, idle, now, whole)

    def step(self, now: float) -> tuple[str | None, bool] | None:
        """Look after it. Where it ends, return (the slot of a rotation, whether all went well)."""
        self._leaving = [item for item in self._leaving if item.is_alive()]
        if self._ended is not None:
            transfer, since = self._ended
            quiet = not self._leaving and not transfer.handover.holds()
            if quiet or now - since > TRACE_SECONDS:
                self._forget()
        running = self._running
        if running is None:
            return None
        if running.insisted and now >= running.give_up_at and not running.handover.through():
            running.insisted, running.give_up_at = False, now + TRACE_SECONDS  # until what was held is passed on
            unproved = running.handover.insist()
            self.counters["move_insisted"] += len(unproved)
            _warn.warning("unproved", "over, but unproved products=%s", ",".join(unproved) or "none")
        if now < running.give_up_at and not running.handover.through():
            return None
        return self._end(running, now, "timeout")

    def hinders(self, product_id: str) -> bool:
        """Tell whether what is under way must end before this product can change its slot at once."""
        running = self._running
        return running is not None and (running.pair is not None or product_id in running.routes)

    def give_up(self, now: float, why: str) -> tuple[str | None, bool] | None:
        """End what is under way now, for something that can't wait; return as ``step``."""
        return self._end(self._running, now, why) if self._running is not None else None

    def leave(self, connection: Connection) -> None:
        """Stop a connection, and know of it until its thread has ended."""
        connection.stop()
        self._leaving.append(connection)

    def _end(self, transfer: _Transfer, now: float, why: str) -> tuple[str | None, bool]:
        handover = transfer.handover
        if not handover.through():
            handover.give_up(why)
        self._running, self._ended = None, (transfer, now)
        self.counters["held_dropped"] += handover.dropped_total
        self.not_moved = frozenset()
        how = self._end_rotation(*transfer.pair, handover) if transfer.pair else self._end_move(transfer)
        handover.settled = True
        seconds = now - handover.begun_at
        connections = sorted({side.id for side in transfer.sides()})
        names = ",".join(connections)
        well = how in ("rotated", "moved")
        if well:
            log.info("%s connections=%s seconds=%.1f why=%s", how, names, seconds, transfer.why)
        else:
            _warn.warning("given_up", "given up connections=%s seconds=%.1f why=%s cause=%s", names, seconds,
                          transfer.why, how)  # fmt: skip
        slot = transfer.pair[0].id if transfer.pair else None
        self._tell(Transferred(slot, tuple(connections), tuple(transfer.routes), how, seconds, transfer.why))
        return slot, well

    def _end_rotation(self, slot: Connection, successor: Connection, handover: Handover) -> str:
        if handover.failure is not None:
            self.leave(successor)
            self._retire(successor)
            self.counters[f"rotate_{handover.failure}"] += 1
            return handover.failure
        successor.take_the_place(slot)
        self._replace(slot, successor)
        self.leave(slot)
        self.counters["rotated"] += 1
        return "rotated"

    def _end_move(self, transfer: _Transfer) -> str:
        phases = transfer.handover.phases()
        leaving: dict[Connection, list[str]] = {}
        for product_id, (source, target) in transfer.routes.items():
            over = phases[product_id] is Phase.OVER
            leaving.setdefault(source if over else target, []).append(product_id)
        for side, product_ids in leaving.items():
            side.let_go(product_ids)
        over_total = sum(phase is Phase.OVER for phase in phases.values())
        self.counters["moved"] += over_total
        if over_total == len(phases):
            return "moved"
        self.counters["move_failed"] += len(phases) - over_total
        self.not_moved = frozenset(item for item, phase in phases.items() if phase is not Phase.OVER)
        return transfer.handover.failure or "target_lost"

    def _forget(self) -> None:
        """Let no connection know any more of the one that ended."""
        if self._ended is not None:
            for side in self._ended[0].sides():
                side.attach(None)
            self._ended = None

    # -- for all ------------------------------------------------------------------------------------

    def beside(self) -> list[Connection]:
        """Return the connections that hold no slot: a successor that is on its way, those that leave."""
        transfer = self._running
        return [*self._leaving, *([transfer.pair[1]] if transfer and transfer.pair else [])]

    def owner(self, product_id: str) -> Connection | None:
        """Return which slot delivers a product that is being moved; None for one that is not."""
        transfer = self._running
        if transfer is None or transfer.pair is not None or product_id not in transfer.routes:
            return None
        source, target = transfer.routes[product_id]
        return target if transfer.handover.phases()[product_id] is Phase.OVER else source

    def body(self, now: float) -> dict[str, Any] | None:
        """Return what is under way, for people."""
        transfer = self._running
        if transfer is None:
            return None
        phases = transfer.handover.phases()
        return {
            "kind": "rotate" if transfer.pair else "move",
            "connections": sorted({side.id for side in transfer.sides()}),
            "products": len(phases),
            "over": sum(phase is Phase.OVER for phase in phases.values()),
            "seconds": round(now - transfer.handover.begun_at, 3),
            "why": transfer.why,
        }

"""Products go from one connection to another without a break: the new one delivers before the old one stops.

Each product has a *lane*. Its rules:
- ``waiting``: what the source brings is passed on; what the target brings is held back.
- ``over``: the target was proved to be at least as good. It is subscribed (an acknowledgement says so), it beats, and
  it has brought everything from an id on that leaves no hole behind the book's last one. What was held is passed on,
  and then what both bring: each is dense and in order, so the book finds no hole, and drops what it has seen.
- ``back``: given up; the source goes on as if nothing had been, and what the target brings is dropped.

A lane passes events on one at a time, in the order of coming, whichever thread brings them (``InTurn``). So a product
keeps its order on native threads.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Collection, Mapping
from enum import StrEnum
from functools import partial
from typing import NamedTuple, Protocol

from hub.feed.in_turn import InTurn
from hub.model import Heartbeat, Ticker

MAX_HELD = 2_000  # tickers of one product; it has seconds to come over

Item = tuple[Ticker | Heartbeat, float, float, float]
"""An event with the times of ``Callbacks.event``: wall, arrived, now."""


class Side(Protocol):
    """What a handover needs to know of a connection."""

    @property
    def given(self) -> frozenset[str]:
        """What this socket's last acknowledgement lists."""

    @property
    def is_open(self) -> bool:
        """Whether it has a socket that is through its handshake."""

    @property
    def products(self) -> tuple[str, ...]:
        """What it is to deliver."""

    def deliver(self, event: Ticker | Heartbeat, wall: float, arrived: float, now: float) -> None:
        """Pass an event on."""

    def tell_delivering(self) -> None:
        """Tell with the next event that is passed on that this connection delivers."""

    def stop(self) -> None:
        """End for good."""


class Phase(StrEnum):
    """Where a lane stands."""

    WAITING = "waiting"
    OVER = "over"
    BACK = "back"


class Route(NamedTuple):
    """From whom a product goes to whom."""

    source: Side
    target: Side


class _Lane:
    """One product on its way. ``held`` and the evidence belong to the target's thread."""

    __slots__ = ("beaten", "complete_from", "held", "phase", "product_id", "route", "turn")

    def __init__(self, product_id: str, route: Route) -> None:
        self.product_id = product_id
        self.route = route
        self.phase = Phase.WAITING
        self.held: deque[Item] = deque()
        self.beaten = False
        self.complete_from: int | None = None  # the first id of which the target cannot have missed any
        self.turn = InTurn()

    def pass_on(self, side: Side, *items: Item) -> int:
        """Return how many did not fit."""
        return 0 if self.turn.do(*(partial(side.deliver, *item) for item in items)) else len(items)


class Handover:
    """Some products, each with its route. ``whole``: all of them come over, or none (a slot's rotation).

    Every connection that is named in a route must be given this handover (``Connection.attach``) before the target
    asks for the product. ``take``, ``acknowledged`` and ``lost`` are called by the connections' threads, all else by
    the owner.
    """

    def __init__(
        self, routes: Mapping[str, Route], last_id: Callable[[str], int], idle: Collection[str], now: float,
        whole: bool = False,
    ) -> None:  # fmt: skip
        self.begun_at = now
        self.whole = whole
        self.failure: str | None = None  # why it came to nothing, in a word
        self.taken_over = False  # the source was lost: the successor is the slot
        self.settled = False  # its end was drawn: the owner has given each product to one side
        self.dropped_total = 0  # events that were held, or waited, and did not fit
        self._last_id = last_id
        self._idle = idle
        self._lanes = {product_id: _Lane(product_id, route) for product_id, route in routes.items()}
        self._turn = threading.Lock()  # one change of phases at a time

    # -- for the connections' threads ---------------------------------------------------------------

    def take(self, side: Side, item: Item) -> bool:
        """Take what a connection brought; return whether it counts as delivered by that connection."""
        event = item[0]
        lane = self._lanes.get(event.product_id)
        if lane is None:
            side.deliver(*item)
            return True
        if side is not lane.route.target:
            if lane.phase is Phase.OVER and type(event) is Heartbeat:
                return False  # one a second is enough: the target's
            self.dropped_total += lane.pass_on(side, item)
            return lane.phase is not Phase.OVER
        if lane.phase is Phase.WAITING:
            self._note(lane, event)
            self._prove(lane)
        if type(event) is Ticker and self._hold(lane, item):
            return False
        if lane.phase is Phase.OVER:
            self.dropped_total += lane.pass_on(side, *lane.held, item)
            lane.held.clear()  # last: who asks whether all is through must not find it empty too soon
            return True
        return False

    def acknowledged(self, side: Side) -> None:
        """Take an acknowledgement of a connection in: ``given`` has changed."""
        for lane in self._lanes.values():
            if lane.route.target is side and lane.phase is Phase.WAITING:
                self._prove(lane)

    def beat(self, side: Side) -> None:
        """Take in a heartbeat of a connection, where they speak of no product: all of its products have beaten."""
        for lane in self._lanes.values():
            if lane.route.target is not side:
                continue
            if lane.phase is Phase.WAITING:
                lane.beaten = True
                self._prove(lane)
            if lane.phase is Phase.OVER and lane.held:  # no heartbeat of the product's own will come and pass it on
                self.dropped_total += lane.pass_on(side, *lane.held)
                lane.held.clear()

    def lost(self, side: Side) -> tuple[str, ...] | None:
        """Note that a connection has no socket any more; return the products that may miss something by that.

        None: the others deliver all of them, and there is nothing to tell. Of a ``whole`` one whose source is lost the
        successor takes over at once, if it is open.
        """
        if self.settled:  # each product has one owner again
            return side.products
        with self._turn:
            coming = [lane for lane in self._lanes.values() if lane.route.target is side]
            leaving = [lane for lane in self._lanes.values() if lane.route.source is side]
            for lane in coming:
                lane.held.clear()
            if coming and self.taken_over:  # it is the slot by now
                return side.products
            for lane in coming:
                lane.phase = Phase.BACK
            if coming and self.whole:
                self.failure = self.failure or "successor_lost"
                return None
            in_doubt = [lane.product_id for lane in leaving if lane.phase is not Phase.OVER]
            heirs = {lane.route.target for lane in leaving}
            if self.whole and self.failure is None:
                self.taken_over = all(heir.is_open for heir in heirs)
                self.failure = None if self.taken_over else "source_lost"
            for lane in leaving:
                if lane.phase is Phase.WAITING:
                    lane.phase = Phase.OVER if lane.route.target.is_open and self.failure is None else Phase.BACK
        if not self.taken_over:
            elsewhere = {lane.product_id for lane in (*coming, *leaving)}.difference(in_doubt)
            return tuple(item for item in side.products if item not in elsewhere) or None
        for heir in heirs:
            heir.tell_delivering()
        side.stop()
        return tuple(in_doubt) or None

    # -- for the owner ------------------------------------------------------------------------------

    def through(self) -> bool:
        """Tell whether it has come to its end, good or bad."""
        if self.taken_over or self.failure is not None:
            return True
        if self.whole and not all(side.is_open for side in self.sides()):
            return False
        return all(lane.phase is not Phase.WAITING for lane in self._lanes.values()) and not self.holds()

    def holds(self) -> bool:
        """Tell whether anything of a lane that is over is held still, or being passed on."""
        return any(
            lane.turn.busy or (lane.held and lane.phase is Phase.OVER) for lane in self._lanes.values()
        )

    def insist(self) -> list[str]:
        """Have what waits come over unproved, if its target has a socket, else leave it; return what comes over."""
        with self._turn:
            waiting = [lane for lane in self._lanes.values() if lane.phase is Phase.WAITING]
            for lane in waiting:
                lane.phase = Phase.OVER if lane.route.target.is_open else Phase.BACK
        return [lane.product_id for lane in waiting if lane.phase is Phase.OVER]

    def give_up(self, failure: str) -> None:
        """Leave to the sources what is not over, or is while all that was held is held still; if ``whole`` all."""
        with self._turn:
            self.failure = self.failure or failure
            for lane in self._lanes.values():
                if self.whole or lane.phase is Phase.WAITING or lane.held:
                    lane.phase = Phase.BACK

    def phases(self) -> dict[str, Phase]:
        """Return product → where it stands."""
        return {product_id: lane.phase for product_id, lane in self._lanes.items()}

    def routes(self) -> dict[str, Route]:
        """Return product → its route."""
        return {product_id: lane.route for product_id, lane in self._lanes.items()}

    def sides(self) -> set[Side]:
        """Return all connections that take part."""
        return {side for lane in self._lanes.values() for side in lane.route}

    # -- evidence -----------------------------------------------------------------------------------

    @staticmethod
    def _note(lane: _Lane, event: Ticker | Heartbeat) -> None:
        if type(event) is Ticker:
            if lane.complete_from is None:
                lane.complete_from = event.trade_id
        elif type(event) is Heartbeat:
            lane.beaten = True
            if lane.complete_from is None:  # no ticker came with the subscription: later ones will
                lane.complete_from = event.last_trade_id + 1

    def _prove(self, lane: _Lane) -> None:
        product_id = lane.product_id
        if product_id not in lane.route.target.given or not (lane.beaten or product_id in self._idle):
            return
        last_id = self._last_id(product_id)
        if last_id >= 0 and lane.complete_from is not None and lane.complete_from > last_id + 1:
            return
        with self._turn:
            if lane.phase is Phase.WAITING:
                lane.phase = Phase.OVER

    def _hold(self, lane: _Lane, item: Item) -> bool:
        """Hold a ticker back if its lane waits; return whether it does."""
        held, last_id = lane.held, self._last_id(lane.product_id)
        with self._turn:  # once it is over nothing is held any more
            if lane.phase is not Phase.WAITING:
                return False
            held.append(item)
        while held and _trade_id(held[0]) <= last_id:
            held.popleft()
        if len(held) > MAX_HELD:
            held.popleft()
            self.dropped_total += 1
            lane.complete_from = _trade_id(held[0])
        return True


def _trade_id(item: Item) -> int:
    event = item[0]
    return event.trade_id if type(event) is Ticker else -1  # only tickers are held

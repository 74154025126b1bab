"""A handover, driven event by event; and by threads that do as they like."""

from __future__ import annotations

import threading
from random import Random

import pytest

from hub.feed import handover as module
from hub.feed.continuity import Continuity
from hub.feed.handover import Handover, Item, Phase, Route
from hub.model import Heartbeat, Order, Ticker

TIME = "2026-11-20T01:02:03Z"


class Market:
    """Takes what is delivered, as the book does: ``new`` are the ids that left, in the order of leaving."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._ids: dict[str, Continuity] = {}
        self.new: dict[str, list[int]] = {}
        self.beats: list[tuple[str, int]] = []
        self.jumps = 0

    def last_id(self, product_id: str) -> int:
        known = self._ids.get(product_id)
        return known.last_id if known is not None else -1

    def take(self, side: str, event: Ticker | Heartbeat) -> None:
        if type(event) is not Ticker:
            self.beats.append((side, event.last_trade_id))
            return
        with self._lock:
            order, jumped = self._ids.setdefault(event.product_id, Continuity()).observe(event.trade_id)
            self.jumps += jumped is not None
        if order is Order.NEW:  # after the lock, as the hub publishes
            self.new.setdefault(event.product_id, []).append(event.trade_id)


class StubSide:
    """A connection that does as it is told."""

    def __init__(self, name: str, market: Market, products: tuple[str, ...] = ("A-USD",)) -> None:
        self.name, self.market, self.products = name, market, products
        self.given: frozenset[str] = frozenset()
        self.is_open = True
        self.stopped = self.tells = False

    def deliver(self, event: Ticker | Heartbeat, wall: float, arrived: float, now: float) -> None:  # noqa: ARG002
        self.market.take(self.name, event)

    def tell_delivering(self) -> None:
        self.tells = True

    def stop(self) -> None:
        self.stopped = True


def tick(trade_id: int, product_id: str = "A-USD") -> Item:
    return Ticker(product_id, "1.0", trade_id, TIME), 0.0, 0.0, 0.0


def beat(last_trade_id: int, product_id: str = "A-USD") -> Item:
    return Heartbeat(product_id, last_trade_id, 1, TIME), 0.0, 0.0, 0.0


class Bench:
    """One product of an old connection, which has brought 1 to 5, and its successor."""

    def __init__(self, whole: bool = True, idle: tuple[str, ...] = (), products: tuple[str, ...] = ("A-USD",)) -> None:
        self.market = Market()
        self.old, self.new = StubSide("old", self.market, products), StubSide("new", self.market, products)
        routes = {item: Route(self.old, self.new) for item in products}
        self.handover = Handover(routes, self.market.last_id, idle, 0.0, whole)
        for trade_id in range(1, 6):
            self.handover.take(self.old, tick(trade_id))

    def acknowledge(self, *product_ids: str) -> None:
        self.new.given = frozenset(product_ids or ("A-USD",))
        self.handover.acknowledged(self.new)

    @property
    def phase(self) -> Phase:
        return self.handover.phases()["A-USD"]

    @property
    def ids(self) -> list[int]:
        return self.market.new["A-USD"]


def test_over_once_it_is_acknowledged_beats_and_leaves_no_hole() -> None:
    bench = Bench()
    assert not bench.handover.take(bench.new, tick(5))
    assert not bench.handover.take(bench.new, tick(6))
    assert bench.handover.take(bench.old, tick(6))
    bench.acknowledge()
    assert (bench.phase, bench.handover.through()) == (Phase.WAITING, False)  # it has not beaten
    assert not bench.handover.take(bench.new, tick(7))
    assert bench.ids == [1, 2, 3, 4, 5, 6]
    assert bench.handover.take(bench.new, beat(7))
    assert bench.phase is Phase.OVER
    assert bench.ids == [1, 2, 3, 4, 5, 6, 7]  # what was held
    assert bench.market.beats == [("new", 7)]
    assert bench.handover.through()
    bench.handover.take(bench.old, tick(7))
    bench.handover.take(bench.old, tick(8))  # whoever is first
    bench.handover.take(bench.new, tick(8))
    bench.handover.take(bench.new, tick(9))
    bench.handover.take(bench.old, beat(9))
    assert bench.ids == list(range(1, 10))
    assert bench.market.jumps == 0
    assert bench.market.beats == [("new", 7)]  # one side's are enough


def test_a_heartbeat_without_an_acknowledgement_is_not_enough() -> None:
    bench = Bench()
    bench.handover.take(bench.new, beat(5))
    assert bench.phase is Phase.WAITING
    bench.acknowledge("B-USD")
    assert bench.phase is Phase.WAITING
    bench.acknowledge("A-USD", "B-USD")
    assert bench.phase is Phase.OVER


def test_no_id_is_jumped_over() -> None:
    bench = Bench()
    bench.acknowledge()
    bench.handover.take(bench.new, tick(8))  # subscribed after 6 and 7, which the old one has still to bring
    bench.handover.take(bench.new, beat(8))
    bench.handover.take(bench.old, tick(6))
    bench.handover.take(bench.new, tick(9))
    assert bench.phase is Phase.WAITING
    bench.handover.take(bench.old, tick(7))
    bench.handover.take(bench.new, tick(10))
    assert bench.phase is Phase.OVER
    assert bench.ids == list(range(1, 11))
    assert bench.market.jumps == 0


def test_a_heartbeat_ahead_of_all_tickers_says_from_where_on_it_is_complete() -> None:
    bench = Bench()
    bench.acknowledge()
    bench.handover.take(bench.new, beat(7))
    assert bench.phase is Phase.WAITING
    bench.handover.take(bench.old, tick(6))
    bench.handover.take(bench.old, tick(7))
    bench.handover.take(bench.new, beat(7))
    assert bench.phase is Phase.OVER


def test_a_halted_product_needs_the_acknowledgement_alone() -> None:
    bench = Bench(idle=("A-USD",))
    bench.handover.take(bench.new, tick(5))
    assert bench.phase is Phase.WAITING
    bench.acknowledge()
    assert bench.phase is Phase.OVER


def test_a_product_without_a_price_comes_over() -> None:
    bench = Bench(products=("A-USD", "NEW-USD"))
    bench.acknowledge("A-USD", "NEW-USD")
    bench.handover.take(bench.new, beat(0, "NEW-USD"))
    assert bench.handover.phases() == {"A-USD": Phase.WAITING, "NEW-USD": Phase.OVER}
    assert not bench.handover.through()


def test_given_up_the_old_one_goes_on() -> None:
    bench = Bench(products=("A-USD", "B-USD"))
    bench.acknowledge("A-USD", "B-USD")
    bench.handover.take(bench.new, tick(5))
    bench.handover.take(bench.new, beat(5))
    assert bench.phase is Phase.OVER
    bench.handover.give_up("timeout")
    assert (bench.phase, bench.handover.failure) == (Phase.BACK, "timeout")
    assert not bench.handover.take(bench.new, tick(6))
    assert bench.ids == [1, 2, 3, 4, 5]
    assert bench.handover.take(bench.old, tick(6))
    assert bench.ids == [1, 2, 3, 4, 5, 6]


def test_the_products_of_a_move_that_are_over_stay_over() -> None:
    bench = Bench(whole=False, products=("A-USD", "B-USD"))
    bench.acknowledge("A-USD", "B-USD")
    bench.handover.take(bench.new, tick(5))
    bench.handover.take(bench.new, beat(5))
    bench.handover.give_up("timeout")
    assert bench.handover.phases() == {"A-USD": Phase.OVER, "B-USD": Phase.BACK}


def test_insisted_on_it_comes_over_unproved_and_what_was_held_is_passed_on() -> None:
    bench = Bench(whole=False)
    bench.handover.take(bench.new, tick(6))
    bench.handover.take(bench.new, tick(7))
    assert bench.handover.insist() == ["A-USD"]
    assert (bench.phase, bench.handover.through()) == (Phase.OVER, False)  # not before what was held has left
    bench.handover.take(bench.old, tick(6))
    assert bench.handover.take(bench.new, tick(8))
    assert bench.ids == list(range(1, 9))
    assert bench.handover.through()


def test_nothing_is_insisted_on_where_the_target_has_no_socket() -> None:
    bench = Bench(whole=False)
    bench.new.is_open = False
    assert bench.handover.insist() == []
    assert (bench.phase, bench.handover.through()) == (Phase.BACK, True)
    assert bench.handover.take(bench.old, tick(6))


def test_given_up_before_what_was_held_is_passed_on_it_stays_with_the_source() -> None:
    bench = Bench(whole=False)
    bench.handover.take(bench.new, tick(6))
    bench.handover.insist()
    bench.handover.give_up("products_changed")
    assert bench.phase is Phase.BACK
    assert not bench.handover.take(bench.new, tick(7))
    assert bench.handover.take(bench.old, tick(6))
    assert bench.ids == [1, 2, 3, 4, 5, 6]


def test_a_successor_that_is_lost_changes_nothing_and_is_not_told() -> None:
    bench = Bench()
    bench.acknowledge()
    bench.handover.take(bench.new, beat(5))
    bench.new.is_open = False
    assert bench.handover.lost(bench.new) is None
    assert (bench.handover.through(), bench.handover.failure) == (True, "successor_lost")
    assert bench.handover.take(bench.old, tick(6))
    assert bench.ids == [1, 2, 3, 4, 5, 6]


def test_a_source_that_is_lost_leaves_everything_to_the_successor_at_once() -> None:
    bench = Bench(products=("A-USD", "B-USD"))
    bench.acknowledge("A-USD", "B-USD")
    bench.handover.take(bench.new, beat(0, "B-USD"))
    bench.handover.take(bench.new, tick(7))
    bench.old.is_open = False
    assert bench.handover.lost(bench.old) == ("A-USD",)  # 6 may be missing; of the other nothing is
    assert bench.old.stopped
    assert bench.new.tells
    assert bench.handover.through()
    assert bench.handover.failure is None
    assert bench.handover.take(bench.new, tick(8))
    assert bench.ids == [1, 2, 3, 4, 5, 7, 8]
    assert bench.market.jumps == 1
    assert bench.handover.lost(bench.new) == ("A-USD", "B-USD")  # it is the slot by now


def test_a_source_that_is_lost_when_all_is_over_is_not_told() -> None:
    bench = Bench()
    bench.acknowledge()
    bench.handover.take(bench.new, beat(5))
    assert bench.handover.lost(bench.old) is None
    assert bench.handover.taken_over


def test_a_source_that_is_lost_before_the_successor_is_there_comes_back_itself() -> None:
    bench = Bench()
    bench.new.is_open = False
    assert bench.handover.lost(bench.old) == ("A-USD",)
    assert (bench.handover.through(), bench.handover.failure, bench.old.stopped) == (True, "source_lost", False)
    assert bench.handover.take(bench.old, tick(9))


def test_of_a_swap_the_lost_side_loses_its_own_products_alone() -> None:
    market = Market()
    one, other = StubSide("one", market, ("A-USD", "C-USD", "B-USD")), StubSide("other", market, ("B-USD", "A-USD"))
    routes = {"A-USD": Route(one, other), "B-USD": Route(other, one)}
    handover = Handover(routes, market.last_id, (), 0.0)
    assert handover.lost(one) == ("A-USD", "C-USD")
    assert handover.phases() == {"A-USD": Phase.OVER, "B-USD": Phase.BACK}
    assert handover.through()


def test_what_is_held_is_bounded_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_HELD", 3)
    bench = Bench()
    for trade_id in range(6, 12):
        bench.handover.take(bench.new, tick(trade_id))
    assert bench.handover.dropped_total == 3
    bench.acknowledge()
    bench.handover.take(bench.new, beat(11))
    assert bench.phase is Phase.WAITING  # 6 to 8 were dropped
    for trade_id in (6, 7, 8):
        bench.handover.take(bench.old, tick(trade_id))
    bench.handover.take(bench.new, beat(11))
    assert bench.ids == list(range(1, 12))
    assert bench.market.jumps == 0


def test_what_the_old_one_brings_meanwhile_is_not_held() -> None:
    bench = Bench()
    for trade_id in range(6, 5_000):
        bench.handover.take(bench.new, tick(trade_id))
        bench.handover.take(bench.old, tick(trade_id))
    assert bench.handover.dropped_total == 0
    assert bench.ids == list(range(1, 5_000))


def test_other_products_of_either_pass() -> None:
    bench = Bench()
    assert bench.handover.take(bench.new, tick(3, "C-USD"))
    assert bench.handover.take(bench.old, tick(4, "C-USD"))
    assert bench.market.new["C-USD"] == [3, 4]


@pytest.mark.parametrize("seed", range(10))
def test_threads_that_do_as_they_like_keep_the_order(seed: int) -> None:
    """Two native threads bring the same trades; the one stops in the middle, as a rotated connection does."""
    bench, rng = Bench(), Random(seed)
    last, joins_at, leaves_at = 4_000, rng.randrange(5, 500), rng.randrange(2_000, 3_000)
    naps = {rng.randrange(last) for _ in range(40)}
    pause = threading.Event()

    def bring(side: StubSide, first: int, until: int) -> None:
        for trade_id in range(first, until):
            bench.handover.take(side, tick(trade_id))
            if trade_id % 50 == 0:
                bench.handover.take(side, beat(trade_id))
            if trade_id in naps:
                pause.wait(0.001)
        while side is bench.old and not bench.handover.through() and until < last:
            bench.handover.take(side, tick(until))
            until += 1

    bench.new.given = frozenset({"A-USD"})
    threads = [
        threading.Thread(target=bring, args=(bench.old, 6, leaves_at)),
        threading.Thread(target=bring, args=(bench.new, joins_at, last)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    bench.handover.take(bench.new, beat(last - 1))
    assert bench.phase is Phase.OVER
    assert bench.ids == list(range(1, last))
    assert bench.market.jumps == 0
    assert not bench.handover.holds()


def test_a_heartbeat_of_the_connection_passes_on_what_was_held() -> None:
    """Where heartbeats speak of no product, none will come that passes a quiet product's last trade on."""
    bench = Bench()
    bench.new.given = frozenset({"A-USD"})
    assert not bench.handover.take(bench.new, tick(6))  # before the old one has brought it
    assert bench.handover.take(bench.old, tick(6))
    bench.handover.beat(bench.new)
    assert bench.handover.through()
    assert bench.market.new["A-USD"] == [1, 2, 3, 4, 5, 6]


def test_a_socket_that_is_lost_after_the_end_is_told_as_any_other() -> None:
    bench = Bench()
    bench.new.given = frozenset({"A-USD"})
    bench.handover.take(bench.new, beat(5))
    assert bench.handover.through()
    bench.handover.settled = True
    assert bench.handover.lost(bench.new) == ("A-USD",)
    assert bench.handover.take(bench.new, tick(6))  # and what it brings on its next socket counts
    assert bench.market.new["A-USD"][-1] == 6

"""Transfers with connections that do as they are told."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import cast

import pytest

from hub.feed.connection import Connection
from hub.feed.handover import Handover
from hub.feed.transfers import GIVE_UP_SECONDS, INSIST_SECONDS, TRACE_SECONDS, Transfers
from hub.model import Heartbeat, Ticker

TIME = "2026-11-20T01:02:03Z"


class StubConnection:
    """A connection without a socket."""

    def __init__(self, name: str, *products: str) -> None:
        self.id, self.products = name, tuple(products)
        self.given: frozenset[str] = frozenset()
        self.is_open = True
        self.handover: Handover | None = None
        self.alive = self.stopped = self.in_place = False
        self.aside: dict[str, object] = {}
        self.delivered: list[int] = []

    def succeed(self, other: StubConnection) -> None:
        self.products = other.products

    def set_aside(self) -> dict[str, object]:
        return self.aside

    def attach(self, handover: Handover | None) -> None:
        self.handover = handover

    def start(self) -> None:
        self.alive = True

    def stop(self) -> None:
        self.stopped = True

    def is_alive(self) -> bool:
        return self.alive

    def let_go(self, product_ids: Iterable[str]) -> None:
        self.products = tuple(item for item in self.products if item not in set(product_ids))

    def want(self, product_ids: Sequence[str]) -> None:
        self.products = tuple(product_ids)

    def take_the_place(self, other: StubConnection) -> None:  # noqa: ARG002
        self.in_place = True

    def deliver(self, event: Ticker | Heartbeat, *_: object) -> None:
        if type(event) is Ticker:
            self.delivered.append(event.trade_id)

    def bring(self, trade_id: int) -> None:
        """Get a ticker of A-USD from the exchange."""
        item = Ticker("A-USD", "1.0", trade_id, TIME), 0.0, 0.0, 0.0
        if self.handover is None:
            self.deliver(item[0])
        else:
            self.handover.take(self, item)  # type: ignore[arg-type]

    def prove(self, *product_ids: str) -> None:
        """Be acknowledged, and beat."""
        self.given |= frozenset(product_ids)
        assert self.handover is not None
        for item in product_ids:
            self.handover.take(self, (Heartbeat(item, 0, 1, TIME), 0.0, 0.0, 0.0))  # type: ignore[arg-type]


class Bench:
    def __init__(self) -> None:
        self.replaced: list[tuple[StubConnection, StubConnection]] = []
        self.retired: list[StubConnection] = []
        self.transfers = Transfers(
            lambda _: -1, lambda *pair: self.replaced.append(pair), self.retired.append  # type: ignore[arg-type]
        )

    def rotate(self, old: StubConnection, new: StubConnection, idle: tuple[str, ...] = ()) -> None:
        self.transfers.rotate(cast("Connection", old), cast("Connection", new), idle, 0.0, "on demand")

    def move(self, routes: dict[str, tuple[StubConnection, StubConnection]], insisted: bool = False) -> None:
        self.transfers.move(cast("dict[str, tuple[Connection, Connection]]", routes), (), 0.0, "load", insisted)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_rotation_that_is_through(bench: Bench) -> None:
    old, new = StubConnection("conn_000", "A-USD", "B-USD", "X-USD"), StubConnection("conn_000")
    old.alive, old.aside = True, {"X-USD": "refused"}
    bench.rotate(old, new)
    assert new.products == old.products
    new.prove("A-USD")
    assert bench.transfers.step(1.0) is None
    assert bench.transfers.body(1.0) == {
        "kind": "rotate", "connections": ["conn_000"], "products": 2, "over": 1, "seconds": 1.0, "why": "on demand"
    }  # fmt: skip
    assert bench.transfers.beside() == [new]
    assert bench.transfers.owner("A-USD") is None  # the slot has it, all the while
    new.prove("B-USD")  # the one that the exchange refuses is not waited for
    assert bench.transfers.step(1.1) == ("conn_000", True)
    assert (bench.replaced, new.in_place, old.stopped) == ([(old, new)], True, True)
    assert bench.transfers.counters["rotated"] == 1
    assert new.handover is not None  # the old one's thread may still be at it
    assert not bench.transfers.free
    old.alive = False
    assert bench.transfers.step(1.2) is None
    assert bench.transfers.free
    assert (old.handover, new.handover) == (None, None)
    assert bench.transfers.beside() == []


@pytest.mark.parametrize(("idle", "waited_for"), [(("B-USD",), {"A-USD"}), (("A-USD", "B-USD"), {"A-USD", "B-USD"})])
def test_what_is_delisted_is_not_waited_for(bench: Bench, idle: tuple[str, ...], waited_for: set[str]) -> None:
    old, new = StubConnection("conn_000", "A-USD", "B-USD"), StubConnection("conn_000")
    bench.rotate(old, new, idle)
    assert new.handover is not None
    assert new.handover.phases().keys() == waited_for
    assert new.products == ("A-USD", "B-USD")


def test_a_thread_that_does_not_end_holds_nothing_up_for_long(bench: Bench) -> None:
    old, new = StubConnection("conn_000", "A-USD"), StubConnection("conn_000")
    old.alive = True
    bench.rotate(old, new)
    new.prove("A-USD")
    bench.transfers.step(1.0)
    bench.transfers.step(1.0 + TRACE_SECONDS)
    assert not bench.transfers.free
    bench.transfers.step(1.1 + TRACE_SECONDS)
    assert bench.transfers.free
    assert bench.transfers.beside() == [old]  # known, so that it can be joined


def test_a_rotation_that_takes_too_long_leaves_the_old_one(bench: Bench) -> None:
    old, new = StubConnection("conn_000", "A-USD", "B-USD"), StubConnection("conn_000")
    bench.rotate(old, new)
    new.prove("A-USD")
    assert bench.transfers.step(GIVE_UP_SECONDS - 0.1) is None
    assert bench.transfers.step(GIVE_UP_SECONDS) == ("conn_000", False)
    assert (bench.replaced, old.stopped, new.stopped, bench.retired) == ([], False, True, [new])
    assert bench.transfers.counters == {"rotate_timeout": 1, "held_dropped": 0}


def test_of_a_move_what_is_not_over_in_time_stays(bench: Bench) -> None:
    one, other = StubConnection("conn_000", "A-USD", "B-USD"), StubConnection("conn_001", "C-USD")
    bench.move({"A-USD": (one, other), "B-USD": (one, other), "C-USD": (other, one)})
    other.want(("C-USD", "A-USD", "B-USD"))
    one.want(("A-USD", "B-USD", "C-USD"))
    other.prove("A-USD")
    assert [bench.transfers.owner(item) for item in ("A-USD", "B-USD", "C-USD")] == [other, one, other]
    one.prove("C-USD")
    assert bench.transfers.owner("C-USD") is one
    assert bench.transfers.step(GIVE_UP_SECONDS) == (None, False)
    assert (one.products, other.products) == (("B-USD", "C-USD"), ("A-USD",))
    assert bench.transfers.not_moved == {"B-USD"}
    assert bench.transfers.counters == {"moved": 2, "move_failed": 1, "held_dropped": 0}


@pytest.fixture
def insisted(bench: Bench) -> tuple[StubConnection, StubConnection]:
    """A product that the product list has go over, and that is not proved; a ticker of it is held."""
    one, other = StubConnection("conn_000", "A-USD"), StubConnection("conn_001")
    bench.move({"A-USD": (one, other)}, insisted=True)
    other.want(("A-USD",))
    other.bring(7)
    return one, other


def test_what_the_product_list_asks_for_is_done_in_the_end(
    bench: Bench, insisted: tuple[StubConnection, StubConnection]
) -> None:
    one, other = insisted
    assert bench.transfers.step(INSIST_SECONDS - 0.1) is None
    assert bench.transfers.step(INSIST_SECONDS) is None  # what was held has yet to be passed on
    assert (one.products, other.delivered) == (("A-USD",), [])
    other.bring(8)
    assert other.delivered == [7, 8]
    assert bench.transfers.step(INSIST_SECONDS + 0.1) == (None, True)
    assert (one.products, other.products) == ((), ("A-USD",))
    assert bench.transfers.counters == {"moved": 1, "move_insisted": 1, "held_dropped": 0}


def test_an_insisted_one_that_is_cut_short_stays_with_its_source(
    bench: Bench, insisted: tuple[StubConnection, StubConnection]
) -> None:
    one, other = insisted
    assert bench.transfers.give_up(0.5, "products_changed") == (None, False)
    assert (one.products, other.products) == (("A-USD",), ())
    assert bench.transfers.not_moved == {"A-USD"}


def test_a_target_without_a_socket_gets_nothing_however_it_is_insisted_on(
    bench: Bench, insisted: tuple[StubConnection, StubConnection]
) -> None:
    one, other = insisted
    other.is_open = False
    assert bench.transfers.step(INSIST_SECONDS) == (None, False)
    assert (one.products, other.products) == (("A-USD",), ())


def test_what_is_held_for_ever_goes_back(bench: Bench, insisted: tuple[StubConnection, StubConnection]) -> None:
    one, other = insisted
    assert bench.transfers.step(INSIST_SECONDS) is None
    assert bench.transfers.step(INSIST_SECONDS + TRACE_SECONDS) == (None, False)
    assert (one.products, other.products) == (("A-USD",), ())


def test_who_is_hindered(bench: Bench, insisted: tuple[StubConnection, StubConnection]) -> None:
    assert [bench.transfers.hinders(item) for item in ("A-USD", "B-USD")] == [True, False]
    bench.transfers.give_up(0.5, "move")
    assert not bench.transfers.hinders("A-USD")
    bench.rotate(insisted[0], StubConnection("conn_000"))
    assert bench.transfers.hinders("B-USD")


def test_what_can_not_wait_ends_it(bench: Bench) -> None:
    assert bench.transfers.give_up(0.0, "move") is None
    old, new = StubConnection("conn_000", "A-USD"), StubConnection("conn_000")
    bench.rotate(old, new)
    assert bench.transfers.give_up(0.5, "move") == ("conn_000", False)
    assert bench.transfers.counters["rotate_move"] == 1
    again = StubConnection("conn_000")
    bench.rotate(old, again)  # at once: the connections of the one before know of it no more
    assert (new.handover, old.handover is again.handover is not None) == (None, True)

"""Which of the connections that wait go when they are too many."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

import pytest

from hub.door import CROWD_FACTOR, CROWD_SECONDS, MAX_HELD_BYTES, MAX_WAITING, Door
from hub.server import counted_as


@dataclass(eq=False)
class Waiter:
    whose: str | None = "a"


def test_the_oldest_of_an_address_goes_when_a_crowd_is_one_no_more() -> None:
    door: Door[Waiter] = Door(2)
    first, second, third = Waiter(), Waiter(), Waiter()
    assert door.waits(first, 0.0) is door.waits(second, 1.0) is None
    assert door.waits(third, 2.0) is None  # its request may be on its way
    assert door.surplus(CROWD_SECONDS - 0.1) == []
    assert door.surplus(CROWD_SECONDS) == [first]
    assert door.waiting == 2
    assert door.waits(Waiter("b"), 100.0) is None
    assert door.waits(Waiter(), 100.0) is second


def test_a_crowd_has_an_end() -> None:
    door: Door[Waiter] = Door(2)
    crowd = [Waiter() for _ in range(2 * CROWD_FACTOR + 1)]
    assert [door.waits(one, 0.0) for one in crowd] == [None] * 2 * CROWD_FACTOR + [crowd[0]]


def test_what_goes_on_does_not_count_and_is_the_newest_when_it_waits_again() -> None:
    door: Door[Waiter] = Door(1)
    first, second = Waiter(), Waiter()
    door.waits(first, 0.0)
    door.goes_on(first)
    door.goes_on(first)
    assert door.waits(second, 50.0) is None
    assert door.waits(first, 51.0) is None
    assert door.surplus(99.0) == [second]


@pytest.mark.parametrize("whose", [None, "b"], ids=["a proxy", "any number of each address"])
def test_all_together_are_bounded(whose: str | None) -> None:
    door: Door[Waiter] = Door(0 if whose else 1)
    crowd = [Waiter(whose) for _ in range(MAX_WAITING + 3)]
    assert not any(door.waits(one, 0.0) for one in crowd)
    assert door.oldest() is crowd[0]
    assert door.surplus(CROWD_SECONDS) == crowd[:3]


def test_bodies_that_are_not_read_are_bounded_and_a_shared_one_counts_once() -> None:
    door: Door[Waiter] = Door()
    half = MAX_HELD_BYTES // 2
    crowd = [Waiter() for _ in range(100)]
    assert [door.holds(one, 1, half) for one in crowd] == [[]] * 100
    other, third = Waiter(), Waiter()
    assert door.holds(other, 2, half) == []
    assert door.holds(third, 3, 1) == crowd  # all that hold the first body, or it is not let go
    door.lets_go(other)
    door.lets_go(other)
    assert door.holds(Waiter(), 4, half) == []


@pytest.mark.parametrize(
    ("address", "expected"),
    [("192.0.2.1", "192.0.2.1"), ("::ffff:192.0.2.1", "192.0.2.1"), ("2001:db8::1", "2001:db8::/64"),
     ("10.1.2.3", None), ("::ffff:10.1.2.3", None), ("fd00::1", None), ("", ""), ("no address", "no address")],
)  # fmt: skip
def test_as_whom_an_address_counts(address: str, expected: str | None) -> None:
    trusted = [ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8")]
    assert counted_as(address, trusted) == expected

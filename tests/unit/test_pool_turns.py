"""When the pool begins a rotation, or relieves a slot: over slots that are stubs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from hub.feed.connection import Connection
from hub.feed.pool import ConnectionPool
from hub.hub import PriceHub
from hub.settings import Settings

NOW = 1e9  # long after any pause


class Slot(SimpleNamespace):
    """A connection as the pool's watchdog sees it."""

    def __init__(self, number: int, is_open: bool, count: int = 1) -> None:
        products = tuple(f"P{number}{letter}-USD" for letter in "ABCD"[:count])
        super().__init__(id=f"conn_{number:03d}", products=products, is_open=is_open, given=frozenset(products))

    def age_seconds(self, now: float) -> float:  # noqa: ARG002
        return 10.0

    def catching_up(self, now: float) -> bool:  # noqa: ARG002
        return False

    def without_heartbeats_since(self) -> float:
        return float("inf")

    def want(self, products: list[str]) -> None:
        self.products = tuple(products)


def pool_of(slots: list[Slot]) -> ConnectionPool:
    pool = PriceHub(Settings(ws_url="ws://localhost:9", ws_dialect="exchange", rest_url="http://localhost:9")).pool
    pool._slots = cast("list[Connection]", slots)
    pool._needed = len(slots)
    return pool


@pytest.mark.parametrize(
    ("are_open", "rotated"),
    [((True, True, True), ["conn_000"]), ((True, True, False), ["conn_000"]), ((True, False, False), []),
     ((False, True, True), [])],
)  # fmt: skip
def test_one_socket_that_is_missing_keeps_no_other_from_being_replaced(
    monkeypatch: pytest.MonkeyPatch, are_open: tuple[bool, ...], rotated: list[str]
) -> None:
    pool = pool_of([Slot(number, is_open) for number, is_open in enumerate(are_open)])
    found: list[str] = []
    monkeypatch.setattr(pool.transfers, "rotate", lambda slot, *_: found.append(slot.id))
    monkeypatch.setattr(pool, "_new_connection", lambda _: cast("Any", None))
    assert pool.rotate("conn_000")
    pool._transfer(NOW)
    assert found == rotated


def always(_: float) -> bool:
    return True


def never(_: float) -> bool:
    return False


def flaps(second: float) -> bool:
    return second % 30 < 4


def blinks(second: float) -> bool:
    return second % 20 < 19


@pytest.mark.parametrize(
    ("busy_there", "other_there", "within_seconds"),
    [(always, always, 20), (always, never, 20), (always, flaps, 60), (always, blinks, 20), (flaps, always, 150),
     (blinks, always, 25), (flaps, blinks, 300)],
)  # fmt: skip
def test_a_crowded_slot_is_relieved_though_it_or_another_comes_and_goes(
    monkeypatch: pytest.MonkeyPatch, busy_there: Any, other_there: Any, within_seconds: int
) -> None:
    """Of four slots the first brings 200 ticks a second while it is there, the others 20."""
    slots = [Slot(number, True, count=4) for number in range(4)]
    pool = pool_of(slots)
    begun: list[tuple[float, str, set[str], set[str]]] = []
    second = 0.0

    def move(routes: dict[str, tuple[Slot, Slot]], *_: object) -> None:
        sources, targets = ({pair[side].id for pair in routes.values()} for side in (0, 1))
        begun.append((second, ",".join(routes), sources, targets))
        for item, (source, _) in routes.items():
            source.want([one for one in source.products if one != item])

    monkeypatch.setattr(pool.transfers, "move", move)
    for step in range(900 * 10):
        second = step / 10
        slots[0].is_open, slots[1].is_open = busy_there(second), other_there(second)
        for slot in slots:
            for item in slot.products if slot.is_open else ():
                rate = 50 if item.startswith("P0") else 5
                pool._ticks[item] = int(pool._ticks.get(item, 0) + rate / 10 + (step % 2) * (rate % 10) / 10)
        closed = {slot.id for slot in slots if not slot.is_open}
        known = len(begun)
        pool._transfer(NOW + second)
        for _, _, sources, targets in begun[known:]:
            assert not closed & (sources | targets)
    assert begun
    first, _, sources, _ = begun[0]
    assert "conn_000" in sources
    assert first <= within_seconds
    assert begun[-1][0] - first <= 120  # a slot that comes and goes takes some too, once it is known
    moved = ",".join(names for _, names, _, _ in begun).split(",")
    assert len(moved) == len(set(moved)) <= 8  # and no more after that, in a quarter of an hour


def test_what_is_moved_by_hand_goes_to_no_closed_connection() -> None:
    pool = pool_of([Slot(0, True, 2), Slot(1, False)])
    assert not pool.move("P0A-USD", only_open=True)
    assert pool.slots()[0].products == ("P0A-USD", "P0B-USD")
    assert pool.move("P0A-USD")  # what its own connection does not deliver has nothing to lose
    assert pool.slots()[1].products == ("P1A-USD", "P0A-USD")

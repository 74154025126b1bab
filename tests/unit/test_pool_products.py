"""Which slot has which product while the product list changes, and what is left of a handover that came to nothing."""

from __future__ import annotations

import time
from typing import cast

import pytest

from hub.feed.connection import Connection
from hub.feed.pool import ConnectionPool
from hub.feed.transfers import INSIST_SECONDS
from hub.hub import PriceHub
from hub.settings import Settings
from tests.unit.test_transfers import StubConnection

LATER = 1e9  # long after any pause


class Slot(StubConnection):
    """A connection as the pool's watchdog sees it."""

    def age_seconds(self, now: float) -> float:  # noqa: ARG002
        return 10.0

    def catching_up(self, now: float) -> bool:  # noqa: ARG002
        return False

    def without_heartbeats_since(self) -> float:
        return LATER

    def totals(self) -> tuple[int, int, int, int]:
        return 0, 0, 0, 0

    @property
    def tally(self) -> Slot:
        return self

    def all_refused(self) -> dict[str, int]:
        return {}

    def all_causes(self) -> dict[str, int]:
        return {}


class Pool:
    """A pool over stubs, one product each: A, B and C; then B leaves, and C is to go from the last slot to there."""

    def __init__(self, pool: ConnectionPool) -> None:
        self.pool, self.seconds = pool, 0.0
        pool.set_products(("A-USD", "B-USD", "C-USD"))
        self.slots = cast("list[Slot]", pool.slots())
        pool.set_products(("A-USD", "C-USD"))

    def look(self, seconds: float = 0.1) -> None:
        """Let the watchdog look, so much later."""
        pool, self.seconds = self.pool, self.seconds + seconds
        now = time.monotonic() + self.seconds
        pool._note(pool.transfers.step(now), now)
        pool._resumed_at = 0.0
        pool._transfer(now)

    def has(self) -> list[tuple[str, ...]]:
        """Return the products of each slot, each in one alone."""
        shards = [slot.products for slot in self.pool.slots()]
        flat = [item for shard in shards for item in shard]
        assert sorted(flat) == sorted(set(flat))
        return shards


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Pool:
    settings = Settings(
        ws_url="ws://localhost:9", ws_dialect="exchange", rest_url="http://localhost:9", products_per_connection=1
    )
    monkeypatch.setattr(ConnectionPool, "_new_connection", lambda _, name: cast("Connection", Slot(name)))
    return Pool(PriceHub(settings).pool)


def test_the_last_slot_goes_when_its_product_is_over(pool: Pool) -> None:
    assert [slot.products for slot in pool.slots] == [("A-USD",), ("C-USD",), ("C-USD",)]
    pool.slots[1].prove("C-USD")
    pool.look()
    assert pool.has() == [("A-USD",), ("C-USD",)]
    assert pool.slots[2].stopped


def test_a_product_list_that_comes_in_between_leaves_it_with_its_source_until_it_is_over(pool: Pool) -> None:
    last = pool.slots[2]
    for _ in range(3):
        pool.pool.set_products(("A-USD", "C-USD"))
        assert last.products == ("C-USD",)
        assert not last.stopped
        assert pool.pool.slot_of("C-USD") is last
    pool.slots[1].prove("C-USD")
    pool.look()
    assert pool.has() == [("A-USD",), ("C-USD",)]


def test_a_product_list_that_needs_the_last_slot_after_all_keeps_it(pool: Pool) -> None:
    pool.pool.set_products(("A-USD", "C-USD", "D-USD"))
    assert pool.has() == [("A-USD",), ("D-USD",), ("C-USD",)]
    pool.look()
    assert not pool.slots[2].stopped


def test_an_escalation_of_another_product_does_not_end_it(pool: Pool) -> None:
    assert pool.pool.move("A-USD")
    assert pool.slots[2].products == ("C-USD",)
    assert pool.slots[1].handover is not None
    pool.slots[1].prove("C-USD")
    for _ in range(5):
        pool.look()
    assert sorted(item for shard in pool.has() for item in shard) == ["A-USD", "C-USD"]
    assert pool.slots[2].stopped


def test_an_escalation_of_the_product_itself_takes_it_from_its_source_at_once(pool: Pool) -> None:
    assert pool.pool.move("C-USD")
    assert pool.has() == [("A-USD",), ("C-USD",), ()]
    for _ in range(3):
        pool.look()
    assert pool.has() == [("A-USD",), ("C-USD",)]


def test_a_target_that_is_lost_gets_it_when_it_is_back(pool: Pool) -> None:
    _, target, last = pool.slots
    assert target.handover is not None
    target.is_open = False
    target.handover.lost(target)  # type: ignore[arg-type]
    for _ in range(3):
        pool.look()
    assert pool.has() == [("A-USD",), (), ("C-USD",)]
    target.is_open = True
    pool.look()
    assert target.products == last.products == ("C-USD",)
    target.prove("C-USD")
    pool.look()
    assert pool.has() == [("A-USD",), ("C-USD",)]
    assert last.stopped


def test_a_target_that_never_proves_it_has_it_in_the_end(pool: Pool) -> None:
    pool.look(INSIST_SECONDS - 1.0)
    assert pool.slots[2].products == ("C-USD",)
    pool.look(1.0)
    assert pool.has() == [("A-USD",), ("C-USD",)]
    assert pool.slots[2].stopped

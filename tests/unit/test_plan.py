"""What GET /plan says of a hub that opens nothing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from hub.feed.connection import Connection
from hub.hub import PriceHub
from hub.plan import body
from hub.settings import Settings


class Slot(SimpleNamespace):
    """A connection as the plan sees it."""

    def __init__(self, number: int, products: tuple[str, ...], is_open: bool = True, attempt_in: float = 0.0) -> None:
        super().__init__(id=f"conn_{number:03d}", products=products, is_open=is_open, attempt_in=attempt_in)
        self.given = frozenset(products if is_open else ())

    def age_seconds(self, now: float) -> float:  # noqa: ARG002
        return 10.0 if self.is_open else 0.0

    def attempt_in_seconds(self, now: float) -> float:  # noqa: ARG002
        return self.attempt_in


@pytest.fixture
def hub() -> PriceHub:
    settings = Settings(ws_url="ws://localhost:9", ws_dialect="exchange", rest_url="http://localhost:9")
    return PriceHub(settings.replace(rotate_after_seconds=100.0, priority_pairs=("D-USD",)))


def give(hub: PriceHub, *slots: Slot) -> None:
    hub.pool._slots = cast("list[Connection]", list(slots))
    hub.pool._needed = len(slots)
    hub.book.set_products([item for slot in slots for item in slot.products])


def test_load_moves_and_reasons(hub: PriceHub) -> None:
    give(hub, Slot(0, ("A-USD", "B-USD", "C-USD")), Slot(1, ("D-USD", "E-USD", "F-USD")))
    shards = {slot.id: slot.products for slot in hub.pool.slots()}
    for second, counts in ((0.0, {}), (10.0, {"A-USD": 1_000, "B-USD": 900, "D-USD": 10})):
        hub.pool.meter.sample(second, counts, shards, shards)
    hub.add_priority_pair("E-USD")  # it counts, and weighs nothing: any client may add one
    answer = body(hub)
    first, second_row = answer["connections"]
    assert (first["ticks_per_second"], first["load"], first["priority_products"]) == (190.0, 193.0, 0)
    assert (second_row["ticks_per_second"], second_row["priority_products"]) == (1.0, 2)
    assert second_row["load"] == pytest.approx(4.0 + 0.5 * 197.0 / 2, abs=0.1)
    assert 40.0 <= first["rotate_in_seconds"] <= 90.0
    (move,) = answer["moves"]
    assert (move["from"], move["to"], move["product"] in ("A-USD", "B-USD")) == ("conn_000", "conn_001", True)
    assert "conn_000 has 193/s" in move["why"]
    assert (answer["measured_seconds"], answer["under_way"]) == (10.0, None)
    assert hub.pool._slots[0].products == ("A-USD", "B-USD", "C-USD")  # to ask changes nothing


def test_seconds_to_full_coverage_by_what_waits_and_the_pace(hub: PriceHub) -> None:
    assert body(hub)["seconds_to_full_coverage"] is None  # of what, nobody knows yet
    give(hub, Slot(0, ("A-USD",)), *(Slot(number, (f"B{number}-USD",), is_open=False) for number in (1, 2, 3)))
    interval = hub.settings.connect_interval_ms / 1000
    assert hub.pool.seconds_to_connect(0.0) == pytest.approx(2 * interval)
    give(hub, Slot(0, ("A-USD",), is_open=False), Slot(1, ("B-USD",), is_open=False, attempt_in=30.0))
    assert hub.pool.seconds_to_connect(0.0) == 30.0
    assert body(hub)["seconds_to_full_coverage"] == 31.0
    give(hub, Slot(0, ("A-USD",)))
    assert hub.pool.seconds_to_connect(0.0) == 0.0
    assert body(hub)["seconds_to_full_coverage"] == 1.0  # it has not beaten

"""Slots rotated while ticks flow: on native threads in this process, and in a hub of its own."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hub import PriceHub
from hub.config import load
from hub.simulator.launch import SimulatorProcess, launch
from tests.conftest import HubProcess, eventually

PRODUCTS = 30  # on two connections


@pytest.fixture
def simulator() -> Iterator[SimulatorProcess]:
    with launch(["--products", str(PRODUCTS), "--rate", "400"]) as process:
        yield process


@pytest.fixture
def hub(simulator: SimulatorProcess, tmp_path: Path) -> Iterator[PriceHub]:
    environment = {
        "WS_URL": simulator.ws_url, "REST_URL": simulator.rest_url, "WS_DIALECT": "exchange",
        "STATE_DIR": str(tmp_path),
    }  # fmt: skip
    built = PriceHub(load([], environment, None).settings)
    yield built
    built.stop()


class Ids:
    """The trade ids that listeners get, by product."""

    def __init__(self, hub: PriceHub) -> None:
        self.live: defaultdict[str, list[int]] = defaultdict(list)
        self.late: list[int] = []
        hub.on("ticker_update", lambda tick: self.live[tick["crypto"]].append(tick["trade_id"]))
        hub.on("trade_backfill", lambda tick: self.late.append(tick["trade_id"]))

    def check(self, simulator: SimulatorProcess) -> None:
        """All that happened came, once, in order, and live."""
        simulator.control("pause", {})
        happened = simulator.control("sent")["products"]
        eventually(lambda: all(ids[-1] == happened[one]["last_id"] for one, ids in self.live.items()))
        assert len(self.live) == PRODUCTS
        for product_id, ids in self.live.items():
            assert ids == list(range(ids[0], ids[-1] + 1)), product_id
        assert self.late == []


def covered(hub: PriceHub) -> bool:
    return hub.get_health_summary()["coverage_percentage"] == 100


def generations(hub: PriceHub) -> list[int]:
    return [slot.generation for slot in hub.connections()]


def counted(hub: PriceHub, name: str) -> int:
    return hub.get_health_summary()["counters"].get(name, 0)


@pytest.mark.long
def test_every_slot_on_native_threads_under_load(hub: PriceHub, simulator: SimulatorProcess) -> None:
    ids = Ids(hub)
    hub.start()
    eventually(lambda: covered(hub))
    assert not hub.rotate("conn_999")
    for times in (1, 2, 3):
        messages = [slot.total_messages for slot in hub.connections()]
        for slot in hub.connections():
            assert hub.rotate(slot.connection_id)
        eventually(lambda times=times: generations(hub) == [times, times], 20)
        slots = hub.connections()
        assert [slot.status for slot in slots] == ["connected"] * 2
        assert [len(slot.product_ids) for slot in slots] == [15, 15]
        assert all(slot.total_messages >= before for slot, before in zip(slots, messages, strict=True))
        assert [(slot.reconnects, slot.error_count, slot.last_cause) for slot in slots] == [(0, 0, None)] * 2
    ids.check(simulator)
    assert counted(hub, "rotated") == 6
    assert hub.ledger.query() == []
    eventually(lambda: len(simulator.control("connections")["open"]) == 2)
    eventually(lambda: sum(thread.name.startswith("conn_") for thread in threading.enumerate()) == 2)


@pytest.mark.long
def test_a_successor_that_is_refused_leaves_the_old_one_in_its_place(
    hub: PriceHub, simulator: SimulatorProcess
) -> None:
    ids = Ids(hub)
    hub.start()
    eventually(lambda: covered(hub))
    simulator.control("fault", {"kind": "refuse", "seconds": 60, "status": 503})
    hub.rotate("conn_000")
    eventually(lambda: counted(hub, "rotate_timeout") == 1, 15)
    assert generations(hub) == [0, 0]
    assert [slot.status for slot in hub.connections()] == ["connected"] * 2
    simulator.control("clear", {})
    hub.rotate("conn_000")
    eventually(lambda: generations(hub) == [1, 0])
    ids.check(simulator)
    assert hub.ledger.query() == []


def test_a_source_that_is_lost_in_the_middle_is_inherited(hub: PriceHub, simulator: SimulatorProcess) -> None:
    hub.start()
    eventually(lambda: covered(hub))
    victim = hub.get_current_ticker("BTC-USD")["connection_id"]
    other = next(slot.product_ids for slot in hub.connections() if slot.connection_id != victim)[0]
    simulator.control("fault", {"kind": "no_heartbeats", "product": "BTC-USD", "seconds": 60})  # it can't come over
    hub.rotate(victim)
    beating = lambda: (running := hub.pool.transfers.body(0.0)) and running["over"] == 14  # noqa: E731
    eventually(beating, 8)
    old = min(
        (row for row in simulator.control("connections")["open"] if "BTC-USD" in row["products"]),
        key=lambda row: row["index"],
    )
    simulator.control("fault", {"kind": "kill", "connections": [old["index"]]})
    eventually(lambda: counted(hub, "rotated") == 1, 3)
    slots = {slot.connection_id: slot for slot in hub.connections()}
    assert (slots[victim].reconnects, slots[victim].generation >= 1) == (1, True)
    simulator.control("clear", {})

    def well() -> bool:
        trust = hub.get_health_summary()["trust"]
        return trust["live"] + trust["quiet"] == PRODUCTS

    eventually(well)
    rows = [row for row in hub.ledger.query() if row["product"] is None]
    eventually(lambda: all(not row["open"] for row in hub.ledger.query()), 10)
    assert [(row["connection_id"], row["cause"]) for row in rows] == [(victim, "disconnect")]
    assert hub.get_current_ticker(other)["trust"] == "live"
    assert len(simulator.control("connections")["connects"]) == 3


def test_products_that_change_their_slot_with_the_list_miss_nothing(hub: PriceHub, simulator: SimulatorProcess) -> None:
    """Most of a connection's products leave, then more, then all are back: who must move is handed over."""
    ids = Ids(hub)
    hub.start()
    eventually(lambda: covered(hub))
    everything = hub.book.products
    stay, other = (slot.product_ids for slot in hub.connections())

    def sockets() -> list[list[str]]:
        return sorted(row["products"] for row in simulator.control("connections")["open"])

    def held() -> list[str]:
        return sorted(item for products in sockets() for item in products)

    moved = 0
    for wanted in ([*stay, *other[:3]], [*stay, *other[:2]], [*stay, *other[:1]], everything):
        before = {item: slot.connection_id for slot in hub.connections() for item in slot.product_ids}
        hub.pool.set_products(wanted)
        eventually(lambda wanted=wanted: held() == sorted(wanted), 15)
        eventually(lambda: len(sockets()) == 2 == len(hub.connections()))
        after = {item: slot.connection_id for slot in hub.connections() for item in slot.product_ids}
        assert sorted(after) == sorted(wanted)
        moved += sum(after[item] != before[item] for item in after.keys() & before.keys())
    assert moved >= 3
    eventually(lambda: counted(hub, "moved") == moved)
    simulator.control("pause", {})
    happened = simulator.control("sent")["products"]
    for product_id in stay:
        found = ids.live[product_id]
        eventually(lambda found=found, product_id=product_id: found[-1] == happened[product_id]["last_id"])
        assert found == list(range(found[0], found[-1] + 1)), product_id
    assert [slot.reconnects for slot in hub.connections()] == [0, 0]
    assert counted(hub, "move_failed") == 0
    eventually(lambda: sum(thread.name.startswith("conn_") for thread in threading.enumerate()) == 2)


def test_product_lists_that_come_faster_than_products_go_over_miss_nothing(
    hub: PriceHub, simulator: SimulatorProcess
) -> None:
    """A handover that the list asks for is cut short by the next list: the source must not have let go."""
    ids = Ids(hub)
    hub.start()
    eventually(lambda: covered(hub))
    stay, other = (slot.product_ids for slot in hub.connections())
    target = next(row["index"] for row in simulator.control("connections")["open"] if other[0] in row["products"])
    simulator.control("fault", {"kind": "mute", "connections": [target], "seconds": 1.5})  # it takes nothing on as yet
    for count in (3, 2, 1, 3, 1):  # of 15 and these few: some go over
        hub.pool.set_products([*stay, *other[:count]])
        time.sleep(0.3)

    def held() -> list[str]:
        return sorted(item for row in simulator.control("connections")["open"] for item in row["products"])

    eventually(lambda: held() == sorted([*stay, *other[:1]]) and not hub.pool.transfers.running, 15)
    simulator.control("pause", {})
    happened = simulator.control("sent")["products"]
    for product_id in stay:
        found = ids.live[product_id]
        eventually(lambda found=found, product_id=product_id: found[-1] == happened[product_id]["last_id"])
        assert found == list(range(found[0], found[-1] + 1)), product_id
    assert [slot.reconnects for slot in hub.connections()] == [0, 0]


@pytest.mark.long
def test_a_hub_rotates_by_age(hub_factory: Callable[..., HubProcess]) -> None:
    process = hub_factory(simulator=["--products", str(PRODUCTS), "--rate", "100"], ROTATE_AFTER_SECONDS="2")
    process.wait_until_covered()

    def rows() -> list[dict[str, Any]]:
        return process.get("/connections").json()["connections"]

    eventually(lambda: all(row["generation"] >= 2 for row in rows()), 40)
    assert [row["reconnects"] for row in rows()] == [0, 0]
    assert process.get("/gaps").json()["count"] == 0
    assert process.health()["counters"]["rotated"] >= 4

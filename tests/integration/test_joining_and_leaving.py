"""Products listed and delisted while the hub runs: who joins, who leaves, and that the rest misses nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tests.conftest import HubProcess, eventually
from tests.drills.watchers import Collector
from tests.integration.test_socketio import Listener

SMALL = ["--products", "20", "--rate", "200"]
KEEP_SECONDS = 4.0


def start(hub_factory: Callable[..., HubProcess], **environment: str) -> HubProcess:
    """Return a covered hub that reads the product list every second, and soon lets go of what is delisted."""
    more = {"CATALOGUE_REFRESH_SECONDS": "1", "DELISTED_KEEP_SECONDS": f"{KEEP_SECONDS:g}", **environment}
    hub = hub_factory(**{"simulator": SMALL, **more})
    hub.wait_until_covered()
    return hub


def fault(hub: HubProcess, kind: str, **fields: Any) -> None:
    assert hub.simulator is not None
    hub.simulator.control("fault", {"kind": kind, **fields})


def sockets(hub: HubProcess) -> dict[int, frozenset[str]]:
    """Return, of each open connection of the simulator, what it is subscribed to."""
    assert hub.simulator is not None
    return {row["index"]: frozenset(row["products"]) for row in hub.simulator.control("connections")["open"]}


def touched(before: dict[int, frozenset[str]], after: dict[int, frozenset[str]]) -> int:
    return sum(before.get(index) != after.get(index) for index in before.keys() | after.keys())


def told(listener: Listener, event: str) -> list[tuple[str, str]]:
    return [(item["crypto"], item["reason"]) for item in listener.events[event]]


def trust(hub: HubProcess, product_id: str) -> str | None:
    return hub.get(f"/price/{product_id}").json().get("trust")


def test_a_listed_product_joins_and_a_delisted_one_leaves(hub_factory: Callable[..., HubProcess]) -> None:
    hub = start(hub_factory, QUOTE_CURRENCY="USD,EUR")
    everything, patterns, named = (Listener(hub.url) for _ in range(3))
    patterns.client.call("subscribe", {"products": ["*-EUR"]})
    answer = named.client.call("subscribe", {"products": ["SOL-USD", "NEW-USD"]})
    assert answer["unknown"] == ["NEW-USD"]
    before = sockets(hub)
    fault(hub, "list", products=["NEW-USD", "NEW-EUR", "NEW-GBP"])
    eventually(lambda: trust(hub, "NEW-USD") == trust(hub, "NEW-EUR") == "live", 4)
    for listener in (everything, patterns, named):
        eventually(lambda listener=listener: len(told(listener, "product_listed")) == 2, 2)
        assert {item for item, _ in told(listener, "product_listed")} == {"NEW-USD", "NEW-EUR"}
    eventually(lambda: [item for item in patterns.events["ticker_update"] if item["crypto"] == "NEW-EUR"], 4)
    assert named.client.call("subscribe", {"products": ["NEW-USD"]})["unknown"] == []  # told, it can ask for it
    eventually(lambda: [item for item in named.events["ticker_update"] if item["crypto"] == "NEW-USD"], 4)
    assert touched(before, sockets(hub)) <= 2
    assert hub.get("/price/NEW-GBP").status_code == 404

    fault(hub, "delist", products=["SOL-USD"])
    body = eventually(lambda: (seen := hub.get("/price/SOL-USD").json()).get("trust") == "delisted" and seen, 4)
    assert body["reason"] == "the exchange says status=delisted"
    for listener in (everything, patterns, named):
        eventually(lambda listener=listener: told(listener, "product_delisted"), 2)
        assert told(listener, "product_delisted") == [("SOL-USD", "the exchange says status=delisted")]
    assert hub.health()["total_products"] == 27  # 20 and 5 in EUR, 2 new
    eventually(lambda: hub.get("/price/SOL-USD").status_code == 404, KEEP_SECONDS + 4)
    for listener in (everything, patterns, named):
        eventually(lambda listener=listener: told(listener, "product_left"), 2)
        assert told(listener, "product_left") == [("SOL-USD", "the exchange says status=delisted")]
    body = hub.health()
    assert (body["total_products"], body["status"], body["coverage_percentage"]) == (26, "healthy", 100.0)
    eventually(lambda: not any("SOL-USD" in products for products in sockets(hub).values()), 4)
    assert sockets(hub).keys() == before.keys()  # nobody was reconnected
    assert "SOL-USD" not in hub.get("/tickers").json()
    for listener in (everything, patterns, named):
        listener.close()


def test_what_left_may_come_back_and_is_owed_nothing(hub_factory: Callable[..., HubProcess]) -> None:
    hub = start(hub_factory, PRODUCTS="BTC-USD,ETH-USD,LATER-USD", DELISTED_KEEP_SECONDS="0")
    assert hub.health()["unknown_products"] == ["LATER-USD"]
    assert hub.simulator is not None
    fault(hub, "delist", products=["ETH-USD"], unlisted=True)  # two lists in a row lack it
    eventually(lambda: hub.health()["unknown_products"] == ["ETH-USD", "LATER-USD"], 6)
    hub.simulator.control("clear", {})
    eventually(lambda: trust(hub, "ETH-USD") == "live", 4)
    fault(hub, "list", products=["LATER-USD"])
    eventually(lambda: trust(hub, "LATER-USD") == "live", 4)
    assert hub.health()["unknown_products"] == []
    assert hub.get("/gaps").json()["gaps"] == []


def test_a_suspicious_list_moves_nobody(hub_factory: Callable[..., HubProcess]) -> None:
    hub = start(hub_factory, CATALOGUE_REFRESH_SECONDS="2")
    before = sockets(hub)
    listener = Listener(hub.url)
    refused = lambda: hub.log().count("no product list from the exchange")  # noqa: E731
    for how in ({"half": True}, {"tenfold": True}, {"body": "[]"}, {"html": True}):
        fault(hub, "rest", seconds=None, **how)
        tried = refused()
        eventually(lambda tried=tried: refused() > tried, 20)  # each failure doubles the wait: 16 s at the most
    assert hub.health()["status"] == "warning"  # old by now: two refreshes were missed
    assert hub.health()["total_products"] == 20
    assert sockets(hub) == before
    assert not listener.events.keys() & {"product_listed", "product_delisted", "product_left"}
    listener.close()


def complete(collector: Collector, sent: dict[str, Any], product_ids: Sequence[str]) -> list[str]:
    """Return, in words, which of these products lack a trade, have one twice, or had one only by repair."""
    wrong = []
    for product_id in product_ids:
        live = collector.live[product_id]
        last_id = sent[product_id]["last_id"]
        if collector.backfilled[product_id] or not live or live != list(range(live[0], last_id + 1)):
            late = collector.backfilled[product_id][:3]
            wrong.append(f"{product_id}: {len(live)} live, {live[-1:]} of {last_id}, backfilled {late}")
    return wrong


def test_45_come_and_20_go_at_1500_ticks_a_second_and_the_rest_misses_nothing(
    hub_factory: Callable[..., HubProcess],
) -> None:
    hub = start(
        hub_factory, simulator=["--rate", "1500"], CATALOGUE_REFRESH_SECONDS="3", DELISTED_KEEP_SECONDS="6",
        CLIENT_BUFFER_BYTES="100000000",  # our client may lag on a busy machine, and must get every tick
    )  # fmt: skip
    simulator = hub.simulator
    assert simulator is not None
    collector = Collector(hub.url)
    eventually(lambda: len(collector.live) == 326, 10)
    old = tuple(collector.live)
    coming, going = [f"NEW{number:02d}-USD" for number in range(45)], list(old[5:325:16])
    assert len(going) == 20
    staying = [item for item in old if item not in going]
    before = sockets(hub)
    assert len(before) == 22
    fault(hub, "list", products=coming)
    fault(hub, "delist", products=going)
    # within a refresh (3 s), and what the subscriptions and the first trades take
    eventually(lambda: hub.health()["trust"]["delisted"] == 20 and hub.health()["total_products"] == 371, 5)
    eventually(lambda: set(coming) <= collector.live.keys(), 5)
    joined = sockets(hub)
    assert before.keys() <= joined.keys()
    assert len(joined) == 25
    assert all(before[index] <= joined[index] for index in before)  # who stays, stays
    assert touched(before, joined) <= 7  # three new ones, and four that had room
    eventually(lambda: hub.health()["total_products"] == 351, 14)
    eventually(lambda: not frozenset(going) & frozenset().union(*sockets(hub).values()), 5)
    left = sockets(hub)
    assert left.keys() == joined.keys()
    simulator.control("pause", {})
    sent = simulator.control("sent")["products"]
    quiet = lambda: all(collector.live[item][-1:] == [sent[item]["last_id"]] for item in [*staying, *coming])  # noqa: E731
    eventually(quiet, 30)
    assert complete(collector, sent, [*staying, *coming]) == []
    assert hub.get("/gaps").json()["gaps"] == []
    slots = hub.get("/connections").json()["connections"]
    assert {(slot["status"], slot["reconnects"]) for slot in slots} == {("connected", 0)}
    assert [slot["connection_id"] for slot in slots] == [f"conn_{number:03d}" for number in range(25)]
    assert hub.health()["coverage_percentage"] == 100.0
    collector.close()

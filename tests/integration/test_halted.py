"""Products that the exchange halts or delists while the hub runs, and what every reader is told of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import HubProcess, eventually
from tests.integration.test_socketio import Listener

SMALL = ["--products", "20", "--rate", "200"]


def start(hub_factory: Callable[..., HubProcess], **environment: str) -> HubProcess:
    """Return a covered hub that reads the product list every second."""
    hub = hub_factory(**{"simulator": SMALL, "CATALOGUE_REFRESH_SECONDS": "1", **environment})
    hub.wait_until_covered()
    return hub


def list_as(hub: HubProcess, product_id: str, status: str | None, **fields: Any) -> None:
    assert hub.simulator is not None
    hub.simulator.control("fault", {"kind": "status", "product": product_id, "status": status, **fields})


def price(hub: HubProcess, product_id: str) -> dict[str, Any]:
    return hub.get(f"/price/{product_id}").json()


def told(listener: Listener, product_id: str) -> list[tuple[str, str, str]]:
    """Return (previous, trust, reason) of each ``trust_update`` of a product."""
    updates = [item for item in listener.events["trust_update"] if item["crypto"] == product_id]
    return [(item["previous"], item["trust"], item["reason"]) for item in updates]


def undisturbed(hub: HubProcess) -> None:
    """The hub is well and has touched no connection."""
    body = hub.health()
    assert (body["status"], body["reasons"], body["coverage_percentage"]) == ("healthy", [], 100.0)
    slots = hub.get("/connections").json()["connections"]
    assert [(slot["status"], slot["reconnects"], slot["generation"]) for slot in slots] == [
        ("connected", 0, 0) for _ in slots
    ]
    assert "resubscribe product" not in hub.log()
    assert "move product" not in hub.log()


@pytest.mark.parametrize(
    ("status", "fields", "trust", "reason"),
    [
        ("offline", {}, "halted", "the exchange says status=offline"),
        ("online", {"trading_disabled": True}, "halted", "the exchange says trading_disabled=true"),
        ("delisted", {}, "delisted", "the exchange says status=delisted"),
        (None, {}, "delisted", "the exchange does not list it any more"),
    ],
)
def test_a_product_leaves_the_market_and_comes_back(
    hub_factory: Callable[..., HubProcess], status: str | None, fields: dict[str, Any], trust: str, reason: str
) -> None:
    hub = start(hub_factory, STALE_AFTER_MS="2800")
    listener = Listener(hub.url)
    list_as(hub, "BTC-USD", status, **fields)
    body = eventually(lambda: (seen := price(hub, "BTC-USD"))["trust"] == trust and seen, 4)  # two lists
    assert body["reason"] == reason
    assert body["price"] > 0
    eventually(lambda: told(listener, "BTC-USD"), 2)
    assert told(listener, "BTC-USD")[-1] == ("live", trust, reason)
    assert hub.health()["trust"][trust] == 1
    # the price stays, with its ages; heartbeats prove a halted one, and no delisted one
    body = eventually(lambda: (seen := price(hub, "BTC-USD"))["age_ms"] > 3_000 and seen, 6)
    assert body["trust"] == trust
    assert (body["verified_ms"] <= 2_000) is (trust == "halted")
    answer = hub.get("/price/BTC-USD", params={"max_age_ms": 2_000})
    assert (answer.status_code, answer.json()["trust"]) == (200 if trust == "halted" else 503, trust)
    assert hub.get("/price/BTC-USD", params={"max_tick_age_ms": 2_000}).status_code == 503
    assert hub.get("/tickers/BTC-USD").json()["trust"] == trust
    assert hub.get("/price/BTC-USD/explain").json()["history"][-1]["trust"] == trust
    undisturbed(hub)
    list_as(hub, "BTC-USD", "online")
    eventually(lambda: price(hub, "BTC-USD")["trust"] in ("live", "quiet"), 4)
    eventually(lambda: told(listener, "BTC-USD")[-1][1] in ("live", "quiet"), 2)
    assert {item["crypto"] for item in listener.events["trust_update"] if item["trust"] == trust} == {"BTC-USD"}
    undisturbed(hub)
    listener.close()


def test_what_is_halted_from_the_start_is_watched_and_what_is_delisted_is_unknown(
    hub_factory: Callable[..., HubProcess], tmp_path: Path
) -> None:
    first = start(hub_factory)
    simulator = first.simulator
    assert simulator is not None
    list_as(first, "BTC-USD", "offline")
    list_as(first, "ETH-USD", "delisted")
    ours = {"WS_URL": simulator.ws_url, "REST_URL": simulator.rest_url, "WS_DIALECT": "exchange",
            "CATALOGUE_REFRESH_SECONDS": "1"}  # fmt: skip
    hubs = []
    try:
        for name, more in (("named", {"MONITORING_CRYPTOS": "BTC-USD,ETH-USD,SOL-USD"}), ("all", {})):
            (tmp_path / name).mkdir()
            hubs.append(HubProcess(None, {**ours, "STATE_DIR": str(tmp_path / name), **more}, []))
        named, everything = hubs
        body = named.wait_until_covered()
        assert (body["total_products"], body["unknown_products"]) == (2, ["ETH-USD"])
        eventually(lambda: price(named, "BTC-USD").get("trust") == "halted", 3)
        eventually(lambda: price(named, "SOL-USD").get("trust") == "live", 3)
        assert everything.wait_until_covered()["total_products"] == 18
        assert everything.get("/price/BTC-USD").status_code == 404
        list_as(first, "BTC-USD", "online")
        eventually(lambda: price(named, "BTC-USD")["trust"] == "live", 4)
        eventually(lambda: price(everything, "BTC-USD").get("trust") == "live", 4)  # it fits now, and joins
    finally:
        for hub in hubs:
            hub.stop()


def test_a_connection_whose_only_product_is_delisted_may_be_silent(hub_factory: Callable[..., HubProcess]) -> None:
    hub = start(hub_factory, MONITORING_CRYPTOS="BTC-USD,ETH-USD", PRODUCTS_PER_CONNECTION="1", MISSED_HEARTBEATS="2")
    list_as(hub, "BTC-USD", "delisted")
    # the watchdog's limit is 2 s, and a connection without heartbeats would be named after 5
    eventually(lambda: price(hub, "BTC-USD")["verified_ms"] > 6_500, 10)
    assert price(hub, "BTC-USD")["trust"] == "delisted"
    undisturbed(hub)
    list_as(hub, "BTC-USD", "online")
    eventually(lambda: price(hub, "BTC-USD")["trust"] == "live", 5)
    undisturbed(hub)


def test_while_rest_is_down_what_was_halted_stays_so_until_it_trades(hub_factory: Callable[..., HubProcess]) -> None:
    hub = start(hub_factory)
    list_as(hub, "BTC-USD", "offline")
    eventually(lambda: price(hub, "BTC-USD")["trust"] == "halted", 3)
    assert hub.simulator is not None
    hub.simulator.control("fault", {"kind": "rest", "seconds": None, "half": True})  # half of the list is suspicious
    body = eventually(lambda: (seen := hub.health())["status"] == "warning" and seen, 9)  # two tries
    assert "the product list is old" in body["reasons"][0]
    assert "not believed yet" in body["reasons"][0]
    assert (body["trust"]["halted"], body["trust"]["delisted"]) == (1, 0)
    list_as(hub, "BTC-USD", "online")  # it trades again, and no list can say so
    eventually(lambda: price(hub, "BTC-USD")["trust"] == "live", 4)
    assert "not believed yet" in hub.health()["reasons"][0]
    hub.simulator.control("clear", {})
    eventually(lambda: price(hub, "BTC-USD")["trust"] == "live" and hub.health()["status"] == "healthy", 20)

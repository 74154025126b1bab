"""The in-process interface: ``from hub import PriceHub``, on native threads, as the older scripts use it."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from typing import Any

import pytest

from hub import PriceHub
from hub.config import load
from hub.simulator.launch import launch
from tests.conftest import eventually


@pytest.fixture
def handler(tmp_path):
    with launch(["--products", "20", "--rate", "300"]) as simulator:
        environment = {
            "WS_URL": simulator.ws_url, "REST_URL": simulator.rest_url, "WS_DIALECT": "exchange",
            "STATE_DIR": str(tmp_path),
        }  # fmt: skip
        hub = PriceHub(load([], environment, None).settings)
        hub.start()
        yield hub
        hub.stop()


def test_the_older_names(handler: PriceHub) -> None:
    events: defaultdict[str, list[Any]] = defaultdict(list)
    handler.on("ticker_update", events["ticker_update"].append)
    handler.on("priority_ticker_update", events["priority_ticker_update"].append)
    eventually(lambda: len(handler.getAllTickers()) == 20)
    assert type(handler.getCurrentTicker("btc-usd")["price"]) is float
    assert handler.getCurrentTicker("NOPE-USD") is None
    assert handler.getAllTickers()["ETH-USD"]["crypto"] == "ETH-USD"
    handler.addPriorityPair("BTC-USD")
    handler.addPriorityPair("ETH-USD")
    assert handler.getPriorityPairs() == ["BTC-USD", "ETH-USD"]
    eventually(lambda: {event["crypto"] for event in events["priority_ticker_update"]} == {"BTC-USD", "ETH-USD"})
    handler.removePriorityPair("ETH-USD")
    assert handler.getPriorityStats()["totalPriorityPairs"] == 1
    handler.clearPriorityPairs()
    assert handler.getPriorityPairs() == []
    with pytest.raises(KeyError):
        handler.addPriorityPair("NOPE-USD")
    with pytest.raises(ValueError, match="BTC-USD"):
        handler.addPriorityPair("nonsense")
    assert handler.getHealthSummary()["status"] == "healthy"
    eventually(lambda: len(events["ticker_update"]) > 200)
    assert all(event["simulated"] for event in events["ticker_update"])


def test_a_listener_that_raises_is_counted_and_harms_nobody(handler: PriceHub) -> None:
    got: list[Any] = []

    def broken(_: Any) -> None:
        raise (RuntimeError, SystemExit)[len(got) % 2]("a listener's bug")

    handler.on("ticker_update", broken)
    handler.on("ticker_update", got.append)
    eventually(lambda: len(got) > 50)
    assert handler.counters["listener_errors"] >= 50
    assert handler.getHealthSummary()["connected_connections"] == 2


@pytest.mark.parametrize("feed", ["exchange", "both"])
def test_disconnect_leaves_no_thread_behind(tmp_path, feed: str) -> None:
    before = set(threading.enumerate())
    with launch(["--products", "40", "--rate", "100"]) as simulator:
        environment = {
            "WS_URL": simulator.ws_url, "REST_URL": simulator.rest_url, "WS_DIALECT": "exchange",
            "STATE_DIR": str(tmp_path), "FEED": feed, "ADVANCED_TRADE_WS_URL": simulator.advanced_trade_ws_url,
            "ADVANCED_TRADE_REST_URL": simulator.advanced_trade_rest_url,
        }  # fmt: skip
        hub = PriceHub(load([], environment, None).settings).start()
        last: dict[str, int] = {}
        disorder: list[tuple[int, int]] = []

        def hear(tick: dict[str, Any]) -> None:
            product_id, trade_id = tick["crypto"], tick["trade_id"]
            if trade_id <= last.get(product_id, -1):
                disorder.append((last[product_id], trade_id))
            last[product_id] = trade_id

        hub.on("ticker_update", hear)
        eventually(lambda: hub.getHealthSummary()["coverage_percentage"] == 100)
        eventually(lambda: {slot.status for slot in hub.connections()} == {"connected"})
        time.sleep(1)
        hub.disconnect()
        hub.disconnect()
        assert not disorder
    assert set(threading.enumerate()) - before == set()
    assert {slot.status for slot in hub.connections()} == {"disconnected"}

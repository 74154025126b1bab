"""Strangers who would blind the operator: with alerts that break a page or fill the journal, with priority pairs."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
import requests

from hub.journal import SHARES
from tests.browser.conftest import Page, start_browser
from tests.browser.test_charts import look_at, rows
from tests.browser.test_strange_data import HUGE, is_quick, told
from tests.conftest import HubProcess, eventually
from tests.integration.test_socketio import Listener
from tests.support.attack import Target, under_attack

FLOOD_SECONDS = 4
STRANGERS = 100
NO_TEXT: dict[str, Any] = {"toString": None, "valueOf": 1}
BAD = [
    {"symbol": "BTC-USD", "old_price": HUGE, "new_price": HUGE}, {"symbol": "BTC-USD", "pct_change": HUGE},
    {"symbol": "BTC-USD", "spike_type": NO_TEXT}, {"symbol": NO_TEXT}, {"spike_type": "x" * 2_000},
    {"crypto": "BTC-USD", "current_vol": HUGE, "avg_vol": "1"}, {"crypto": ["BTC-USD"], "current_vol": 1},
    {"nested": [[[[[[[[[[]]]]]]]]]]},
]  # fmt: skip
ODD = [
    {"symbol": "__proto__", "spike_type": "constructor", "pct_change": 1e308, "old_price": 1e-300, "new_price": "1e99"},
    {"crypto": "toString", "current_vol": 1e308, "avg_vol": 1e-308, "ticker": {"price": HUGE}},
    {"crypto": "BTC-USD", "ratio": -1e300, "ticker": NO_TEXT, "text": "y" * 2_000},
]  # fmt: skip


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    driver = start_browser(tmp_path)
    yield Page(driver)
    driver.quit()


def signals(target: Target, query: str) -> list[dict[str, Any]]:
    return target.get(f"/signals?{query}")["signals"]


def post_alert(port: int, address: str, body: dict[str, Any]) -> int:
    """Send an alert from one of the loopback's addresses; return the status."""
    connection = HTTPConnection("127.0.0.1", port, timeout=5, source_address=(address, 0))
    try:
        connection.request("POST", "/alert", json.dumps(body), {"Content-Type": "application/json"})
        return connection.getresponse().status
    finally:
        connection.close()


def fault(target: Target, kind: str, **more: Any) -> None:
    assert target.hub.simulator is not None
    target.hub.simulator.control("fault", {"kind": kind, **more})


def outage(target: Target, seconds: float) -> None:
    fault(target, "refuse", status=503, seconds=seconds)
    fault(target, "kill", connections="all")


def test_no_alert_of_a_stranger_stops_a_dashboard(hub_factory: Callable[..., HubProcess], page: Page) -> None:
    with under_attack(hub_factory) as target:
        page.open(target.hub.url)
        page.wait_until_live()
        look_at(page, "#alerts")
        stranger = Listener(target.hub.url, ["websocket"])
        with target.attack():
            for alert in BAD:
                assert stranger.client.call("spike_alert", alert)["success"] is False or "crypto" in alert
                answer = requests.post(target.hub.url + "/alert", json=alert, timeout=5)
                assert answer.status_code == 400 or "crypto" not in alert
            for alert in ODD:
                stranger.client.call("spike_alert", alert)
                requests.post(target.hub.url + "/alert", json=alert, timeout=5)
            eventually(lambda: len(rows(page, "#alerts-list li")) >= len(ODD))
            is_quick(page)
        assert told(page) == ""
        page.open(target.hub.url)  # and one that is opened later
        page.wait_until_live()
        look_at(page, "#alerts")
        eventually(lambda: len(rows(page, "#alerts-list li")) >= len(ODD))
        is_quick(page)
        stranger.close()


def test_strangers_alerts_push_nothing_of_the_hub_out(hub_factory: Callable[..., HubProcess]) -> None:
    with under_attack(hub_factory, PRIORITY_PAIRS="BTC-USD") as target:
        fault(target, "rest", status=503, seconds=60)
        fault(target, "stuck", product="BTC-USD", seconds=60)
        own = eventually(lambda: signals(target, "event=hub_alert"), 30)
        # a product that is stuck has its connection replaced, which is no doing of the attack's
        with target.attack(reconnects=10):
            last_id = target.get("/journal?limit=1")["last_id"]
            sent = 0
            for second in range(FLOOD_SECONDS):
                ends_at = time.monotonic() + 1.0
                for number in range(STRANGERS):  # of an address each: what one may send is bounded
                    body = {"crypto": f"P{second}{number}-USD", "current_vol": 3, "avg_vol": 1}
                    sent += post_alert(target.hub.port, f"127.0.1.{number + 1}", body) == 200
                    time.sleep(max(0.0, (ends_at - time.monotonic()) / (STRANGERS - number)))
        assert sent > 0.9 * STRANGERS * FLOOD_SECONDS
        shown = signals(target, "limit=100")
        assert own[-1] in shown
        relayed = [entry for entry in target.get(f"/journal?kind=alert&after={last_id}&limit=1000")["events"]
                   if entry["data"]["event"] == "trade_update"]  # fmt: skip
        assert len(relayed) <= min(25 * (FLOOD_SECONDS + 1), SHARES["relayed"])
        print(f"{sent} alerts of a stranger: {len(relayed)} in the journal")


def test_strangers_priority_pairs_move_nothing_and_call_for_nobody_twice(
    hub_factory: Callable[..., HubProcess],
) -> None:
    with under_attack(hub_factory, PRIORITY_PAIRS="BTC-USD", BACKOFF_BASE_SECONDS="0.2") as target:
        products = sorted(target.get("/tickers"))
        url = target.hub.url + "/priority-pairs"
        listener = Listener(target.hub.url, ["websocket"])
        with target.attack():
            before = target.get("/connections/conn_000")["products"]
            requests.put(url, json={"product_ids": [item["product"] for item in before]}, timeout=5)
            eventually(lambda: target.get("/plan")["measured_seconds"] > 2, 30)
            slot = target.get("/plan")["connections"][0]
            pinned = any(item["product"] == "BTC-USD" for item in before)
            if not pinned:
                assert slot["load"] == pytest.approx(slot["ticks_per_second"] + slot["products"], abs=0.2)
            assert slot["priority_products"] == len(before)
        # an outage of the exchange is silence for everybody: of the bounds, that of the process alone holds
        target.ask("mark")
        requests.put(url, json={"product_ids": products}, timeout=5)
        fault(target, "rest", status=503, seconds=20)  # or REST would prove the prices
        outage(target, 20)
        eventually(lambda: listener.events["hub_alert"], 15)
        time.sleep(4)
        ends_at = time.monotonic() + 6
        while time.monotonic() < ends_at:
            requests.put(url, json={"product_ids": products[::2]}, timeout=5)
            requests.put(url, json={"product_ids": products[1::2]}, timeout=5)
            time.sleep(0.1)
        requests.delete(url, timeout=5)
        stats = target.get("/priority-pairs")
        assert (stats["priorityPairs"], stats["pinned"]) == (["BTC-USD"], ["BTC-USD"])
        assert target.ask("report")["live_ms"] <= 250
        eventually(lambda: target.get("/alerts")["count"] == 0, 40)
        keys = Counter((event["key"], event["state"]) for event in listener.events["hub_alert"])
        print(f"hub_alerts of the outage: {dict(keys)}")
        assert keys["connections:none", "firing"] == keys["connections:none", "resolved"] == 1
        assert keys["priority:others", "firing"] == keys["priority:others", "resolved"] == 1
        assert keys.total() <= 16
        assert len(target.get("/journal?kind=priority")["events"]) <= 3
        listener.close()


@pytest.mark.long
def test_an_outage_is_followed_by_no_storm_of_volume_alerts(hub_factory: Callable[..., HubProcess]) -> None:
    usual = ["--products", "100", "--rate", "1500"]
    settings = {"WINDOW_MINUTES": "0.1", "BACKOFF_BASE_SECONDS": "0.2"}
    with under_attack(hub_factory, simulator=usual, **settings) as target:
        listener = Listener(target.hub.url, ["websocket"])

        def alerts_in(seconds: float) -> float:
            before = len(listener.events["volume_alert"])
            time.sleep(seconds)
            return (len(listener.events["volume_alert"]) - before) / seconds

        time.sleep(25)  # six windows of 6 s: what is usual is known
        before = alerts_in(10)
        outage(target, 20)
        eventually(lambda: target.get("/health")["connected_connections"] == 0)
        eventually(lambda: (found := target.get("/health"))["connected_connections"] == found["total_connections"], 60)
        after = [alerts_in(3) for _ in range(8)]
        print(f"volume alerts a second: {before} before the outage, {after} after it")
        assert max(after) <= 2 * before + 2
        listener.close()

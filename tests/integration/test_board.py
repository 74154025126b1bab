"""What the dashboard reads of products, connections and clients, against a running hub."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
import socketio

from tests.conftest import HubProcess, eventually
from tests.integration.test_fanout_clients import RawClient
from tests.integration.test_socketio import Listener

COLUMNS = ("price", "bid", "ask", "change_percent", "volume_quote", "trust", "age_ms", "verified_ms", "rhythm_ms",
           "connection", "open_gaps")  # fmt: skip


@pytest.mark.parametrize("prefix", ["", "/api"])
def test_the_board_has_every_product_in_every_column(hub: HubProcess, prefix: str) -> None:
    body = hub.get(prefix + "/board").json()
    assert len(body["products"]) == len(set(body["products"])) == 326
    assert body["simulated"] is True
    assert abs(datetime.fromisoformat(body["time"]).timestamp() - time.time()) < 2
    for name in COLUMNS:
        assert len(body[name]) == 326, name
    tickers = hub.get("/tickers").json()
    volumes = []
    for index, item in enumerate(body["products"]):
        ticker = tickers[item]
        assert isinstance(body["price"][index], str)
        assert abs(float(body["price"][index]) / ticker["price"] - 1) < 0.05
        assert float(body["bid"][index]) <= float(body["ask"][index])
        assert abs(body["change_percent"][index] - ticker["price_change_percent_24h"]) < 5
        assert body["verified_ms"][index] < 5_000
        volumes.append(body["volume_quote"][index])
    assert sorted(volumes[:20], reverse=True)[:3] == sorted(volumes, reverse=True)[:3]
    slots = {slot["connection_id"] for slot in hub.get("/connections").json()["connections"]}
    assert set(body["connection"]) == slots
    assert set(body["trust"]) <= {"live", "quiet"}
    assert body["reasons"] == {}


def test_many_readers_share_one_body(hub: HubProcess) -> None:
    times = [hub.get("/board").json()["time"] for _ in range(20)]
    begun, ended = (datetime.fromisoformat(item).timestamp() for item in (times[0], times[-1]))
    assert len(set(times)) <= (ended - begun) / 0.5 + 1


def test_the_rhythm_of_a_busy_product(hub: HubProcess) -> None:
    body = eventually(lambda: (found := hub.get("/board").json())["rhythm_ms"][0] and found)
    assert body["rhythm_ms"][0] == 1_000  # many a second; finer is not told
    assert all(item is None or item >= 1_000 for item in body["rhythm_ms"])


def test_sparklines(hub: HubProcess) -> None:
    body = hub.get("/sparklines?products=BTC-USD,eth-usd,NOPE-USD").json()
    assert set(body["prices"]) == {"BTC-USD", "ETH-USD"}
    assert body["step_seconds"] == 60
    assert 0 < datetime.fromisoformat(body["end"]).timestamp() - time.time() < 61
    price = hub.get("/price/BTC-USD").json()["price"]
    assert len(body["prices"]["BTC-USD"]) == 60
    assert abs(body["prices"]["BTC-USD"][-1] / price - 1) < 0.05


@pytest.mark.parametrize("query", ["", "?products=", "?products=<img>", "?products=" + ",".join(["BTC-USD"] * 101)])
def test_sparklines_of_what_are_no_ids(hub: HubProcess, query: str) -> None:
    answer = hub.get("/sparklines" + query)
    assert answer.status_code == 400
    assert "100 ids" in answer.json()["error"]


def test_connections_say_how_they_beat(hub: HubProcess) -> None:
    def lively() -> list[dict[str, Any]]:
        slots = hub.get("/connections").json()["connections"]
        return slots if all(slot["beats"][-3:].strip("dh") == "" for slot in slots) else []

    for slot in eventually(lively):
        assert len(slot["beats"]) == 60
        assert "d" in slot["beats"][-5:]  # some tick came lately
        assert slot["path"] == "exchange"
        assert 0 <= slot["last_frame_age_ms"] < 5_000
        assert abs(slot["age_seconds"] - slot["uptime_seconds"]) < 0.1
        assert slot["rotate_in_seconds"] > 0
        assert slot["gaps"] == 0


def test_one_connection(hub: HubProcess) -> None:
    listed = hub.get("/connections").json()["connections"][3]
    body = hub.get("/connections/conn_003").json()
    assert set(listed) < set(body)
    assert body["connection_id"] == "conn_003"
    assert len(body["products"]) == body["products_count"] == listed["products_count"]
    for entry in body["products"]:
        assert entry["trust"] in ("live", "quiet")
        assert entry["age_ms"] >= 0
        assert entry["set_aside"] is None
    times = [frame["time"] for frame in body["last_frames"]]
    assert len(times) == 10
    assert times == sorted(times, reverse=True)
    assert {json.loads(frame["frame"])["type"] for frame in body["last_frames"]} <= {"ticker", "heartbeat"}
    for event in body["events"]:
        assert "conn_003" in (event["connection_id"], *event["data"].get("connections", ()))


@pytest.mark.parametrize("name", ["conn_999", "nope", "%3Cimg%3E"])
def test_a_connection_that_is_not_there(hub: HubProcess, name: str) -> None:
    answer = hub.get("/connections/" + name)
    assert answer.status_code == 404
    assert answer.json()["error"].endswith("not found")


def beats(hub: HubProcess) -> str:
    return hub.get("/connections/conn_000").json().get("beats", "")


@pytest.mark.long
def test_a_loss_a_silence_and_a_refusal_show_in_the_beats(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(simulator=["--products", "15", "--rate", "300"], BACKOFF_CAP_SECONDS="1")
    assert hub.simulator is not None
    eventually(lambda: beats(hub).endswith("ddd"))
    hub.simulator.control("fault", {"kind": "kill", "connections": "all"})
    eventually(lambda: "c" in beats(hub)[-3:], 2)
    slot = eventually(lambda: (found := hub.get("/connections/conn_000").json())["beats"].endswith("cdd") and found)
    assert slot["reconnects"] == 1
    assert slot["gaps"] >= 1
    assert slot["gaps"] == sum(gap["connection_id"] == "conn_000" for gap in hub.get("/gaps").json()["gaps"])
    hub.simulator.control("fault", {"kind": "mute", "connections": "all", "seconds": 600})
    eventually(lambda: "ds" in beats(hub), 4)
    eventually(lambda: beats(hub).endswith("dd"), 6)
    hub.simulator.control("fault", {"kind": "refuse", "seconds": 60, "status": 503})
    hub.simulator.control("fault", {"kind": "rest", "seconds": 60, "status": 500})
    hub.simulator.control("fault", {"kind": "kill", "connections": "all"})
    eventually(lambda: beats(hub).endswith("xx"), 20)  # failed: five in a row
    body = hub.get("/board").json()
    assert body["trust"][0] == "behind"
    assert set(body["reasons"]) == {item for item, it in zip(body["products"], body["trust"], strict=True)
                                    if it not in ("live", "quiet")}  # fmt: skip
    assert sum(body["open_gaps"]) == sum(gap["product"] is not None for gap in
                                         hub.get("/gaps?open=true").json()["gaps"])  # fmt: skip


@pytest.mark.long
def test_beats_go_on_over_rotations(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(simulator=["--products", "15", "--rate", "300"], ROTATE_AFTER_SECONDS="2")
    row = eventually(lambda: (found := hub.get("/connections/conn_000").json()).get("generation", 0) >= 3 and found, 30)
    assert 0 <= row["rotate_in_seconds"] <= 2
    line = row["beats"].lstrip(".")
    assert len(line) >= 6
    assert "." not in line, line
    assert set(line.lstrip("c")) <= {"d", "h"}, line


def test_heartbeats_alone(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(simulator=["--products", "3", "--rate", "0"])
    eventually(lambda: beats(hub).endswith("hhhhh"))


def test_clients_those_that_lag_first(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(simulator=["--products", "150", "--rate", "300"], CLIENT_BUFFER_BYTES="65536")
    hub.wait_until_covered()
    assert hub.get("/clients").json() == {"count": 0, "behind": 0, "clients": [], "simulated": True}
    listener = Listener(hub.url)
    eventually(lambda: listener.events["ticker_update"])
    listener.client.call("subscribe", {"products": ["BTC-USD", "*-USD", "*-EUR"], "max_hz": 5, "batch": True})
    poller = socketio.Client()
    poller.connect(hub.url, transports=["polling"])
    slow = RawClient(hub)  # reads nothing
    try:
        body = eventually(lambda: (found := hub.get("/clients").json())["behind"] and found, 20)
        assert body["count"] == 3
        first, *others = body["clients"]
        assert first["behind"]
        assert not any(client["behind"] for client in others)

        def lagging() -> dict[str, Any] | None:
            found = hub.get("/clients").json()["clients"][0]
            return found if found["behind_seconds"] > 1 and found["conflated_total"] else None

        first = eventually(lagging)
        assert first["behind"]
        assert first["transport"] == "websocket"
        assert first["pending_bytes"] > 0
        assert first["products"] is first["max_hz"] is None
        (chooser,) = [client for client in others if client["max_hz"] is not None]
        assert (chooser["products"], chooser["max_hz"], chooser["batch"]) == (150, 5.0, True)
        assert {client["transport"] for client in others if client is not chooser} == {"polling"}
        text = hub.get("/clients").text
        for client in (listener.client, poller):
            assert client.sid not in text
            assert client.eio.sid not in text

        def taking() -> bool:
            return all(client["bytes_per_second"] > 10_000 for client in hub.get("/clients").json()["clients"][1:])

        eventually(taking)
    finally:
        slow.sock.close()
        poller.disconnect()
        listener.close()
    eventually(lambda: hub.get("/clients").json()["count"] == 0)

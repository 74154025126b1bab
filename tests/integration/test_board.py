"""What the dashboard reads of products, connections and clients, against a running hub."""

from __future__ import annotations

import time
from datetime import datetime

import pytest

from tests.conftest import HubProcess, eventually

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

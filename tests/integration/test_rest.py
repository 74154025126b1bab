"""Every REST row of the contract, against a running hub."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest
import requests

from hub.hub import PriceHub
from hub.settings import Settings
from hub.web.app import create_app
from tests.conftest import HubProcess, eventually
from tests.integration.test_socketio import check_ticker

PREFIXES = ["", "/api"]


def strict(response: requests.Response) -> Any:
    """Parse strict JSON: no NaN, no Infinity."""
    assert response.headers["Content-Type"] == "application/json"

    def refuse(text: str) -> None:
        raise AssertionError(f"{text} is no JSON")

    return json.loads(response.content.decode("utf-8"), parse_constant=refuse)


def is_time(text: str) -> bool:
    return datetime.fromisoformat(text).tzinfo is not None


@pytest.fixture(autouse=True)
def no_priority_pairs(hub: HubProcess) -> Iterator[None]:
    yield
    requests.delete(hub.url + "/priority-pairs", timeout=5)


@pytest.mark.parametrize("prefix", PREFIXES)
def test_health(hub: HubProcess, prefix: str) -> None:
    response = hub.get(prefix + "/health")
    body = strict(response)
    assert response.status_code == 200
    assert body["status"] == "healthy"
    assert body["total_connections"] == body["connected_connections"] == 22
    assert body["total_products"] == body["active_products"] == body["price_samples"] == 326
    assert body["coverage_percentage"] == 100
    assert body["total_messages_received"] > 326
    assert body["total_errors"] == 0
    assert body["uptime_seconds"] > 0
    assert 0 < body["ticking_products"] <= 326
    assert is_time(body["last_updated"])
    assert body["simulated"] is True


@pytest.mark.parametrize("prefix", PREFIXES)
def test_connections(hub: HubProcess, prefix: str) -> None:
    body = strict(hub.get(prefix + "/connections"))
    assert body["total_connections"] == body["connected"] == 22
    slots = body["connections"]
    assert [slot["connection_id"] for slot in slots] == [f"conn_{index:03d}" for index in range(22)]
    assert sum(slot["products_count"] for slot in slots) == 326
    counts = [slot["products_count"] for slot in slots]
    assert max(counts) <= 15
    assert max(counts) < min(counts) * 4 / 3
    for slot in slots:
        assert slot["status"] == "connected"
        assert slot["total_messages"] > 0
        assert slot["error_count"] == 0
        assert slot["uptime_seconds"] > 0
        assert is_time(slot["last_heartbeat"])
        assert is_time(slot["last_message"])


@pytest.mark.parametrize("prefix", PREFIXES)
def test_prices(hub: HubProcess, prefix: str) -> None:
    body = strict(hub.get(prefix + "/prices"))
    assert body["count"] == len(body["prices"]) == 50
    assert is_time(body["timestamp"])
    ten = strict(hub.get(prefix + "/prices?limit=10"))
    assert ten["count"] == len(ten["prices"]) == 10
    times = [entry["last_updated"] for entry in ten["prices"].values()]
    assert times == sorted(times, reverse=True)
    for entry in ten["prices"].values():
        assert type(entry["price"]) is float
        assert type(entry["volume_24h"]) is float
        assert is_time(entry["last_updated"])
    assert strict(hub.get(prefix + "/prices?limit=1000"))["count"] == 326
    assert strict(hub.get(prefix + "/prices?limit=" + "9" * 30))["count"] == 326


@pytest.mark.parametrize("limit", ["0", "-1", "abc", "1.5", "", "1e3", "٣", "+5", "9" * 2000])
def test_a_limit_that_is_no_positive_integer(hub: HubProcess, limit: str) -> None:
    response = hub.get("/prices", params={"limit": limit})
    assert response.status_code == 400
    assert isinstance(strict(response)["error"], str)


@pytest.mark.parametrize("path", ["/price/BTC-USD", "/price/btc-usd", "/api/price/Btc-Usd"])
def test_price(hub: HubProcess, path: str) -> None:
    body = strict(hub.get(path))
    assert body["symbol"] == "BTC-USD"
    for name in ("price", "bid", "ask", "volume_24h"):
        assert type(body[name]) is float
    assert body["bid"] <= body["ask"]
    assert is_time(body["last_updated"])
    assert body["simulated"] is True


@pytest.mark.parametrize("path", ["/price/NOPE-USD", "/api/price/nope-usd", "/price/%3Cimg%3E"])
def test_price_of_an_unknown_product(hub: HubProcess, path: str) -> None:
    response = hub.get(path)
    assert response.status_code == 404
    name = "<IMG>" if "img" in path else "NOPE-USD"
    assert strict(response) == {"error": f"Symbol {name} not found"}


@pytest.mark.parametrize("prefix", PREFIXES)
def test_tickers(hub: HubProcess, prefix: str) -> None:
    body = strict(hub.get(prefix + "/tickers"))
    assert len(body) == 326
    for product_id, payload in body.items():
        assert payload["crypto"] == product_id
        check_ticker(payload)
    check_ticker(strict(hub.get(prefix + "/tickers/eth-usd")))
    response = hub.get(prefix + "/tickers/NOPE-USD")
    assert response.status_code == 404
    assert strict(response) == {"error": "Ticker not found"}


@pytest.mark.parametrize("prefix", PREFIXES)
def test_priority_pairs(hub: HubProcess, prefix: str) -> None:
    url = hub.url + prefix + "/priority-pairs"
    added = requests.post(url, json={"product_id": "BTC-USD", "action": "add"}, timeout=5)
    assert added.status_code == 200
    assert strict(added)["success"] is True
    assert isinstance(strict(added)["message"], str)
    replaced = strict(requests.put(url, json={"product_ids": ["ETH-USD", "sol-usd", "ETH-USD"]}, timeout=5))
    assert replaced["success"] is True
    assert replaced["product_ids"] == ["ETH-USD", "SOL-USD"]
    stats = eventually(lambda: all((body := strict(requests.get(url, timeout=5)))["lastUpdates"].values()) and body)
    assert stats["totalPriorityPairs"] == 2
    assert stats["priorityPairs"] == ["ETH-USD", "SOL-USD"]
    assert stats["updateInterval"] == 1000
    assert set(stats["lastUpdates"]) == {"ETH-USD", "SOL-USD"}
    assert all(is_time(text) for text in stats["lastUpdates"].values())
    removed = strict(requests.post(url, json={"product_id": "eth-usd", "action": "remove"}, timeout=5))
    assert removed["success"] is True
    cleared = strict(requests.delete(url, timeout=5))
    assert cleared["success"] is True
    assert strict(requests.get(url, timeout=5))["priorityPairs"] == []


def test_a_priority_pair_without_an_update_says_null(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(simulator=["--products", "3", "--rate", "0"])
    hub.wait_until_covered()
    requests.put(hub.url + "/priority-pairs", json={"product_ids": ["BTC-USD"]}, timeout=5)
    assert strict(hub.get("/priority-pairs"))["lastUpdates"] == {"BTC-USD": None}


def test_nobody_takes_away_what_the_setting_names() -> None:
    hub = PriceHub(Settings(simulate=True, priority_pairs=("BTC-USD", "ETH-USD")))
    client, path = create_app(hub, None)[0].test_client(), "/priority-pairs"
    assert client.post(path, json={"product_id": "btc-usd", "action": "remove"}).json == {
        "success": False, "message": "BTC-USD stays a priority pair: PRIORITY_PAIRS names it"
    }  # fmt: skip
    answer = client.put(path, json={"product_ids": ["SOL-USD", "BTC-USD"]}).json
    assert answer["product_ids"] == ["BTC-USD", "ETH-USD", "SOL-USD"]
    assert answer["message"] == "3 priority pairs set; 2 of PRIORITY_PAIRS stay"
    assert client.post(path, json={"product_id": "SOL-USD", "action": "remove"}).json["success"] is True
    assert client.delete(path).json == {"success": True, "message": "priority pairs cleared; 2 of PRIORITY_PAIRS stay"}
    stats = client.get(path).json
    assert (stats["priorityPairs"], stats["pinned"]) == (["BTC-USD", "ETH-USD"], ["BTC-USD", "ETH-USD"])
    assert hub.pool._priority() == ("BTC-USD", "ETH-USD")


@pytest.mark.parametrize(
    ("method", "body", "status"),
    [
        ("post", {}, 400),
        ("post", {"product_id": "BTC-USD"}, 400),
        ("post", {"action": "add"}, 400),
        ("post", {"product_id": "BTC-USD", "action": "toggle"}, 400),
        ("post", {"product_id": 5, "action": "add"}, 400),
        ("post", {"product_id": "x" * 1000, "action": "add"}, 400),
        ("post", {"product_id": "NOPE-USD", "action": "add"}, 404),
        ("post", ["BTC-USD"], 400),
        ("put", {}, 400),
        ("put", {"product_ids": "BTC-USD"}, 400),
        ("put", {"product_ids": [None]}, 400),
        ("put", {"product_ids": ["BTC-USD", "NOPE-USD"]}, 404),
        ("put", "text", 400),
    ],
)
def test_bad_priority_pairs_change_nothing(hub: HubProcess, method: str, body: Any, status: int) -> None:
    url = hub.url + "/priority-pairs"
    response = requests.request(method, url, json=body, timeout=5)
    assert response.status_code == status
    assert isinstance(strict(response)["error"], str)
    assert strict(requests.get(url, timeout=5))["totalPriorityPairs"] == 0


@pytest.mark.parametrize("data", [b"", b"[]", b'"x"', b"{", b"null", b'{"a":NaN}', b'{"a":1e999}', b"\xff{}"])
def test_an_alert_that_is_no_json_object(hub: HubProcess, data: bytes) -> None:
    response = requests.post(hub.url + "/alert", data=data, timeout=5)
    assert response.status_code == 400
    assert isinstance(strict(response)["error"], str)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"crypto": "BTC-USD", "current_vol": "1e999999"}, "current_vol must be a finite number"),
        ({"crypto": {"toString": None}}, "crypto must be a text"),
        ({"a": [[[[[[[[[1]]]]]]]]]}, "an alert is nested at most"),
    ],
)  # fmt: skip
def test_an_alert_that_would_break_its_readers(hub: HubProcess, body: Any, words: str) -> None:
    response = requests.post(hub.url + "/alert", json=body, timeout=5)
    assert response.status_code == 400
    assert strict(response)["error"].startswith(words)


@pytest.mark.parametrize("prefix", PREFIXES)
def test_an_alert_over_16_kib(hub: HubProcess, prefix: str) -> None:
    def post(size: int) -> requests.Response:
        return requests.post(hub.url + prefix + "/alert", data=b'{"a":"' + b"x" * (size - 8) + b'"}', timeout=5)

    assert post(16_384).status_code == 200
    response = post(16_385)
    assert response.status_code == 413
    assert isinstance(strict(response)["error"], str)


def test_a_body_over_the_general_cap(hub: HubProcess) -> None:
    response = requests.put(hub.url + "/priority-pairs", data=b"x" * 70_000, timeout=5)
    assert response.status_code == 413
    assert isinstance(strict(response)["error"], str)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("get", "/nope", 404),
        ("get", "/api/nope", 404),
        ("get", "/price/", 404),
        ("post", "/health", 405),
        ("put", "/api/alert", 405),
        ("delete", "/tickers", 405),
    ],
)
def test_errors_are_json(hub: HubProcess, method: str, path: str, status: int) -> None:
    response = requests.request(method, hub.url + path, timeout=5)
    assert response.status_code == status
    assert isinstance(strict(response)["error"], str)


def test_index(hub: HubProcess) -> None:
    for path in ("/", "/api/"):
        body = strict(hub.get(path))
        assert body["service"] == "price-hub"
        assert "/health" in body["rest"]
        page = hub.get(path, headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
        assert page.url.endswith("/dashboard")
        assert page.headers["Content-Type"].startswith("text/html")


@pytest.mark.parametrize("prefix", PREFIXES)
def test_dashboard_is_html_under_a_strict_policy(hub: HubProcess, prefix: str) -> None:
    page = hub.get(prefix + "/dashboard")
    assert page.status_code == 200
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert "BTC-USD" in page.text


def test_a_foreign_origin_gets_no_answer_and_changes_nothing(hub: HubProcess) -> None:
    url = hub.url + "/priority-pairs"
    foreign = {"Origin": "https://evil.example"}
    response = requests.put(url, json={"product_ids": ["BTC-USD"]}, headers=foreign, timeout=5)
    assert response.status_code == 403
    assert "Access-Control-Allow-Origin" not in response.headers
    assert strict(requests.get(url, timeout=5))["totalPriorityPairs"] == 0


def test_no_answer_tells_versions_or_traces(hub: HubProcess) -> None:
    for path in ("/health", "/nope", "/prices?limit=x"):
        headers = {name.lower() for name in hub.get(path).headers}
        assert not headers & {"server", "x-powered-by"}
    with socket.create_connection(("127.0.0.1", hub.port), timeout=5) as raw:
        raw.sendall(b"GARBAGE\r\n\r\n")
        assert b"Traceback" not in raw.recv(4096)


def test_a_price_keeps_the_exchanges_digits(hub_factory: Callable[..., HubProcess], tmp_path: Any) -> None:
    frame = (
        '{"type":"ticker","sequence":1,"product_id":"PEPE-USD","price":"0.0000041900","open_24h":"0.00000400",'
        '"volume_24h":"1","low_24h":"0","high_24h":"1","volume_30d":"1","best_bid_size":"1","best_ask_size":"1","best_bid":"0.00000418","best_ask":"0.00000420","side":"buy",'
        '"time":"2026-01-02T03:04:05.000006Z","trade_id":7,"last_size":"12"}\n'
    )
    (tmp_path / "one.jsonl").write_text(frame)
    hub = hub_factory(simulator=["--replay", str(tmp_path / "one.jsonl")])
    eventually(lambda: hub.get("/price/PEPE-USD").status_code == 200)
    assert '"price":0.0000041900,' in hub.get("/price/PEPE-USD").text
    ticker = hub.get("/tickers/PEPE-USD").text
    assert '"price":0.0000041900,' in ticker
    assert '"price_change_24h":0.0000001900,' in ticker
    assert '"volume_24h":1.0,' in ticker
    assert '"timestamp":"03:04:05"' in ticker

"""The connection pool against an exchange that misbehaves."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from tests.conftest import HubProcess, eventually


def most_in_a_second(times: list[float]) -> int:
    """Return the largest number of these moments within any one second."""
    return max((sum(start <= at < start + 1 for at in times) for start in times), default=0)


def connects(hub: HubProcess) -> list[float]:
    assert hub.simulator is not None
    return hub.simulator.control("connections")["connects"]


def statuses(hub: HubProcess) -> list[str]:
    return [slot["status"] for slot in hub.get("/connections").json()["connections"]]


def test_healthy_within_ten_seconds_and_never_over_eight_connects_a_second(
    hub_factory: Callable[..., HubProcess],
) -> None:
    begun = time.monotonic()
    hub = hub_factory()
    body = eventually(lambda: (seen := hub.health())["status"] == "healthy" and seen)
    hub.wait_until_covered()
    assert time.monotonic() - begun < 10
    assert (body["total_products"], body["total_connections"]) == (326, 22)
    assert len(connects(hub)) == 22
    assert most_in_a_second(connects(hub)) <= 8

    assert hub.simulator is not None
    killed_at = time.monotonic()
    hub.simulator.control("fault", {"kind": "kill", "connections": "all"})
    eventually(lambda: statuses(hub).count("connected") < 22, 5)
    open_again = lambda: hub.simulator.control("connections")["open"]  # noqa: E731
    eventually(lambda: statuses(hub) == ["connected"] * 22 and len(open_again()) == 22, 15)
    since = time.time()

    def heard_of_all() -> bool:
        slots = hub.get("/connections").json()["connections"]
        return all(slot["last_heartbeat"] and slot["reconnects"] >= 1 for slot in slots)

    eventually(heard_of_all, 15 - (time.monotonic() - killed_at))
    assert time.time() - since < 15
    body = eventually(lambda: (seen := hub.health())["status"] == "healthy" and seen, 5)
    assert len(connects(hub)) >= 44
    assert most_in_a_second(connects(hub)) <= 8
    violations = hub.simulator.control("connections")["violations"]
    assert violations == {"connect_rate": 0, "message_rate": 0, "late_subscribe": 0}
    assert len(hub.get("/connections").json()["connections"]) == 22


def test_a_mute_connection_is_replaced_and_the_others_are_not(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(simulator=["--products", "30", "--rate", "100"])
    hub.wait_until_covered()
    assert hub.simulator is not None
    hub.simulator.control("fault", {"kind": "mute", "connections": {"product": "BTC-USD"}, "seconds": 600})
    muted_at = time.monotonic()
    slots = lambda: hub.get("/connections").json()["connections"]  # noqa: E731
    eventually(lambda: any(slot["last_cause"] == "silent" for slot in slots()), 6)
    assert time.monotonic() - muted_at < 4.5  # three heartbeats, and what the look took
    eventually(lambda: statuses(hub) == ["connected"] * 2, 5)
    assert sorted(slot["reconnects"] for slot in slots()) == [0, 1]


def test_an_exchange_that_never_answers_the_handshake(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(simulator=["--products", "5"], CONNECT_TIMEOUT_SECONDS="1", BACKOFF_CAP_SECONDS="1")
    hub.wait_until_covered()
    assert hub.simulator is not None
    hub.simulator.control("fault", {"kind": "refuse", "seconds": 60, "hang": True})
    hub.simulator.control("fault", {"kind": "kill", "connections": "all"})
    slot = lambda: hub.get("/connections").json()["connections"][0]  # noqa: E731
    eventually(lambda: slot()["last_cause"] == "connect_timeout", 8)
    eventually(lambda: slot()["status"] == "failed", 20)  # five in a row
    answer = hub.get("/health")
    assert answer.status_code == 503
    assert answer.json()["connected_connections"] == 0
    hub.simulator.control("clear", {})
    eventually(lambda: slot()["status"] == "connected", 8)


def test_a_refused_upgrade_names_its_status(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(simulator=["--products", "5"], BACKOFF_CAP_SECONDS="1")
    hub.wait_until_covered()
    assert hub.simulator is not None
    hub.simulator.control("fault", {"kind": "refuse", "seconds": 60, "status": 503})
    hub.simulator.control("fault", {"kind": "kill", "connections": "all"})
    slot = lambda: hub.get("/connections").json()["connections"][0]  # noqa: E731
    eventually(lambda: slot()["last_cause"] == "http_503", 8)
    hub.simulator.control("clear", {})
    eventually(lambda: slot()["status"] == "connected", 8)


def test_garbage_is_counted_by_reason_and_passed_over(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(simulator=["--products", "5", "--rate", "50"])
    hub.wait_until_covered()
    assert hub.simulator is not None
    for text in ("", "{", "<html>", "[1]", '{"type":"ticker","product_id":"BTC-USD","price":"NaN"}', '{"type":"new"}'):
        hub.simulator.control("fault", {"kind": "garbage", "connections": "all", "text": text})
    expected = {"empty": 1, "not_json": 2, "not_object": 1, "bad_price": 1, "ignored_unknown": 1}
    body = eventually(lambda: (seen := hub.health())["refused_frames"] == expected and seen, 5)
    assert body["total_errors"] == 5
    assert statuses(hub) == ["connected"]
    assert hub.get("/connections").json()["connections"][0]["reconnects"] == 0


def test_only_the_monitored_ids_and_the_unknown_ones_are_named(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(MONITORING_CRYPTOS="btc-usd,NOPE-USD,ETH-USD", TOP_USD_PAIRS="5")
    body = hub.wait_until_covered()
    assert body["total_products"] == 2
    assert body["unknown_products"] == ["NOPE-USD"]
    assert set(hub.get("/tickers").json()) == {"BTC-USD", "ETH-USD"}
    assert "NOPE-USD" in hub.log()


def test_the_top_pairs_by_volume_in_usd(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(TOP_USD_PAIRS="7", simulator=["--products", "40", "--rate", "10"])
    assert hub.wait_until_covered()["total_products"] == 7
    assert hub.simulator is not None
    import requests

    stats = requests.get(hub.simulator.rest_url + "/products/stats", timeout=5).json()
    listed = {item["id"]: item for item in requests.get(hub.simulator.rest_url + "/products", timeout=5).json()}

    def volume(product_id: str) -> float:
        day = stats[product_id]["stats_24hour"]
        return float(day["volume"]) * float(day["last"])

    usd = [
        item for item in stats
        if item in listed and listed[item]["quote_currency"] == "USD" and listed[item]["status"] == "online"
    ]  # fmt: skip
    assert set(hub.get("/tickers").json()) == set(sorted(usd, key=volume, reverse=True)[:7])


def test_without_rest_the_list_on_disk_is_used_and_marked_as_old(
    hub_factory: Callable[..., HubProcess], tmp_path: Path
) -> None:
    hub = hub_factory(simulator=["--products", "10"])
    hub.wait_until_covered()
    assert hub.simulator is not None
    state_dir = next(path for path in tmp_path.iterdir() if list(path.glob("catalogue-*.json")))
    hub.stop()
    hub.simulator.control("fault", {"kind": "rest", "seconds": 600, "status": 500})
    again = HubProcess(
        None,
        {
            "WS_URL": hub.simulator.ws_url, "REST_URL": hub.simulator.rest_url, "WS_DIALECT": "exchange",
            "STATE_DIR": str(state_dir),
        },
        [],
    )  # fmt: skip
    try:
        body = again.wait_until_covered()
        assert body["status"] == "warning"
        assert "the product list is old" in body["reasons"][0]
        hub.simulator.control("clear", {})
        eventually(lambda: again.health()["status"] == "healthy", 15)
    finally:
        again.stop()


def test_without_any_list_the_hub_is_up_says_why_and_keeps_trying(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(simulator=["--products", "10"])
    hub.wait_until_covered()
    assert hub.simulator is not None
    hub.simulator.control("fault", {"kind": "rest", "seconds": 600, "html": True})
    empty = hub_factory(
        simulator=["--products", "1"], REST_URL=hub.simulator.rest_url, WS_URL=hub.simulator.ws_url
    )
    answer = empty.get("/health")
    assert answer.status_code == 503
    assert answer.json()["status"] == "starting"
    eventually(lambda: "no product list from the exchange" in empty.health()["reasons"][0], 5)
    assert empty.get("/prices").json()["prices"] == {}
    hub.simulator.control("clear", {})
    empty.wait_until_covered()

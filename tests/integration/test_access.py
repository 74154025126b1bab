"""WRITE_TOKENS, and the pace of alerts: who may send to every client, and how much."""

from __future__ import annotations

from collections.abc import Callable

import requests
import socketio

from tests.conftest import HubProcess

READER, WRITER = "reads-the-prices-00", "writes-the-alerts-0"


def write_calls(hub: HubProcess, token: str | None) -> list[int]:
    """Try everything that writes; return the statuses."""
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    calls = [
        ("POST", "/alert", {"crypto": "x"}), ("POST", "/priority-pairs", {"product_id": "BTC-USD", "action": "add"}),
        ("PUT", "/priority-pairs", {"product_ids": ["BTC-USD"]}), ("DELETE", "/api/priority-pairs", None),
    ]  # fmt: skip
    return [
        requests.request(method, hub.url + path, json=body, headers=headers, timeout=5).status_code
        for method, path, body in calls
    ]


def spike_alert(hub: HubProcess, token: str | None, alert: object, times: int = 1) -> list[dict[str, object]]:
    """Send an alert as a Socket.IO client; return the acknowledgements."""
    client = socketio.Client(reconnection=False)
    client.connect(hub.url, auth={"token": token}, transports=["websocket"])
    try:
        return [client.call("spike_alert", alert) for _ in range(times)]
    finally:
        client.disconnect()


def test_where_writers_are_named_nobody_else_writes(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(["--products", "3"], WRITE_TOKENS=WRITER, API_TOKENS=READER)
    hub_is_read = [hub.get("/prices", headers={"Authorization": f"Bearer {token}"}).status_code
                   for token in (READER, WRITER, "wrong-token-000000")]  # fmt: skip
    assert hub_is_read == [200, 200, 401]
    assert write_calls(hub, WRITER) == [200] * 4
    assert write_calls(hub, READER) == [403] * 4
    assert write_calls(hub, None) == write_calls(hub, "wrong-token-000000") == [401] * 4
    assert spike_alert(hub, WRITER, {"symbol": "X"}) == [{"success": True}]
    refused = [{"success": False, "error": "A token that may write is needed"}]
    assert spike_alert(hub, READER, {"symbol": "X"}) == refused
    found = hub.get("/health", headers={"Authorization": f"Bearer {READER}"}).json()["counters"]
    assert found["writers_without_token"] == 5
    assert found["bad_tokens"] == 5


def test_reading_may_be_open_where_writing_is_not(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(["--products", "3"], WRITE_TOKENS=WRITER)
    assert hub.get("/prices").status_code == 200
    assert write_calls(hub, None) == [401] * 4
    assert write_calls(hub, WRITER) == [200] * 4
    assert spike_alert(hub, None, {"symbol": "X"})[0]["success"] is False
    assert spike_alert(hub, WRITER, {"symbol": "X"})[0]["success"] is True


def test_alerts_have_a_pace_of_the_address(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(["--products", "3"])
    assert spike_alert(hub, None, {"symbol": "x" * 17_000}) == [
        {"success": False, "error": "a spike_alert has at most 16384 bytes"}
    ]
    answers = spike_alert(hub, None, {"symbol": "X"}, 20)
    assert answers == [{"success": True}] * 20
    answers = [spike_alert(hub, None, {"symbol": "X"})[0] for _ in range(5)]  # each by another session
    late = [answer for answer in answers if not answer["success"]]
    assert late
    assert str(late[0]["error"]).startswith("Too many alerts, wait ")
    statuses = [requests.post(hub.url + "/alert", json={"a": "x" * 12_000}, timeout=5) for _ in range(2)]
    assert statuses[-1].status_code == 429
    assert 1 <= int(statuses[-1].headers["Retry-After"]) <= 2
    assert statuses[-1].json() == {"error": "Too many alerts"}
    assert hub.health()["counters"]["refused_relays"] >= 2

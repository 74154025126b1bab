"""The two documents held against a running hub: what it answers, and what it sends."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from hub.web.interface import asyncapi
from tests.conftest import HubProcess, eventually
from tests.integration.test_socketio import Listener
from tests.soak.documents import TOKEN, bugs, hold, hub_to_try
from tests.unit.test_interface import problems


def test_every_route_answers_as_documented(tmp_path: Path) -> None:
    with hub_to_try(tmp_path) as hub:
        found = hold(hub.url, tmp_path, 3, "-H", f"Authorization: Bearer {TOKEN}")
        assert found["test_cases"]["unique_failures"] == found["test_cases"]["errored"] == 0, found["output"][-8000:]
        assert found["test_cases"]["generated"] > 300
        assert found["operations"]["tested"] == found["operations"]["total"]
        assert bugs(hub) == []


def test_actions_are_refused_as_documented_where_they_are_off(hub: HubProcess) -> None:
    document = hub.get("/openapi.json").json()
    actions = [
        (path, operation) for path, methods in document["paths"].items() for operation in methods.values()
        if operation.get("security") == [{"adminToken": []}]
    ]  # fmt: skip
    assert len(actions) >= 6
    for path, operation in actions:
        url = hub.url + path.format(connection_id="conn_000", product_id="BTC-USD")
        answer = requests.post(url, json={"drill": "kill"}, timeout=5)
        assert answer.status_code == (404 if path == "/drills" else 403)  # no simulator of its own
        (content,) = operation["responses"][str(answer.status_code)]["content"].values()
        assert problems(document, content["schema"], answer.json()) == []


@pytest.mark.parametrize("path", ["/openapi.json", "/api/openapi.json", "/asyncapi.json", "/api/asyncapi.json"])
def test_the_documents_are_served(hub: HubProcess, path: str) -> None:
    answer = hub.get(path)
    assert answer.status_code == 200
    assert answer.json()["info"]["title"] == "Price Hub"
    assert len(answer.json().get("paths", answer.json().get("operations"))) > 10


@pytest.mark.parametrize("path", ["/health", "/priority-pairs", "/docs"])
def test_an_unknown_method_is_told_which_there_are(hub: HubProcess, path: str) -> None:
    documented = {method.upper() for method in hub.get("/openapi.json").json()["paths"][path]}
    answer = requests.patch(hub.url + path, timeout=5)
    assert answer.status_code == 405
    assert {word.strip() for word in answer.headers["Allow"].split(",")} == {*documented, "HEAD", "OPTIONS"}


def test_what_the_hub_sends_fits_the_document(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(
        simulator=["--products", "4", "--rate", "100"], WINDOW_MINUTES="0.05", VOLUME_THRESHOLD="1.0",
        CATALOGUE_REFRESH_SECONDS="1", DELISTED_KEEP_SECONDS="0", PRICE_SPIKE_PERCENT="0.02", PRICE_SPIKE_MINUTES="0.1",
        ADMIN_TOKEN=TOKEN,
    )  # fmt: skip
    hub.wait_until_covered()
    assert hub.simulator is not None
    listener, chooser = Listener(hub.url), Listener(hub.url, auth={"subscribe": {"batch": True}})
    asked = {
        "subscribe": {"products": ["BTC-USD", "*-EUR"], "max_hz": 5, "batch": True},
        "unsubscribe": {"products": ["*-EUR"]},
        "latency_sample": {"sent_at": 1}, "spike_alert": {"symbol": "BTC-USD", "pct_change": 5.2},
    }  # fmt: skip
    answers = {f"{event}_ack": [chooser.client.call(event, body)] for event, body in asked.items()}
    answers["subscribe_ack"].append(chooser.client.call("subscribe", {"max_hz": "fast"}))
    requests.put(hub.url + "/priority-pairs", json={"product_ids": ["BTC-USD"]}, timeout=5)
    requests.post(hub.url + "/alert", json={"crypto": "BTC-USD", "current_vol": 30, "avg_vol": 10}, timeout=5)
    requests.post(hub.url + "/alerts/test", headers={"Authorization": f"Bearer {TOKEN}"}, timeout=10)
    hub.simulator.control("fault", {"kind": "drop", "product": "BTC-USD", "count": 5})
    hub.simulator.control("fault", {"kind": "stuck", "product": "ETH-USD", "seconds": 5})
    hub.simulator.control("fault", {"kind": "list", "products": ["NEW-USD"]})
    hub.simulator.control("fault", {"kind": "delist", "products": ["SOL-USD"]})
    document = asyncapi.document()
    messages = document["components"]["messages"]
    sent = {
        operation["messages"][0]["$ref"].rpartition("/")[2]
        for operation in document["operations"].values() if operation["action"] == "send"
    }  # fmt: skip
    wanted = sent - {"ticker_batch", "lag", "hub_stopping"}
    eventually(lambda: not wanted - set(listener.events), 40)
    assert set(listener.events) <= sent
    eventually(lambda: chooser.events["ticker_batch"])
    hub.terminate()
    eventually(lambda: listener.events["hub_stopping"])
    for event, payloads in {**listener.events, **chooser.events, **answers}.items():
        schema = messages[event]["payload"]
        wrong = [found for payload in payloads[:500] for found in problems(document, schema, payload)]
        assert wrong[:3] == [], event
    listener.close()
    chooser.close()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", hub.port)) != 0

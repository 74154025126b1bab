"""docs/protocol.md is held against a running hub: every example, field by field, type by type."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from hub.fanout.latest import Missed
from hub.fanout.outbox import Outbox
from hub.fanout.seat import CutReason
from tests.conftest import ROOT, HubProcess, eventually
from tests.integration.test_socketio import Listener
from tests.receiver import Receiver

TEXT = (ROOT / "docs" / "protocol.md").read_text()
SECTIONS = re.findall(r"^### `([^`]+)`\n(.*?)(?=^##|\Z)", TEXT, re.M | re.S)
EXAMPLES = {
    title: json.loads(found[1]) for title, body in SECTIONS if (found := re.search(r"```json\n(.*?)```", body, re.S))
}
# what a client asks: (the request, the acknowledgement)
REQUESTS = {
    title: [json.loads(block) for block in blocks]
    for title, body in SECTIONS
    if "/" not in title and len(blocks := re.findall(r"```json\n(.*?)```", body, re.S)) == 2
}
BODIES = {
    "POST /priority-pairs": {"product_id": "BTC-USD", "action": "add"},
    "PUT /priority-pairs": {"product_ids": ["BTC-USD", "ETH-USD"]},
    "POST /alert": {"crypto": "BTC-USD"},
}
MAPS = ("prices", "GET /tickers", "lastUpdates", "reasons", "settings", "services")
FREE = (
    ".ticker", "refused_frames", "counters", "explain.price", ".data", ".payload", "by_cause", "by_reason", "by_path"
)  # fmt: skip
ROUTES = [title for title in EXAMPLES if "/" in title]
ACTIONS = [
    title for title in ROUTES
    if title.endswith(("/reconnect", "/rotate", "/move", "/resubscribe", "/drills", "/alerts/test"))
]  # fmt: skip
TOKEN = "0123456789abcdef"
BEARER = {"Authorization": f"Bearer {TOKEN}"}


def check(example: Any, answer: Any, where: str) -> None:
    """The answer has the example's fields (no more, no fewer) with its JSON types."""
    if isinstance(example, dict):
        assert isinstance(answer, dict), where
        if where.endswith(MAPS):  # product → value
            for product_id, value in answer.items():
                check(next(iter(example.values())), value, f"{where}.{product_id}")
        elif not where.endswith(FREE):
            assert set(answer) == set(example), where
            for name in example:
                check(example[name], answer[name], f"{where}.{name}")
    elif isinstance(example, list):
        assert isinstance(answer, list), where
        if example:
            for value in answer:
                check(example[0], value, where)
    elif example is not None and answer is not None:
        assert type(answer) is type(example), (where, example, answer)


@pytest.mark.parametrize("title", [title for title in ROUTES if title not in ACTIONS])
def test_a_routes_example(hub: HubProcess, title: str) -> None:
    method, path = title.split()
    listener = Listener(hub.url) if title == "GET /clients" else None
    if title == "GET /priority-pairs":
        requests.put(hub.url + path, json={"product_ids": ["BTC-USD"]}, timeout=5)
    if title == "GET /signals":
        requests.post(hub.url + "/alert", json={"crypto": "BTC-USD", "current_vol": 30, "avg_vol": 10}, timeout=5)
    for prefix in ("", "/api"):
        wanted = {"Accept": "application/json"}  # or /status is a page
        response = requests.request(method, hub.url + prefix + path, json=BODIES.get(title), headers=wanted, timeout=5)
        assert response.status_code == 200
        check(EXAMPLES[title], response.json(), title)
    if listener is not None:
        assert response.json()["count"] >= 1
        listener.close()
    requests.delete(hub.url + "/priority-pairs", timeout=5)


def act(url: str) -> requests.Response:
    """Do an action, again where that was too soon: there are more of them than a second allows."""
    post = lambda: requests.post(url, json={"drill": "kill"}, headers=BEARER, timeout=10)  # noqa: E731
    return eventually(lambda: (answer := post()).status_code != 429 and [answer])[0]


def test_the_actions_examples(tmp_path: Path) -> None:
    with Receiver() as webhook:
        settings = {"STATE_DIR": str(tmp_path), "ADMIN_TOKEN": TOKEN, "WEBHOOK_URL": webhook.url,
                    "WEBHOOK_ALLOWED_HOSTS": "127.0.0.1"}  # fmt: skip
        hub = HubProcess(None, settings, ["--simulate", "--simulate-products", "30"])
        try:
            hub.wait_until_covered()
            assert len(ACTIONS) == 6
            for title in ACTIONS:
                path = title.split()[1]
                answer = act(hub.url + path)
                assert answer.status_code == (200 if path == "/alerts/test" else 202), title
                check(EXAMPLES[title], answer.json(), title)
                shown = re.sub(r"conn_\d+$", "conn_007", answer.json()["message"])
                assert shown == EXAMPLES[title]["message"]
            check(EXAMPLES["GET /actions"], hub.get("/actions").json(), "GET /actions")
            check(EXAMPLES["GET /alerts"], hub.get("/alerts").json(), "GET /alerts")
        finally:
            hub.stop()


def test_every_route_is_described(hub: HubProcess) -> None:
    described = {re.split(r"[?]", title.split()[1])[0].replace("BTC-USD", "<id>") for title in ROUTES}
    described |= {"/dashboard", "/docs", "/metrics", "/openapi.json", "/asyncapi.json"}  # of no example's form
    for path in hub.get("/").json()["rest"]:
        assert path.split("?")[0].replace("BTC-USD", "<id>") in described


def test_the_events_examples(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(
        simulator=["--products", "3", "--rate", "100"], WINDOW_MINUTES="0.05", VOLUME_THRESHOLD="1.0",
        PRICE_SPIKE_PERCENT="0.02", PRICE_SPIKE_MINUTES="0.1", ADMIN_TOKEN=TOKEN,
    )  # fmt: skip
    listener = Listener(hub.url)
    requests.put(hub.url + "/priority-pairs", json={"product_ids": ["BTC-USD"]}, timeout=5)
    requests.post(hub.url + "/alert", json=EXAMPLES["trade_update"], timeout=5)
    listener.client.emit("spike_alert", EXAMPLES["spike_alert"])
    requests.post(hub.url + "/alerts/test", headers=BEARER, timeout=5)
    for event in (
        "ticker_update", "priority_ticker_update", "volume_alert", "price_alert", "hub_alert", "spike_alert",
        "trade_update",
    ):  # fmt: skip
        eventually(lambda event=event: listener.events[event], 30)
        example = EXAMPLES.get(event, EXAMPLES["GET /tickers/BTC-USD"])
        answer = listener.events[event][0]
        if "ticker_update" in event and "age_ms" not in answer:  # only the snapshot's say how a price stands
            example = {name: value for name, value in example.items() if not name.endswith(("_ms", "connection_id"))}
        if "ticker_update" in event:
            example = {**example, "sent_at": EXAMPLES["ticker_batch"][0]["sent_at"]}
        check(example, answer, event)
    now = listener.events["ticker_update"][-1]["sent_at"]
    assert set(REQUESTS) == {"subscribe", "unsubscribe", "latency_sample"}
    for event, (request, acknowledgement) in REQUESTS.items():
        answer = listener.client.call(event, {"sent_at": now} if event == "latency_sample" else request)
        check(acknowledgement, answer, event)
        assert answer == acknowledgement
    eventually(lambda: listener.events["ticker_batch"], 30)
    for tick in listener.events["ticker_batch"][0]:
        assert set(EXAMPLES["ticker_batch"][0]) <= set(tick)
    listener.close()


def test_the_examples_of_products_that_come_and_go(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(simulator=["--products", "3"], CATALOGUE_REFRESH_SECONDS="1", DELISTED_KEEP_SECONDS="0")
    hub.wait_until_covered()
    listener = Listener(hub.url)
    assert hub.simulator is not None
    hub.simulator.control("fault", {"kind": "list", "products": ["NEW-USD"]})
    hub.simulator.control("fault", {"kind": "delist", "products": ["ETH-USD"]})
    for event in ("product_listed", "product_delisted", "product_left"):
        (answer,) = eventually(lambda event=event: listener.events[event], 5)
        check(EXAMPLES[event], answer, event)
        assert answer["reason"] == EXAMPLES[event]["reason"]
    listener.close()


def test_the_example_of_a_lag() -> None:
    outbox = Outbox(1)
    outbox.catch_up(Missed([], 0.0, 1520, 0), 2.507)
    event, body = json.loads(outbox.packets(16, 2.5)[0].data[1:])
    assert event == "lag"
    check(EXAMPLES["lag"], body, "lag")


def test_the_codes_of_a_cut() -> None:
    described = {int(code): reason for code, reason in re.findall(r"^\| (40\d\d) \| `(\w+)` \|", TEXT, re.M)}
    assert described == {reason.value: reason.name.lower() for reason in CutReason}

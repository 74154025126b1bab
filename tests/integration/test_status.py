"""GET /status: what everybody may know, in words and as JSON, and what nobody learns from it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
import requests

from tests.conftest import HubProcess, eventually

JSON = {"Accept": "application/json"}
HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def status(hub: HubProcess) -> dict[str, Any]:
    return hub.get("/status", headers=JSON).json()


def seconds_ago(body: dict[str, Any]) -> float:
    return time.time() - datetime.fromisoformat(body["since"]).timestamp()


def test_html_for_people_and_json_for_who_asks(hub: HubProcess) -> None:
    for path in ("/status", "/api/status"):
        page = hub.get(path, headers=HTML)
        assert page.headers["Content-Type"] == "text/html; charset=utf-8"
        assert '<meta http-equiv="refresh" content="10">' in page.text
        assert "SIMULATED PRICES" in page.text
        assert "<script" not in page.text
        assert hub.get(path).text.startswith("<!doctype html>")  # curl's and wget's */*
        answer = hub.get(path, headers=JSON)
        assert answer.headers["Content-Type"] == "application/json"
        assert answer.headers["Cache-Control"] == page.headers["Cache-Control"] == "no-store"
        assert "Accept" in answer.headers["Vary"]
    body = eventually(lambda: (body := status(hub))["state"] == "ok" and body, 40)
    assert body["up"] is body["trusted"] is body["simulated"] is True
    assert body["sentence"] == "The hub is up, and all 326 prices can be trusted."
    assert body["products"] == {"trusted": 326, "doubtful": 0, "without_price": 0, "not_trading": 0}


def test_it_names_nothing_of_the_inside(hub: HubProcess) -> None:
    text = hub.get("/status", headers=HTML).text + hub.get("/status", headers=JSON).text
    version = hub.get("/dashboard").text.split('id="version">')[1].split("<")[0]
    assert len(version) >= 5
    epoch = hub.health()["epoch"]
    for secret in ("conn_", "127.0.0.1", f":{hub.port}", "ws://", "coinbase", "BTC-USD", epoch, version):
        assert secret not in text


def test_it_is_public_where_tokens_are_set_and_nothing_else_is(hub_factory: Callable[..., HubProcess]) -> None:
    hub = hub_factory(simulator=["--products", "3"], API_TOKENS="a-token-of-a-reader")
    for path in ("/status", "/api/status"):
        page = eventually(lambda path=path: (page := hub.get(path, headers=HTML)).status_code == 200 and page)
        for link in re.findall(r'(?:href|src)="([^"]+)"', page.text):
            assert hub.get(link).status_code == 200, link
    for path in ("/dashboard", "/health", "/static/dashboard.css", "/static/js/../dashboard.js", "/status/x", "/"):
        assert hub.get(path).status_code == 401, path
    assert requests.post(hub.url + "/status", timeout=5).status_code == 401
    assert hub.get("/status", headers={"Origin": "https://evil.example"}).status_code == 403


@pytest.mark.long
def test_what_it_says_while_a_product_is_stuck_and_while_the_exchange_is_gone(
    hub_factory: Callable[..., HubProcess],
) -> None:
    hub = hub_factory(simulator=["--products", "40", "--rate", "200"], BACKOFF_CAP_SECONDS="2")
    assert hub.simulator is not None
    hub.wait_until_covered()
    at_first = eventually(lambda: (body := status(hub))["state"] == "ok" and body, 20)
    assert at_first["incidents_24h"] == {"connections_lost": 0, "pauses": 0, "gaps": 0, "gaps_open": 0}
    time.sleep(2)
    assert status(hub)["since"] == at_first["since"]

    hub.simulator.control("fault", {"kind": "rest", "seconds": 12, "status": 503})  # which would bring the price
    hub.simulator.control("fault", {"kind": "stuck", "product": "BTC-USD", "seconds": 8})
    stuck = eventually(lambda: (body := status(hub))["state"] == "doubtful" and body, 10)
    assert stuck["up"] is True
    assert stuck["trusted"] is False
    assert stuck["sentence"] == "The hub is up, but only 39 of 40 prices can be trusted right now."
    assert seconds_ago(stuck) < 6
    assert hub.get("/status").status_code == 200
    healed = eventually(lambda: (body := status(hub))["state"] == "ok" and body, 30)
    assert stuck["since"] < healed["since"]
    eventually(lambda: (found := status(hub)["incidents_24h"])["gaps"] >= 1 and found["gaps_open"] == 0, 40, 1)

    hub.simulator.control("fault", {"kind": "restart", "seconds_down": 6})
    (page,) = eventually(lambda: (page := hub.get("/status", headers=HTML)).status_code == 503 and [page], 5)
    assert 'data-state="down"' in page.text
    assert "The live feed from the exchange is down" in page.text
    assert seconds_ago(down := status(hub)) < 8
    assert down["incidents_24h"]["connections_lost"] >= 3
    back = eventually(lambda: (body := status(hub))["state"] == "ok" and body, 30)
    assert healed["since"] < back["since"]


def test_a_crowd_costs_nothing(hub: HubProcess) -> None:
    with requests.Session() as session:
        begun = time.monotonic()
        times = {session.get(hub.url + "/status", headers=JSON, timeout=5).json()["time"] for _ in range(100)}
        took = time.monotonic() - begun
    assert len(times) <= took + 2  # made once a second, whatever number asks

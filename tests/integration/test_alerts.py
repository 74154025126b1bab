"""Alerts of a running hub: to webhooks, Telegram, clients and the journal; and a receiver that hangs harms nobody."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.conftest import HubProcess, eventually
from tests.integration.test_socketio import Listener
from tests.integration.test_trust_and_gaps import continued
from tests.receiver import Receiver, hang, status

TOKEN = "canary-of-the-admin-0123456789"
BEARER = {"Authorization": f"Bearer {TOKEN}"}
BOT = "123456:canary-of-the-telegram-token"
ALLOWED = {"WEBHOOK_ALLOWED_HOSTS": "127.0.0.1", "ADMIN_TOKEN": TOKEN}


def of_key(receiver: Receiver, key: str) -> list[dict[str, Any]]:
    return [post.body for post in list(receiver.posts) if post.body.get("key") == key]


def states(receiver: Receiver, key: str) -> list[str]:
    return [body["state"] for body in of_key(receiver, key)]


def test_an_outage_arrives_everywhere_and_so_does_its_end(hub_factory: Callable[..., HubProcess]) -> None:
    with Receiver() as webhook, Receiver(status(200, b'{"ok":true}')) as telegram:
        hub = hub_factory(
            simulator=["--products", "30", "--rate", "600"], WEBHOOK_URL=webhook.url, TELEGRAM_BOT_TOKEN=BOT,
            TELEGRAM_CHAT_ID="-100123", TELEGRAM_API_URL=f"http://127.0.0.1:{telegram.port}",
            BACKOFF_BASE_SECONDS="0.2", **ALLOWED,
        )  # fmt: skip
        hub.wait_until_covered()
        listener = Listener(hub.url)
        eventually(lambda: hub.health()["status"] == "healthy")
        assert hub.simulator is not None
        hub.simulator.control("fault", {"kind": "refuse", "status": 503, "seconds": 8})
        hub.simulator.control("fault", {"kind": "kill", "connections": "all"})
        began = time.monotonic()
        eventually(lambda: states(webhook, "connections:none") == ["firing"], 15)
        took = time.monotonic() - began
        assert took > 5  # what is back within a few seconds calls for nobody
        (firing,) = hub.get("/alerts").json()["firing"]
        assert (firing["key"], firing["told"]) == ("connections:none", True)
        eventually(lambda: states(webhook, "connections:none") == ["firing", "resolved"], 25)
        eventually(lambda: hub.get("/alerts").json()["firing"] == [])

        fired, resolved = of_key(webhook, "connections:none")
        assert fired["severity"] == "critical"
        assert fired["text"].startswith("[CRITICAL] none of 2 connections to the exchange is up")
        assert resolved["content"].startswith(r"\[RESOLVED\] connections to the exchange are up again")
        assert fired["since"] == resolved["since"]
        assert fired["simulated"] is True
        texts = [post.body["text"] for post in telegram.posts]
        assert [text.split("]")[0] for text in texts] == ["[CRITICAL", "[RESOLVED"]
        assert {(post.path, post.body["chat_id"]) for post in telegram.posts} == {(f"/bot{BOT}/sendMessage", "-100123")}
        heard = [event for event in listener.events["hub_alert"] if event["key"] == "connections:none"]
        assert [event["state"] for event in heard] == ["firing", "resolved"]
        signals = [item for item in hub.get("/signals").json()["signals"] if item["event"] == "hub_alert"]
        assert [item["payload"] for item in signals] == heard[::-1]
        assert [entry["tone"] for entry in hub.get("/journal?kind=alert").json()["events"]][:2] == ["ok", "bad"]
        body = hub.get("/alerts").json()
        assert {channel["name"]: channel["counts"]["sent"] for channel in body["channels"]} == {
            "webhook": 2, "telegram": 2
        }  # fmt: skip
        listener.close()


def test_the_end_of_an_outage_is_told_by_the_process_after_it(
    hub_factory: Callable[..., HubProcess], tmp_path: Path
) -> None:
    with Receiver() as webhook:
        settings = {"WEBHOOK_URL": webhook.url, "BACKOFF_BASE_SECONDS": "0.2", **ALLOWED}
        hub = hub_factory(simulator=["--products", "30", "--rate", "600"], **settings)
        hub.wait_until_covered()
        eventually(lambda: hub.health()["status"] == "healthy")
        assert hub.simulator is not None
        hub.simulator.control("fault", {"kind": "refuse", "status": 503, "seconds": 60})
        hub.simulator.control("fault", {"kind": "kill", "connections": "all"})
        eventually(lambda: states(webhook, "connections:none") == ["firing"], 15)
        (state_dir,) = [path for path in tmp_path.iterdir() if list(path.glob("ledger-*.sqlite"))]
        assert hub.terminate() == 0
        hub.simulator.control("clear", {})
        again = continued(hub, state_dir, **settings)
        try:
            again.wait_until_covered()
            eventually(lambda: states(webhook, "connections:none") == ["firing", "resolved"], 20)
            fired, resolved = of_key(webhook, "connections:none")
            assert fired["since"] == resolved["since"]
            assert resolved["message"].startswith("no longer so after a restart of the hub: none of 2 connections")
            assert again.get("/alerts").json()["firing"] == []
            own = again.get("/signals?event=hub_alert").json()["signals"]
            assert [item["payload"]["state"] for item in own] == ["resolved", "firing"]
        finally:
            again.stop()


def test_a_priority_pair_that_is_stuck(hub_factory: Callable[..., HubProcess]) -> None:
    with Receiver() as webhook:
        hub = hub_factory(simulator=["--products", "30", "--rate", "300"], WEBHOOK_URL=webhook.url, **ALLOWED)
        hub.wait_until_covered()
        requests.put(f"{hub.url}/priority-pairs", json={"product_ids": ["BTC-USD", "ETH-USD"]}, timeout=5)
        eventually(lambda: hub.health()["status"] == "healthy")
        assert hub.simulator is not None
        hub.simulator.control("fault", {"kind": "stuck", "product": "BTC-USD", "seconds": 600})
        # while REST fetches what the socket owes, the price is good, and nobody is called
        hub.simulator.control("fault", {"kind": "rest", "status": 503, "seconds": 600})
        eventually(lambda: states(webhook, "priority:BTC-USD") == ["firing"], 25)
        (fired,) = of_key(webhook, "priority:BTC-USD")
        assert (fired["symbol"], fired["severity"]) == ("BTC-USD", "critical")
        assert fired["message"].startswith("the price of the priority pair BTC-USD can't be trusted: ")
        (signal,) = [
            item for item in hub.get("/signals?symbol=BTC-USD").json()["signals"] if item["event"] == "hub_alert"
        ]  # fmt: skip
        assert signal["symbol"] == "BTC-USD"
        assert states(webhook, "priority:ETH-USD") == []


def test_a_webhook_that_hangs_costs_the_feed_nothing_and_the_stop_little(
    hub_factory: Callable[..., HubProcess],
) -> None:
    with Receiver(hang) as webhook:
        hub = hub_factory(
            simulator=["--products", "30", "--rate", "600"], WEBHOOK_URL=webhook.url, ALERTS="price,connections",
            PRICE_SPIKE_PERCENT="0.02", PRICE_SPIKE_MINUTES="0.1", ALERT_COOLDOWN_SECONDS="0", **ALLOWED,
        )  # fmt: skip
        hub.wait_until_covered()
        listener = Listener(hub.url, transports=["websocket"])
        eventually(lambda: len(webhook.posts) >= 1, 30)  # and it hangs there
        began, waits = time.monotonic(), []
        while time.monotonic() - began < 3:
            asked = time.monotonic()
            hub.health()
            waits.append(time.monotonic() - asked)
            time.sleep(0.05)
        channel = hub.get("/alerts").json()["channels"][0]
        assert channel["counts"]["sent"] == 0
        assert channel["queued"] > 1
        ids = [tick["trade_id"] for tick in listener.events["ticker_update"] if tick["crypto"] == "BTC-USD"]
        assert len(ids) > 20
        assert {after - before for before, after in pairwise(ids)} == {1}
        assert max(waits) < 1.0
        began = time.monotonic()
        assert hub.terminate() == 0
        assert time.monotonic() - began < 8
        listener.close()


def test_a_test_of_the_alerts(hub_factory: Callable[..., HubProcess]) -> None:
    with Receiver() as good, Receiver(status(404)) as bad:
        inward = f"http://localhost:{good.port}/canary-of-the-path"  # its name is not allowed
        with pytest.raises(pytest.fail.Exception, match="WEBHOOK_ALLOWED_HOSTS does not name its host"):
            hub_factory(simulator=["--products", "3"], WEBHOOK_URL=inward, **ALLOWED)
        private = f"https://localhost:{good.port}/canary-of-the-path"
        hub = hub_factory(
            simulator=["--products", "3"], WEBHOOK_URL=f"{good.url},{bad.url},{private}", TELEGRAM_BOT_TOKEN=BOT,
            TELEGRAM_CHAT_ID="@prices", TELEGRAM_API_URL=f"http://127.0.0.1:{bad.port}", LOG_LEVEL="DEBUG", **ALLOWED,
        )  # fmt: skip
        for prefix in ("", "/api"):
            answer = requests.post(f"{hub.url}{prefix}/alerts/test", headers=BEARER, timeout=10)
            assert answer.status_code == 200
            assert answer.json() == {
                "success": False,
                "message": "socketio: sent, webhook_1: sent, webhook_2: http_404, webhook_3: address_refused, "
                           "telegram: http_404",
                "channels": {
                    "socketio": "sent", "webhook_1": "sent", "webhook_2": "http_404", "webhook_3": "address_refused",
                    "telegram": "http_404",
                },
            }  # fmt: skip
        assert requests.post(f"{hub.url}/alerts/test", timeout=10).status_code == 401
        assert good.posts[0].body["message"] == "this is a test of Price Hub's alerts: nothing is wrong"
        entry = hub.get("/journal?kind=action").json()["events"][1]
        assert entry["text"].startswith("test of the alerts: socketio: sent")
        assert re.search(r"action who=127.0.0.1 what='test of the alerts'", hub.log())
        everything = hub.log() + hub.get("/alerts").text + hub.get("/journal").text + hub.get("/signals").text
        for secret in ("canary-of-the-path", BOT, TOKEN):
            assert secret not in everything


def test_without_the_admin_token_there_is_no_test(hub: HubProcess) -> None:
    assert requests.post(f"{hub.url}/alerts/test", headers=BEARER, timeout=5).status_code == 403


def test_price_spikes_are_off_until_they_are_asked_for(hub_factory: Callable[..., HubProcess]) -> None:
    with Receiver() as webhook:
        hub = hub_factory(
            simulator=["--products", "5", "--rate", "400"], WEBHOOK_URL=webhook.url, ALERTS="price",
            PRICE_SPIKE_PERCENT="0.02", PRICE_SPIKE_MINUTES="0.1", **ALLOWED,
        )  # fmt: skip
        listener = Listener(hub.url)
        spikes = lambda step: [one for one in listener.events["price_alert"] if one["event_type"] == step]  # noqa: E731
        eventually(lambda: spikes("momentum_end"), 30)
        start = spikes("spike_start")[0]
        assert (start["new_price"] > start["old_price"]) == (start["spike_type"] == "pump") == (start["pct_change"] > 0)
        assert start["simulated"] is True
        signal = next(item for item in hub.get("/signals").json()["signals"] if item["event"] == "price_alert")
        assert signal["symbol"] == signal["payload"]["symbol"]
        eventually(lambda: [post for post in webhook.posts if post.body["kind"] == "price"])
        listener.close()


def test_the_default_hub_tells_nothing_of_spikes(hub: HubProcess) -> None:
    body = hub.get("/alerts").json()
    assert body["kinds"] == ["connections", "coverage", "errors", "priority"]
    assert body["channels"] == []
    assert not [item for item in hub.get("/signals?limit=200").json()["signals"] if item["event"] == "price_alert"]

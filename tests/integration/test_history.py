"""What was: /history, /journal and /signals, of a hub to which things happen, and of the one after it."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from hub.history import MAX_ANNOTATIONS
from hub.hub import PriceHub
from hub.rings import SERIES
from hub.settings import Settings
from hub.web.app import create_app
from tests.conftest import HubProcess, eventually
from tests.integration.test_socketio import Listener
from tests.integration.test_trust_and_gaps import continued, fault

SMALL = ["--products", "20", "--rate", "200"]


def events(hub: HubProcess, **query: Any) -> list[dict[str, Any]]:
    return hub.get("/journal", params=query).json()["events"]


def history(hub: HubProcess, **query: Any) -> dict[str, Any]:
    return hub.get("/history", params=query).json()


def started(hub_factory: Callable[..., HubProcess], **environment: str) -> HubProcess:
    hub = hub_factory(simulator=SMALL, **environment)
    hub.wait_until_covered()
    return hub


def test_a_killed_connection_is_told_within_two_seconds_and_its_return(
    hub_factory: Callable[..., HubProcess],
) -> None:
    hub = started(hub_factory)
    last_id = eventually(lambda: len(events(hub, kind="connected")) == 2 and hub.get("/journal").json()["last_id"])
    killed_at = time.time()
    fault(hub, "kill", connections=[1])
    lost = eventually(lambda: events(hub, after=last_id, kind="lost"), 2)[0]
    assert time.time() - killed_at < 2
    connection_id = lost["connection_id"]
    assert lost["text"].startswith(f"{connection_id} lost: the ")
    assert lost["text"].endswith("; 10 products")
    assert (lost["tone"], lost["product"]) == ("bad", None)
    back = eventually(lambda: events(hub, after=lost["id"], kind="connected"))[0]
    assert back["text"] == f"{connection_id} is back after {back['data']['seconds']:.1f} s"
    assert [entry["kind"] for entry in events(hub, after=last_id, connection=connection_id)] == ["connected", "lost"]
    assert events(hub, after=last_id, connection="conn_999") == []
    of_now = eventually(lambda: (body := history(hub, since=killed_at))["times"] and body)
    assert {lost["id"], back["id"]} <= {entry["id"] for entry in of_now["annotations"]}
    assert all(time_ > killed_at for time_ in of_now["times"])


def test_what_is_done_for_a_stuck_product_a_changed_list_and_a_pause(
    hub_factory: Callable[..., HubProcess],
) -> None:
    hub = started(hub_factory, CATALOGUE_REFRESH_SECONDS="1", DELISTED_KEEP_SECONDS="1")
    fault(hub, "stuck", product="BTC-USD", until_moved=True, seconds=60)
    fault(hub, "list", products=["NEW-USD"])
    eventually(lambda: events(hub, kind="listed", product="new-usd"), 4)
    fault(hub, "delist", products=["NEW-USD"])
    eventually(lambda: events(hub, kind="left,delisted", product="NEW-USD"), 6)
    moved = eventually(lambda: events(hub, kind="moved"), 20)[0]
    again = events(hub, kind="resubscribed")[-1]
    assert (moved["product"], again["product"]) == ("BTC-USD", "BTC-USD")
    assert again["text"].endswith("s: subscribed anew on conn_000")
    assert moved["text"].endswith("s: moved from conn_000 to conn_001")
    assert {entry["id"] for entry in events(hub, connection="conn_000")} >= {moved["id"], again["id"]}
    hub.process.send_signal(signal.SIGSTOP)
    time.sleep(2.5)
    hub.process.send_signal(signal.SIGCONT)
    (pause,) = eventually(lambda: events(hub, kind="pause"), 3)
    assert 2 < pause["data"]["seconds"] < 4
    series = eventually(lambda: (body := history(hub)["series"])["loop_lag_ms"][-1] is not None and body)
    assert None in series["live"]  # nobody looked meanwhile
    assert max(value for value in series["loop_lag_ms"] if value is not None) > 1_000


def test_a_path_that_is_gone_a_status_and_a_rotation(hub_factory: Callable[..., HubProcess]) -> None:
    hub = started(hub_factory, ROTATE_AFTER_SECONDS="5")
    rotated = eventually(lambda: events(hub, kind="rotated"), 20)[0]
    assert rotated["text"].startswith(f"{rotated['connection_id']} has a new socket, without a break")
    fault(hub, "restart", seconds_down=3)
    gone = eventually(lambda: events(hub, kind="path"), 3)[0]
    assert gone["text"] == "exchange is gone: none of its 2 connections is up"
    back = eventually(lambda: events(hub, kind="path", after=gone["id"]), 15)[0]
    assert back["data"] == {"path": "exchange", "up": True}
    statuses = [entry["data"]["status"] for entry in events(hub, kind="status")][::-1]
    assert statuses[:3] == ["starting", "healthy", "critical"]


def test_alerts_are_signals(hub_factory: Callable[..., HubProcess]) -> None:
    hub = started(hub_factory, WINDOW_MINUTES="0.05", VOLUME_THRESHOLD="1.0")
    listener = Listener(hub.url)
    spike = {"symbol": "ETH-USD", "spike_type": "dump", "event_type": "spike_start", "pct_change": -4.5}
    assert listener.client.call("spike_alert", spike)["success"]
    requests.post(f"{hub.url}/alert", json={"crypto": "BTC-USD", "current_vol": 6, "avg_vol": 2}, timeout=5)
    volume = eventually(lambda: [item for item in signals(hub) if item["event"] == "volume_alert"], 20)[0]
    assert volume["payload"]["crypto"] == volume["symbol"]
    (found,) = [item for item in signals(hub, symbol="eth-usd") if item["event"] == "spike_alert"]
    assert (found["payload"], found["text"]) == (spike, "ETH-USD: dump -4.50 % (spike_start)")
    (update,) = [item for item in signals(hub, symbol="BTC-USD") if item["event"] == "trade_update"]
    assert update["text"] == "BTC-USD: volume is 3.0 times the usual (trade_update)"
    assert len(signals(hub, limit=1)) == 1
    assert {entry["kind"] for entry in events(hub, product="ETH-USD")} == {"alert"}
    for _ in range(200):
        listener.client.emit("spike_alert", spike)
    eventually(lambda: hub.health()["counters"].get("refused_relays", 0) > 150)
    assert len(signals(hub, symbol="ETH-USD", limit=200)) < 50  # a burst of 20, and 2 a second
    listener.close()


def signals(hub: HubProcess, **query: Any) -> list[dict[str, Any]]:
    return hub.get("/signals", params=query).json()["signals"]


def test_each_second_is_sampled(hub_factory: Callable[..., HubProcess]) -> None:
    hub = started(hub_factory)
    listener = Listener(hub.url)
    eventually(lambda: history(hub)["series"]["clients"][-1:] == [1])
    body = eventually(lambda: len((body := history(hub))["times"]) > 6 and body)
    assert (body["range"], body["step_seconds"], body["running"], body["simulated"]) == ("5m", 1, None, True)
    assert set(body["series"]) == set(SERIES)
    assert body["times"] == list(range(body["times"][0], body["times"][-1] + 1))
    assert time.time() - body["times"][-1] < 3
    last = {name: values[-1] for name, values in body["series"].items()}
    assert 100 < last["ticks_per_second"] < 400
    assert last["messages_per_second"] > last["ticks_per_second"]
    assert (last["connected"], last["live"] + last["quiet"], last["trouble"], last["open_gaps"]) == (2, 20, 0, 0)
    assert 0 < last["exchange_to_hub_p50_ms"] <= last["exchange_to_hub_p99_ms"]
    assert last["hub_to_written_p50_ms"] > 0
    since = body["times"][-1]
    assert eventually(lambda: history(hub, since=since)["times"])[0] == since + 1
    hour = eventually(lambda: (body := history(hub, range="1h"))["times"] and body, 15)
    assert hour["times"][0] % 10 == 0
    assert hour["running"] is None or hour["running"]["time"] == hour["times"][-1] + 10
    day = history(hub, range="24h")
    assert (day["times"], day["running"]["time"] % 300) == ([], 0)
    assert day["running"]["values"]["clients"] == 1
    listener.close()


def test_a_restart_keeps_all_of_it_and_leaves_a_hole(
    hub_factory: Callable[..., HubProcess], tmp_path: Path
) -> None:
    hub = started(hub_factory)
    requests.post(f"{hub.url}/alert", json={"crypto": "BTC-USD", "current_vol": 6, "avg_vol": 2}, timeout=5)
    eventually(lambda: len(history(hub)["times"]) > 5)
    before, past, entries = history(hub), history(hub, range="1h"), events(hub)
    time.sleep(2.5)  # it is written behind
    (path,) = tmp_path.glob("*/ledger-*.sqlite")
    killed_at = time.time()
    hub.process.kill()
    hub.process.wait(5)
    time.sleep(3)
    again = continued(hub, path.parent)
    try:
        again.wait_until_covered()
        after = eventually(lambda: (body := history(again))["times"][-1] > killed_at + 5 and body)
        start = after["times"].index(before["times"][0])
        for name in SERIES:
            kept = after["series"][name][start : start + len(before["times"])]
            assert kept == before["series"][name], name
        down = after["times"].index(int(killed_at) + 1)
        assert [after["series"]["live"][down + second] for second in (0, 1)] == [None, None]
        assert after["series"]["live"][-1] is not None
        assert history(again, range="1h")["times"][: len(past["times"])] == past["times"]
        kept_events = events(again, limit=1_000)
        assert [entry for entry in kept_events if entry["id"] <= entries[0]["id"]] == entries
        assert kept_events[0]["id"] > entries[0]["id"]
        (signal_,) = signals(again)
        assert signal_["payload"] == {"crypto": "BTC-USD", "current_vol": 6, "avg_vol": 2}
        statuses = [entry["text"] for entry in events(again, kind="status")]
        assert statuses.count("the hub started: starting") == 2
        assert {entry["id"] for entry in after["annotations"]} >= {entry["id"] for entry in entries}
    finally:
        again.stop()


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/history?range=1y", "range must be one of 5m, 1h, 24h"),
        ("/history?range=", "range must be one of 5m, 1h, 24h"),
        ("/history?since=tomorrow", "since must be a time"),
        ("/history?since=-1", "since must be a time"),
        ("/journal?after=x", "after must be the id of an entry"),
        ("/journal?after=-1", "after must be the id of an entry"),
        ("/journal?after=99999999999999999999999", "after must be the id of an entry"),
        ("/journal?since=1e9", "since must be a time"),
        ("/journal?kind=lost,found", "kind must be one or several of connected, lost"),
        ("/journal?kind=", "kind must be one or several of connected, lost"),
        ("/journal?product=<b>", "product must be an id such as BTC-USD"),
        ("/journal?limit=0", "limit must be a positive integer"),
        ("/journal?limit=ten", "limit must be a positive integer"),
        ("/signals?symbol=%20", "symbol must be an id such as BTC-USD"),
        ("/signals?event=constructor", "event must be one of hub_alert, volume_alert"),
        ("/signals?limit=-5", "limit must be a positive integer"),
        ("/gaps?limit=0", "limit must be a positive integer"),
    ],
)
def test_bad_queries_are_answered_in_words(hub: HubProcess, path: str, words: str) -> None:
    response = hub.get(path)
    assert response.status_code == 400
    assert response.json()["error"].startswith(words)


def test_limits_hold(hub: HubProcess) -> None:
    body = hub.get("/journal?limit=3").json()
    assert (body["count"], len(body["events"])) == (3, 3)
    ids = [entry["id"] for entry in body["events"]]
    assert ids == sorted(ids, reverse=True)
    assert body["last_id"] >= ids[0]
    assert events(hub, after=body["last_id"]) == []
    since = body["events"][1]["time"]
    assert ids[:2] == [entry["id"] for entry in events(hub, since=since)][-2:]
    assert len(events(hub)) <= 200


def test_who_asks_for_more_than_there_is_room_for_gets_what_there_is_room_for() -> None:
    hub = PriceHub(Settings(simulate=True))
    for number in range(1_500):
        hub.journal.note("alert", str(number), connection_id=f"conn_{number}", product="BTC-USD")
    client = create_app(hub, None)[0].test_client()
    for path, most in (("/signals", 200), ("/journal", 1_000)):
        for limit in (most, most + 1, 999_999, 10**17):
            answer = client.get(f"{path}?limit={limit}")
            assert (answer.status_code, answer.json["count"]) == (200, most)


def test_alerts_do_not_crowd_out_what_else_happened() -> None:
    hub = PriceHub(Settings(simulate=True))
    hub.journal.note("lost", "the lost one", connection_id="conn_000")
    for number in range(900):
        hub.journal.note("alert", str(number), connection_id=f"conn_{number}", product="BTC-USD")
    hub.journal.note("connected", "is back", connection_id="conn_000")
    found = hub.history.body("5m", time.time() - 60)["annotations"]
    assert len(found) == MAX_ANNOTATIONS
    assert [found[0]["text"], found[1]["text"], found[-2]["text"], found[-1]["text"]] == [
        "the lost one", "402", "899", "is back",
    ]  # fmt: skip
    assert [entry["id"] for entry in found] == sorted(entry["id"] for entry in found)

"""The journal's words, as somebody who was woken reads them."""

from __future__ import annotations

import json

import pytest

from hub import notes as module
from hub.catalogue_keeper import Change
from hub.fanout.priority import Changes
from hub.feed.watchdog import Limits
from hub.journal import KINDS, TONES, Entry, Journal
from hub.model import HealthStatus, Transferred
from hub.notes import Notes


class Bench:
    def __init__(self) -> None:
        self.journal = Journal()
        self.notes = Notes(self.journal, Limits(3.0, 5.0).silence_seconds)

    def last(self) -> Entry:
        (entry,) = self.journal.query(limit=1)
        assert entry.kind in KINDS
        assert entry.tone in TONES
        return entry

    def texts(self) -> list[str]:
        return [entry.text for entry in self.journal.query()][::-1]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_connection_comes_goes_and_comes_back(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    bench.notes.delivering("conn_004")
    bench.notes.delivering("conn_004")  # a successor: nothing was lost
    bench.notes.lost("conn_004", 15, "silent")
    lost = bench.last()
    assert (lost.kind, lost.tone, lost.connection_id, lost.data) == ("lost", "bad", "conn_004", {"cause": "silent"})
    now += 1.2
    bench.notes.delivering("conn_004")
    bench.notes.delivering("conn_004")
    bench.notes.lost("conn_004", 1, "closed_4321")
    bench.notes.lost("adv_000", 2, "eof", beside=True)
    assert bench.texts() == [
        "conn_004 is up",
        "conn_004 lost: silent for 3.0 s; 15 products",
        "conn_004 is back after 1.2 s",
        "conn_004 lost: closed 4321; 1 product",
        "adv_000 lost: the exchange ended it without a word; 2 products, the other path carries on",
    ]


@pytest.mark.parametrize(
    ("ended", "kind", "text"),
    [
        (Transferred("conn_000", ("conn_000",), ("A-USD",), "rotated", 2.14, "age"), "rotated",
         "conn_000 has a new socket, without a break, after 2.1 s: age"),
        (Transferred("conn_000", ("conn_000",), ("A-USD",), "timeout", 10.0, "on demand"), "rotation_failed",
         "conn_000 keeps its old socket: no new one took over in 10.0 s (timeout); on demand"),
        (Transferred(None, ("conn_000", "conn_001"), ("A-USD",), "moved", 1.0, "load"), "moved",
         "A-USD went over without a break, between conn_000 and conn_001, in 1.0 s: load"),
        (Transferred(None, ("conn_000", "conn_001"), tuple("ABCDE"), "target_lost", 1.0, "load"), "move_failed",
         "A, B, C and 2 more: not all went over, between conn_000 and conn_001, in 1.0 s (target lost); load"),
    ],
)  # fmt: skip
def test_transfers(bench: Bench, ended: Transferred, kind: str, text: str) -> None:
    bench.notes.transferred(ended)
    entry = bench.last()
    assert (entry.kind, entry.text) == (kind, text)
    assert entry.concerns("conn_000")
    assert entry.names(ended.products[0]) == (ended.connection_id is None)


def test_what_is_done_for_a_product(bench: Bench) -> None:
    bench.notes.resubscribed("BTC-USD", "conn_001", 3.2)
    bench.notes.moved("BTC-USD", "conn_001", "conn_002", 8.1)
    assert bench.texts() == [
        "BTC-USD owes trades for 3.2 s: subscribed anew on conn_001",
        "BTC-USD owes trades for 8.1 s: moved from conn_001 to conn_002",
    ]
    assert all(entry.names("BTC-USD") and entry.concerns("conn_001") for entry in bench.journal.query())


def test_many_changes_of_the_list_are_one_entry(bench: Bench) -> None:
    bench.notes.listings([Change("product_listed", "A-USD", "it is listed"), Change("product_left", "B-USD", "gone")])
    bench.notes.listings([Change("product_delisted", f"P{number}-USD", "it is") for number in range(200)])
    assert bench.texts() == [
        "A-USD joined: it is listed", "B-USD left: gone", "P0-USD, P1-USD, P2-USD and 197 more delisted"
    ]  # fmt: skip
    assert bench.last().names("P99-USD")
    assert len(bench.last().data["products"]) == 100


def test_changes_of_the_priority_pairs(bench: Bench) -> None:
    bench.notes.priority(Changes(["A-USD"], [], 1, 1))
    bench.notes.priority(Changes([f"P{number}-USD" for number in range(326)], ["A-USD"], 314, 326))
    bench.notes.priority(Changes([], [], 2, 326))
    assert bench.texts() == [
        "priority pairs: A-USD added; 1 pair now",
        "priority pairs: P0-USD, P1-USD, P2-USD and 323 more added, A-USD removed; 326 pairs now, "
        "changed 314 times since the last entry",
        "priority pairs: they are what they were; 326 pairs now, changed 2 times since the last entry",
    ]
    assert [len(entry.data["products"]) for entry in bench.journal.query()] == [0, 100, 1]


def test_health_and_paths_are_told_when_they_change(bench: Bench) -> None:
    up, down, none = {"exchange": (2, 2)}, {"exchange": (0, 2)}, {"exchange": (0, 0)}
    bench.notes.health(HealthStatus.STARTING, ["no list"], none)
    bench.notes.health(HealthStatus.STARTING, ["none is up"], down)  # it was never there
    bench.notes.health(HealthStatus.HEALTHY, [], up)
    bench.notes.health(HealthStatus.HEALTHY, [], up)
    bench.notes.health(HealthStatus.CRITICAL, ["none of 2 connections is up"], down)
    bench.notes.health(HealthStatus.CRITICAL, ["none of 2 connections is up"], down)
    bench.notes.health(HealthStatus.HEALTHY, [], up)
    assert bench.texts() == [
        "the hub started: starting",
        "health is healthy, was starting: all is well",
        "health is critical, was healthy: none of 2 connections is up",
        "exchange is gone: none of its 2 connections is up",
        "health is healthy, was critical: all is well",
        "exchange is back: 2 of 2 connections up",
    ]


@pytest.mark.parametrize(
    ("event", "body", "product", "text"),
    [
        ("volume_alert", {"crypto": "BTC-USD", "current_vol": 4.0, "avg_vol": 1.0, "ratio": 4.0}, "BTC-USD",
         "BTC-USD: volume is 4.0 times the usual"),
        ("spike_alert", {"symbol": "btc-usd", "spike_type": "pump", "event_type": "spike_start", "pct_change": 3.25},
         "BTC-USD", "BTC-USD: pump +3.25 % (spike_start)"),
        ("spike_alert", {"symbol": 7, "spike_type": "pump\n", "pct_change": "x"}, None, "an alert: spike"),
        ("price_alert", {"symbol": "BTC-USD", "spike_type": "dump", "event_type": "momentum_end", "pct_change": -4.5},
         "BTC-USD", "BTC-USD: dump -4.50 % (momentum_end)"),
        ("trade_update", {"crypto": "ETH-USD", "current_vol": 3, "avg_vol": 2, "threshold": 1.5}, "ETH-USD",
         "ETH-USD: volume is 1.5 times the usual (trade_update)"),
        ("trade_update", {"crypto": "<img onerror=1>", "current_vol": 3, "avg_vol": 0}, None,
         "an alert: a trade_update"),
        ("trade_update", ["not an object"], None, "an alert: a trade_update"),
    ],
)  # fmt: skip
def test_alerts(bench: Bench, event: str, body: object, product: str | None, text: str) -> None:
    bench.notes.alert(event, json.dumps(body))
    entry = bench.last()
    assert (entry.kind, entry.product, entry.text, entry.data) == ("alert", product, text, {"event": event})
    assert json.loads(entry.payload or "") == body


@pytest.mark.parametrize(
    ("severity", "state", "tone"),
    [("critical", "firing", "bad"), ("warning", "firing", "warn"), ("critical", "resolved", "ok")],
)
def test_operational_alerts_say_themselves_what_there_is_to_say(
    bench: Bench, severity: str, state: str, tone: str
) -> None:  # fmt: skip
    body = {"severity": severity, "state": state, "message": "none of 2 connections is up", "symbol": None}
    bench.notes.alert("hub_alert", json.dumps(body))
    entry = bench.last()
    assert (entry.text, entry.tone, entry.data) == (body["message"], tone, {"event": "hub_alert"})
